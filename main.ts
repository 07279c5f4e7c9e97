/**
 * `cellos-fleet`: from command line and environment to a command, with the edges of the real world
 * connected to the ports. The only place that ends the process.
 */
import deno from "./deno.json" with { type: "json" };
import { type AgentControl, runAgent } from "./lib/agent.ts";
import { type Config, readConfig } from "./lib/config.ts";
import { QueueKeys } from "./lib/core/keys.ts";
import { leaseTiming } from "./lib/core/lease_timing.ts";
import { StoreError } from "./lib/core/store_error.ts";
import { buildCommit } from "./lib/edge/build_commit.ts";
import { createCells } from "./lib/edge/child_process.ts";
import { hostName } from "./lib/edge/host_name.ts";
import { createLog } from "./lib/edge/json_log.ts";
import { onSignals } from "./lib/edge/os_signals.ts";
import { createS3Store } from "./lib/edge/s3_store.ts";
import { systemClock, systemEntropy } from "./lib/edge/system_clock.ts";
import { parseCommandLine, usage, USAGE_HINT } from "./lib/usage.ts";
import { Vitals } from "./lib/vitals.ts";

/** Exit codes; those below 128 are of BSD's sysexits.h. */
const EXIT = { ok: 0, usage: 64, unavailable: 69, internal: 70, temporary: 75, configuration: 78 };

/** How long the last log lines may take to be written. */
const FLUSH_MS = 2_000;

type ClosableLog = ReturnType<typeof createLog>;

async function main(args: string[]): Promise<number> {
  const command = parseCommandLine(args);
  switch (command.kind) {
    case "help":
      print(usage());
      return EXIT.ok;
    case "version":
      print(`cellos-fleet ${deno.version} (${await buildCommit(import.meta.dirname)})\n`);
      return EXIT.ok;
    case "usage-error":
      complain(command.message, USAGE_HINT);
      return EXIT.usage;
    case "agent":
      return await agent(command.once);
  }
}

async function agent(once: boolean): Promise<number> {
  const read = readConfig(Deno.env.toObject());
  if ("problems" in read) {
    for (const text of read.warnings) complain(`Warning: ${text}`);
    complain(...read.problems);
    return EXIT.configuration;
  }
  const { config } = read;
  let node: string;
  try {
    node = config.nodeId ?? await hostName();
  } catch (error) {
    complain(messageOf(error));
    return EXIT.configuration;
  }
  const log = openLog(config, node);
  for (const text of read.warnings) log.emit({ name: "configuration-warning", text });
  try {
    return await runAgentOf(config, node, log, once);
  } catch (error) {
    log.emit({ name: "start-failed", cause: messageOf(error) });
    if (error instanceof StoreError) return EXIT.unavailable;
    complain(error instanceof Error ? error.stack ?? error.message : String(error));
    return EXIT.internal;
  } finally {
    await log.flush(FLUSH_MS);
  }
}

async function runAgentOf(
  config: Config,
  node: string,
  log: ClosableLog,
  once: boolean,
): Promise<number> {
  const { bucket, prefix, queueName, poolId } = config;
  const version = `${deno.version} (${await buildCommit(import.meta.dirname)})`;
  log.emit({
    name: "agent-starting",
    version,
    bucket,
    prefix,
    queueName,
    poolId,
    settings: startSettings(config),
  });
  const control = stopOnSignals(log);
  using store = createS3Store({
    bucket,
    pathStyle: config.s3PathStyle,
    userAgent: `cellos-fleet/${deno.version}`,
    concurrency: config.concurrency,
  });
  await using cells = await createCells({
    supervisor: config.supervisor,
    supervisorArgs: config.supervisorArgs,
    nodeId: node,
    output: config.cellOutput,
    killGraceMs: config.killGraceMs,
    tailBytes: config.resultTailBytes,
    onLine: (line) => log.emit({ name: "cell-output", ...line }),
    onGuardLost: (cause) => log.emit({ name: "guard-lost", cause }),
  });
  const clock = systemClock();
  const context = {
    store,
    clock,
    entropy: systemEntropy(),
    log,
    keys: new QueueKeys(prefix, queueName),
    timing: leaseTiming(config.leaseTtlMs, config.killGraceMs),
    node,
    poolId,
    maxAttempts: config.maxAttempts,
    maxSpecBytes: config.maxSpecBytes,
    vitals: new Vitals(clock, config.concurrency),
  };
  const end = await runAgent(context, cells, { ...config, version, once }, control);
  return end === "drained" ? EXIT.ok : EXIT.temporary;
}

/** The settings that explain what an agent does later on, for the line it starts with. */
function startSettings(config: Config): Record<string, unknown> {
  return {
    supervisor: config.supervisor,
    concurrency: config.concurrency,
    poll_interval_ms: config.pollIntervalMs,
    heartbeat_interval_ms: config.heartbeatIntervalMs,
    lease_ttl_ms: config.leaseTtlMs,
    kill_grace_ms: config.killGraceMs,
    fence: config.fence,
    max_attempts: config.maxAttempts,
    cell_timeout_ms: config.cellTimeoutMs,
    drain_timeout_ms: config.drainTimeoutMs,
  };
}

/** First signal: drain. Second: stop the cells. Third: leave at once. */
function stopOnSignals(log: ClosableLog): AgentControl {
  const drain = new AbortController();
  const interrupt = new AbortController();
  let received = 0;
  onSignals((name) => {
    received++;
    if (received === 1) drain.abort(`${name} received`);
    else if (received === 2) interrupt.abort(`second signal, ${name}, received`);
    else void log.flush(FLUSH_MS).then(() => Deno.exit(name === "SIGINT" ? 130 : 143));
  });
  return { drain: drain.signal, interrupt: interrupt.signal };
}

function openLog(config: Config, node: string): ClosableLog {
  const terminal = Deno.stdout.isTerminal();
  const json = config.logFormat === "json" || config.logFormat === "auto" && !terminal;
  const secrets = [
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
  ].map((name) => Deno.env.get(name)).filter((value) => value !== undefined);
  return createLog({
    level: config.logLevel,
    format: json ? "json" : "text",
    color: terminal && Deno.env.get("NO_COLOR") === undefined,
    output: Deno.stdout,
    now: Date.now,
    fields: { node },
    secrets,
  });
}

function print(text: string): void {
  writeAll(Deno.stdout, text);
}

function complain(...lines: string[]): void {
  for (const line of lines) writeAll(Deno.stderr, `cellos-fleet: ${line}\n`);
}

function writeAll(output: typeof Deno.stdout, text: string): void {
  let rest = new TextEncoder().encode(text);
  while (rest.length > 0) rest = rest.subarray(output.writeSync(rest));
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

if (import.meta.main) Deno.exit(await main(Deno.args));
