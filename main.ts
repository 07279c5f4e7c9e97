/**
 * `cellos-fleet`: from command line and environment to a command, with the edges of the real world
 * connected to the ports. The only place that ends the process.
 */
import deno from "./deno.json" with { type: "json" };
import { type AgentControl, runAgent } from "./lib/agent.ts";
import type { CommandPorts } from "./lib/commands/command.ts";
import { EXIT } from "./lib/commands/exit_code.ts";
import { runCommand } from "./lib/commands/run.ts";
import { type Config, readConfig } from "./lib/config.ts";
import { QueueKeys } from "./lib/core/keys.ts";
import { type LeaseTiming, leaseTiming } from "./lib/core/lease_timing.ts";
import { StoreError } from "./lib/core/store_error.ts";
import { buildCommit } from "./lib/edge/build_commit.ts";
import { createCells } from "./lib/edge/child_process.ts";
import { EXTRA_CERTIFICATES_ADVICE, takeExtraCertificates } from "./lib/edge/extra_certificates.ts";
import { hostName } from "./lib/edge/host_name.ts";
import {
  HttpListenError,
  type HttpRoutes,
  plain,
  startHttpServer,
} from "./lib/edge/http_server.ts";
import { createLog } from "./lib/edge/json_log.ts";
import { createMetrics, type Metrics } from "./lib/edge/metrics.ts";
import { onSignals } from "./lib/edge/os_signals.ts";
import { redactTails } from "./lib/edge/redacted_cells.ts";
import { createS3Store } from "./lib/edge/s3_store.ts";
import { describeCredentials } from "./lib/edge/s3_credentials.ts";
import { lookUpSupervisor } from "./lib/edge/supervisor_lookup.ts";
import { systemClock, systemEntropy } from "./lib/edge/system_clock.ts";
import { SystemdNotifier, takeNotifySettings } from "./lib/edge/systemd.ts";
import { processTerminal } from "./lib/edge/terminal.ts";
import {
  type HealthVerdict,
  liveness,
  longestWatchdogMs,
  type NodeIdentity,
  nodeStatus,
  readiness,
  stateLine,
  watchEventLoop,
} from "./lib/health.ts";
import type { Clock, Log } from "./lib/ports.ts";
import { commandUsage, parseCommandLine, usage, usageHint } from "./lib/usage.ts";
import { Vitals } from "./lib/vitals.ts";

/** How long the last log lines may take to be written. */
const FLUSH_MS = 2_000;

type ClosableLog = ReturnType<typeof createLog>;

async function main(args: string[]): Promise<number> {
  const command = parseCommandLine(args);
  switch (command.kind) {
    case "help":
      print(command.command === undefined ? usage() : commandUsage(command.command));
      return EXIT.ok;
    case "version":
      print(`cellos-fleet ${deno.version} (${await buildCommit(import.meta.dirname)})\n`);
      return EXIT.ok;
    case "usage-error":
      complain(command.message, usageHint(command.command));
      return EXIT.usage;
    case "command":
      return await operate((ports) => runCommand(command.run, ports, command.hint));
    case "agent":
      return await agent(command.once);
  }
}

/** More than a command sends at once, so that none waits for another's connection. */
const COMMAND_CONNECTIONS = 16;

/** Runs an operator's command. The first signal asks it to end, the second one ends it. */
async function operate(run: (ports: CommandPorts) => Promise<number>): Promise<number> {
  takeExtraCertificates(Deno.env);
  const environment = Deno.env.toObject();
  const interrupted = new AbortController();
  using _signals = onSignals((name) => {
    if (interrupted.signal.aborted) Deno.exit(name === "SIGINT" ? 130 : 143);
    interrupted.abort();
  });
  try {
    return await run({
      terminal: processTerminal(environment),
      clock: systemClock(),
      entropy: systemEntropy(),
      environment,
      openStore: ({ bucket, s3PathStyle: pathStyle }) =>
        createS3Store({
          bucket,
          pathStyle,
          userAgent: `cellos-fleet/${deno.version}`,
          concurrency: COMMAND_CONNECTIONS,
          environment,
        }),
      describeCredentials: () => describeCredentials(environment),
      checkSupervisor: lookUpSupervisor,
      hostName,
      interrupted: interrupted.signal,
    });
  } catch (error) {
    complain(error instanceof Error ? error.stack ?? error.message : String(error));
    return EXIT.internal;
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
    if (error instanceof HttpListenError) return EXIT.configuration;
    complain(error instanceof Error ? error.stack ?? error.message : String(error));
    return EXIT.internal;
  } finally {
    await log.flush(FLUSH_MS);
  }
}

