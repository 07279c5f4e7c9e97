/** `cellos-fleet doctor`: is this host able to work on this queue, and if not, why. */
import { QueueKeys } from "../core/keys.ts";
import { StoreError } from "../core/store_error.ts";
import { type Config, readConfig } from "../config.ts";
import type { Store } from "../ports.ts";
import type { Command, CommandPorts, CommandSyntax, OptionValues } from "./command.ts";
import { type Check, type Finding, ProbeKeys, queueChecks } from "./doctor_checks.ts";
import { EXIT } from "./exit_code.ts";
import { complain } from "./queue.ts";
import { paint, type Style } from "./table.ts";

const DOCTOR_SCHEMA = "dev.cellos.fleet.doctor.v1";

const SYNTAX: CommandSyntax = {
  name: "doctor",
  synopsis: "doctor [--json]",
  summary: "Check the environment, the bucket, the permissions and the supervisor, one by one",
  description: [
    "Says for each thing that an agent needs whether it is as it should be, and what to do if not. " +
    "It writes only below probe/, and removes what it wrote.",
  ],
  options: [{ name: "json", meaning: "Print one JSON document" }],
  takesArguments: false,
  examples: ["cellos-fleet doctor"],
  exitCodes: [
    ["0", "No check failed; there may be warnings"],
    ["1", "A check failed"],
  ],
};

export const DOCTOR: Command = {
  syntax: SYNTAX,
  read: (values: OptionValues) => (ports) => doctor(ports, values["json"] === true),
};

interface NamedFinding extends Finding {
  readonly name: string;
}

async function doctor(ports: CommandPorts, json: boolean): Promise<number> {
  const findings: NamedFinding[] = [];
  const report = async (name: string, finding: Finding) => {
    findings.push({ name, ...finding });
    if (!json) await ports.terminal.print(lineOf(name, finding, ports));
  };
  const config = await checkEnvironment(ports, report);
  if (config !== undefined) await checkQueue(ports, config, report);
  const failed = findings.some(({ outcome }) => outcome === "failed");
  if (json) {
    const document = { schema: DOCTOR_SCHEMA, ok: !failed, checks: findings };
    await ports.terminal.print(JSON.stringify(document, undefined, 2) + "\n");
  }
  if (ports.interrupted.aborted) return EXIT.interrupted;
  return failed ? EXIT.refused : EXIT.ok;
}

type Report = (name: string, finding: Finding) => Promise<void>;

async function checkEnvironment(ports: CommandPorts, report: Report): Promise<Config | undefined> {
  const read = readConfig(ports.environment);
  const advice = "see cellos-fleet --help for the variables";
  if ("problems" in read) {
    const detail = [...read.problems, ...read.warnings].join("; ");
    await report("environment", { outcome: "failed", detail, advice });
    return undefined;
  }
  const { config, warnings } = read;
  let node: string;
  try {
    node = config.nodeId ?? await ports.hostName();
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error);
    await report("environment", { outcome: "failed", detail, advice });
    return undefined;
  }
  const queue = new QueueKeys(config.prefix, config.queueName).root;
  const pool = config.poolId === "" ? "no pool" : `pool ${config.poolId}`;
  const detail = `node ${node}, bucket ${config.bucket}, queue ${queue}, ${pool}`;
  await report(
    "environment",
    warnings.length === 0
      ? { outcome: "ok", detail }
      : { outcome: "warning", detail: `${detail}; ${warnings.join("; ")}`, advice },
  );
  return config;
}

async function checkQueue(ports: CommandPorts, config: Config, report: Report): Promise<void> {
  let store: Store & Disposable;
  try {
    store = ports.openStore(config);
  } catch (error) {
    await report("bucket", findingOf(error));
    return;
  }
  using _closed = store;
  const queue = {
    ports,
    config,
    store,
    keys: new QueueKeys(config.prefix, config.queueName),
  };
  const probeKeys = new ProbeKeys(queue);
  try {
    await runChecks(ports, queueChecks(queue, probeKeys), report);
  } finally {
    const left = await probeKeys.removeAll();
    if (left.length > 0) {
      await complain(ports.terminal, `Could not remove, and can be removed by hand: ${left}`);
    }
  }
}

async function runChecks(
  { interrupted }: CommandPorts,
  checks: readonly Check[],
  report: Report,
): Promise<void> {
  let missing: string | undefined;
  for (const check of checks) {
    if (interrupted.aborted) return;
    // The supervisor has nothing to do with the bucket.
    if (missing !== undefined && check.name !== "supervisor") {
      await report(check.name, { outcome: "skipped", detail: `needs: ${missing}` });
      continue;
    }
    let finding: Finding;
    try {
      finding = await check.run();
    } catch (error) {
      finding = findingOf(error);
    }
    await report(check.name, finding);
    if (check.vital && finding.outcome === "failed") missing = check.name;
  }
}

/** A store's error as a finding; its message holds the advice. Throws what is none. */
function findingOf(error: unknown): Finding {
  if (!(error instanceof StoreError)) throw error;
  return error.kind === "permanent"
    ? { outcome: "failed", detail: error.message }
    : { outcome: "failed", detail: error.message, advice: "try again" };
}

const STYLES: Readonly<Record<Finding["outcome"], Style>> = {
  ok: "good",
  warning: "warning",
  failed: "bad",
  skipped: "faint",
};
const OUTCOME_WIDTH = 7;
const NAME_WIDTH = 22;

function lineOf(
  name: string,
  { outcome, detail, advice }: Finding,
  { terminal }: CommandPorts,
): string {
  const shown = paint({ text: outcome, style: STYLES[outcome] }, terminal.color) +
    " ".repeat(OUTCOME_WIDTH - outcome.length);
  const line = `${shown}  ${name.padEnd(NAME_WIDTH)}  ${paint(detail, false)}\n`;
  if (advice === undefined) return line;
  return `${line}${" ".repeat(OUTCOME_WIDTH + NAME_WIDTH + 4)}→ ${paint(advice, false)}\n`;
}
