/** `cellos-fleet status`: what the queue and the nodes are doing. */
import { StoreError } from "../core/store_error.ts";
import { parseDuration } from "./duration.ts";
import {
  type Command,
  type CommandPorts,
  type CommandSyntax,
  type OptionValues,
  UsageError,
} from "./command.ts";
import { EXIT } from "./exit_code.ts";
import { complain, type Queue, withQueue } from "./queue.ts";
import { collectStatus, type ReportOptions, type StatusReport } from "./status_report.ts";
import { statusLines } from "./status_text.ts";

const REDRAW_MS = 2_000;
const CLEAR = "\x1b[H\x1b[2J\x1b[3J";
const TO_START = "\x1b[H";
const CLEAR_LINE_END = "\x1b[K";
const CLEAR_BELOW = "\x1b[J";

const SYNTAX: CommandSyntax = {
  name: "status",
  synopsis: "status [--json] [--watch] [--exact] [--check [--max-age DURATION]]",
  summary: "Show what is queued, what runs where, the nodes, and what has failed",
  description: [
    "Shows how many specs are in each state and how old the oldest is, what runs on which node, " +
    "the nodes by their last heartbeat, claims without a lease, and the newest failures. It only " +
    "lists and reads. Counts stop at 10,000 (shown as 10000+) unless --exact is given.",
    "With --check the exit code is 1 when something needs a person: a claim without a lease, a " +
    "lease not renewed for two lifetimes (as CELLOS_FLEET_LEASE_TTL_MS has it), or a pending spec " +
    "older than --max-age.",
  ],
  options: [
    { name: "json", meaning: "Print one JSON document; with --watch, one a line" },
    { name: "watch", meaning: "Show it anew every two seconds, until interrupted" },
    { name: "exact", meaning: "Count everything, however much there is" },
    { name: "check", meaning: "Exit with 1 when something needs a person" },
    {
      name: "max-age",
      value: "DURATION",
      meaning: "With --check: longest wait of a pending spec, such as 90s, 15m, 1h30m, 2d",
    },
  ],
  takesArguments: false,
  examples: [
    "cellos-fleet status --watch",
    "cellos-fleet status --check --max-age 1h",
    "cellos-fleet status --json | jq .states.pending.count",
  ],
  exitCodes: [
    ["0", "Shown; with --check: and nothing needs a person"],
    ["1", "With --check: something needs a person"],
  ],
};

interface StatusArguments extends ReportOptions {
  readonly json: boolean;
  readonly check: boolean;
}

export const STATUS: Command = {
  syntax: SYNTAX,
  read(values: OptionValues) {
    const check = values["check"] === true;
    const watch = values["watch"] === true;
    const given = values["max-age"] as string | undefined;
    const maxAgeMs = given === undefined ? undefined : parseDuration(given);
    if (given !== undefined && maxAgeMs === undefined) {
      throw new UsageError(`--max-age is ${JSON.stringify(given)}: it must be like 90s, 15m or 2d`);
    }
    if (given !== undefined && !check) throw new UsageError("--max-age needs --check");
    if (check && watch) throw new UsageError("Give --check or --watch, not both");
    const exact = values["exact"] === true;
    const options = { json: values["json"] === true, check, exact, thorough: check, maxAgeMs };
    return (ports: CommandPorts) =>
      withQueue(ports, (queue) => watch ? watchStatus(queue, options) : showOnce(queue, options));
  },
};

async function showOnce(queue: Queue, options: StatusArguments): Promise<number> {
  const { terminal } = queue.ports;
  const report = await collectStatus(queue, options);
  await terminal.print(
    options.json ? JSON.stringify(report, undefined, 2) + "\n" : textOf(queue, report),
  );
  return options.check && report.problems.length > 0 ? EXIT.refused : EXIT.ok;
}

function textOf({ ports: { terminal } }: Queue, report: StatusReport): string {
  const layout = { columns: terminal.size()?.columns, color: terminal.color };
  return statusLines(report, layout).map((line) => `${line}\n`).join("");
}

/** Until interrupted, which is how it is meant to end; an outage of the bucket is said and waited out. */
async function watchStatus(queue: Queue, options: StatusArguments): Promise<number> {
  const { terminal, clock, interrupted } = queue.ports;
  for (let first = true; !interrupted.aborted; first = false) {
    try {
      const report = await collectStatus(queue, options);
      if (interrupted.aborted) break;
      await terminal.print(
        options.json ? JSON.stringify(report) + "\n" : frame(queue, textOf(queue, report), first),
      );
    } catch (error) {
      if (!(error instanceof StoreError) || error.kind === "permanent") throw error;
      await complain(terminal, error.message);
    }
    await clock.sleep(REDRAW_MS, interrupted);
  }
  return EXIT.ok;
}

/** On a terminal, text drawn over what was there, without flicker, and cut to the window. */
function frame({ ports: { terminal } }: Queue, text: string, first: boolean): string {
  if (!terminal.outputIsTerminal) return first ? text : `\n${text}`;
  const rows = terminal.size()?.rows ?? Infinity;
  const lines = text.trimEnd().split("\n").slice(0, rows - 1);
  return (first ? CLEAR : TO_START) +
    lines.map((line) => `${line}${CLEAR_LINE_END}\n`).join("") + CLEAR_BELOW;
}