async function runAgentOf(
  config: Config,
  node: string,
  lines: ClosableLog,
  once: boolean,
): Promise<number> {
  const { bucket, prefix, queueName, poolId } = config;
  const commit = await buildCommit(import.meta.dirname);
  const version = `${deno.version} (${commit})`;
  const clock = systemClock();
  const vitals = new Vitals(clock, config.concurrency);
  const timing = leaseTiming(config.leaseTtlMs, config.killGraceMs);
  const metrics = createMetrics({
    version: deno.version,
    commit,
    startedAtMs: clock.now(),
    signs: () => vitals.signs(),
    residentBytes: () => Deno.memoryUsage().rss,
  });
  lines.emit({
    name: "agent-starting",
    version,
    bucket,
    prefix,
    queueName,
    poolId,
    settings: startSettings(config),
  });
  const extraCertificates = takeExtraCertificates(Deno.env);
  if (Object.keys(extraCertificates).length > 0) {
    lines.emit({ name: "configuration-warning", text: EXTRA_CERTIFICATES_ADVICE });
  }
  const control = stopOnSignals(lines);
  const identity = { node, version, queueName, poolId };
  await using observed = observe({ config, identity, timing, clock, vitals, metrics, lines });
  const { log } = observed;
  using store = createS3Store({
    bucket,
    pathStyle: config.s3PathStyle,
    userAgent: `cellos-fleet/${deno.version}`,
    concurrency: config.concurrency,
    onRequest: metrics.onRequest,
  });
  await using processes = await createCells({
    supervisor: config.supervisor,
    supervisorArgs: config.supervisorArgs,
    nodeId: node,
    environment: extraCertificates,
    output: config.cellOutput,
    killGraceMs: config.killGraceMs,
    tailBytes: config.resultTailBytes,
    onLine: (line) => log.emit({ name: "cell-output", ...line }),
    onGuardLost: (cause) => log.emit({ name: "guard-lost", cause }),
  });
  const context = {
    store,
    clock,
    entropy: systemEntropy(),
    log,
    keys: new QueueKeys(prefix, queueName),
    timing,
    node,
    poolId,
    maxAttempts: config.maxAttempts,
    maxSpecBytes: config.maxSpecBytes,
    vitals,
  };
  const end = await runAgent(context, redactTails(processes, ownSecrets()), {
    ...config,
    version,
    once,
  }, control);
  return end === "drained" ? EXIT.ok : EXIT.temporary;
}

interface Observation {
  readonly config: Config;
  readonly identity: NodeIdentity;
  readonly timing: LeaseTiming;
  readonly clock: Clock;
  readonly vitals: Vitals;
  readonly metrics: Metrics;
  readonly lines: Log;
}

/**
 * Shows the agent to the outside, by log, metrics, health endpoint and service manager, all of which
 * read the events that the returned log takes. Throws `HttpListenError`.
 */
function observe(observation: Observation): { readonly log: Log } & AsyncDisposable {
  const { clock, vitals, metrics, lines } = observation;
  const counted: Log = {
    emit(event) {
      lines.emit(event);
      metrics.emit(event);
    },
  };
  const ending = new AsyncDisposableStack();
  const { httpAddress: address } = observation.config;
  if (address !== undefined) {
    const server = ending.use(startHttpServer({ address, routes: httpRoutes(observation) }));
    counted.emit({ name: "http-serving", address: server.address });
  }
  const notifier = ending.use(startNotifier(observation, counted));
  const log: Log = {
    emit(event) {
      counted.emit(event);
      if (event.name === "store-probed") notifier?.ready();
      if (event.name === "draining") notifier?.stopping();
    },
  };
  const stop = new AbortController();
  const watching = watchEventLoop(clock, vitals, stop.signal);
  ending.defer(() => {
    stop.abort();
    return watching;
  });
  return { log, [Symbol.asyncDispose]: () => ending.disposeAsync() };
}

function httpRoutes({ identity, clock, vitals, metrics }: Observation): HttpRoutes {
  const answer = ({ healthy, reason }: HealthVerdict) => plain(healthy ? 200 : 503, reason);
  return {
    "/metrics": async () => ({ status: 200, ...await metrics.render() }),
    "/livez": () => answer(liveness(vitals.signs())),
    "/readyz": () => answer(readiness(vitals.signs())),
    "/status": () => {
      const status = nodeStatus(identity, vitals, clock);
      return {
        status: 200,
        contentType: "application/json",
        body: `${JSON.stringify(status, undefined, 2)}\n`,
      };
    },
  };
}

/** Undefined where no service manager listens. */
function startNotifier(
  { clock, timing, vitals }: Observation,
  log: Log,
): SystemdNotifier | undefined {
  const settings = takeNotifySettings(Deno.env, Deno.pid);
  if (settings === undefined) return undefined;
  const { watchdogMs } = settings;
  const longestMs = longestWatchdogMs(timing);
  if (watchdogMs !== undefined && watchdogMs > longestMs) {
    log.emit({ name: "watchdog-too-slow", watchdogMs, longestMs });
  }
  return new SystemdNotifier({
    ...settings,
    clock,
    alive: () => liveness(vitals.signs()).healthy,
    status: () => stateLine(vitals.signs()),
    onFailure: (cause) => log.emit({ name: "service-manager-failed", cause }),
  });
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
  return createLog({
    level: config.logLevel,
    format: json ? "json" : "text",
    color: terminal && Deno.env.get("NO_COLOR") === undefined,
    output: Deno.stdout,
    now: Date.now,
    fields: { node },
    secrets: ownSecrets(),
  });
}

/** The credentials in the environment. They must not be written anywhere. */
function ownSecrets(): string[] {
  return ["AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_CONTAINER_AUTHORIZATION_TOKEN"]
    .map((name) => Deno.env.get(name) ?? "");
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

/** Where programs are looked for when the environment does not say, as a shell would. */
const DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

if (import.meta.main) {
  if (Deno.env.get("PATH") === undefined) Deno.env.set("PATH", DEFAULT_PATH);
  Deno.exit(await main(Deno.args));
}
