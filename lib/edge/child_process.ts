/**
 * Cells as real processes: for each spec one supervisor, in a session and process group of its own.
 *
 * A cell is over when its supervisor has exited. What the supervisor left behind in its group is ended
 * with it, as a service manager would do, so that nothing of this run can meet the next. A process that
 * made a session of its own (a daemon) is out of reach; under systemd the unit's control group ends it
 * with the agent.
 *
 * The spec is written to the supervisor only after the guard knows the process group. So an agent that
 * dies in between leaves a supervisor that finds its input closed and empty: it has no spec to run.
 */
import { SupervisorError } from "../core/supervisor_error.ts";
import type { CellExit, CellRequest, Cells, Clock, RunningCell } from "../ports.ts";
import { type CellOutput, readOutput } from "./cell_output.ts";
import { type Guard, startGuard } from "./guard.ts";
import { ProcessGroup } from "./process_group.ts";
import { lookUpSupervisor } from "./supervisor_lookup.ts";
import { systemClock } from "./system_clock.ts";

const DEFAULT_TAIL_BYTES = 8192;
const DEFAULT_DRAIN_MS = 2000;
/** How often to look whether the processes a supervisor left behind have ended. */
const LEFTOVER_LOOK_MS = 20;

/** A line of a supervisor's output, or a piece of a long one. */
export interface CellLine {
  readonly specId: string;
  readonly stream: "stdout" | "stderr";
  readonly text: string;
  /** True when the same line goes on in the next piece. */
  readonly truncated: boolean;
}

export interface CellsOptions {
  /** A program's path, or a name to look for in `PATH`. */
  readonly supervisor: string;
  readonly supervisorArgs: readonly string[];
  readonly nodeId: string;
  /** For the cells, on top of the agent's own. */
  readonly environment?: Readonly<Record<string, string>>;
  /**
   * `log`: read, hand on by line, keep the tails. `inherit`: goes where the agent's own goes, nothing
   * is kept. `discard`: goes to `/dev/null`, nothing is kept.
   */
  readonly output: "log" | "inherit" | "discard";
  /** Between SIGTERM and SIGKILL to the cells of an agent that died. */
  readonly killGraceMs: number;
  /** How many last bytes of each stream to keep. 8192 when absent. */
  readonly tailBytes?: number;
  /**
   * How long output and leftover processes may go on after a supervisor's exit: for half of it as they
   * like, then they get SIGTERM, and at the end SIGKILL. 2000 when absent.
   */
  readonly drainMs?: number;
  /** Takes each line of output (`log` only); must not throw. */
  onLine(line: CellLine): void;
  /** Called when the guard ended although the agent lives. Another one is started. */
  onGuardLost(cause: string): void;
}

/**
 * Starts the guard and returns what starts cells. Rejects when the guard cannot be started.
 *
 * Disposing of it lets the guard go, which ends the cells that still run, and waits for that.
 */
export async function createCells(options: CellsOptions): Promise<Cells & AsyncDisposable> {
  const guard = await startGuard({
    killGraceMs: options.killGraceMs,
    onLost: (cause) => options.onGuardLost(cause),
  });
  const clock = systemClock();
  return {
    check: () => lookUpSupervisor(options.supervisor),
    start: (request) => startCell(request, options, guard, clock),
    [Symbol.asyncDispose]: () => guard[Symbol.asyncDispose](),
  };
}

async function startCell(
  request: CellRequest,
  options: CellsOptions,
  guard: Guard,
  clock: Clock,
): Promise<RunningCell> {
  const child = spawnSupervisor(request, options);
  // No `await` between the two: the group's line is in the guard's pipe before anything else runs.
  const guarded = guard.add(child.pid);
  const group = new ProcessGroup(child.pid);
  const outputs = options.output === "log" ? readOutputs(child, request.specId, options) : [];
  const exited = untilOver(child, group, outputs, options.drainMs ?? DEFAULT_DRAIN_MS, clock);
  try {
    await guarded;
  } catch (error) {
    group.signal("SIGKILL");
    await Promise.all([child.stdin.abort().catch(() => {}), exited]);
    throw new SupervisorError(
      `Could not run the supervisor ${options.supervisor}: ${messageOf(error)}`,
      { cause: error },
    );
  }
  void writeSpec(child.stdin, request.spec);
  return {
    exited: exited.finally(() => guard.remove(group.id)),
    signal: (name) => {
      guard.stopping(group.id);
      group.signal(name);
    },
  };
}

function spawnSupervisor(request: CellRequest, options: CellsOptions): Deno.ChildProcess {
  const outputs = { log: "piped", inherit: "inherit", discard: "null" } as const;
  try {
    return new Deno.Command(options.supervisor, {
      args: [...options.supervisorArgs],
      detached: true,
      env: {
        ...options.environment,
        CELLOS_FLEET_SPEC_ID: environmentValue(request.specId),
        CELLOS_FLEET_NODE_ID: environmentValue(options.nodeId),
        CELLOS_FLEET_ATTEMPT: String(request.attempt),
        CELLOS_FLEET_CLAIM: environmentValue(request.claim),
      },
      // A pipe and not a socket, as /dev/stdin cannot be opened on a socket.
      stdin: "piped",
      stdout: outputs[options.output],
      stderr: outputs[options.output],
    }).spawn();
  } catch (error) {
    throw new SupervisorError(
      `Could not start the supervisor ${options.supervisor}: ${messageOf(error)}`,
      { cause: error },
    );
  }
}

/** A key may hold NUL, an environment value may not; the spec is not to fail the node for it. */
function environmentValue(value: string): string {
  return value.replaceAll("\0", "\ufffd");
}

/**
 * Writes the spec and closes the pipe. A supervisor that does not read it, or not all of it, is free
 * to: its exit code says how it went, so the broken pipe says nothing more.
 */
async function writeSpec(stdin: WritableStream<Uint8Array>, spec: Uint8Array): Promise<void> {
  const writer = stdin.getWriter();
  try {
    await writer.write(spec);
    await writer.close();
  } catch {
    // The runtime has closed the pipe.
  }
}

function readOutputs(
  child: Deno.ChildProcess,
  specId: string,
  options: CellsOptions,
): [stdout: CellOutput, stderr: CellOutput] {
  const tailBytes = options.tailBytes ?? DEFAULT_TAIL_BYTES;
  const read = (stream: CellLine["stream"]) =>
    readOutput(
      child[stream],
      tailBytes,
      ({ text, truncated }) => options.onLine({ specId, stream, text, truncated }),
    );
  return [read("stdout"), read("stderr")];
}

/**
 * Resolves when the supervisor has exited, its group is gone or has been sent SIGKILL, and its output
 * has been read to the end or given up: at most `drainMs` after the exit.
 */
async function untilOver(
  child: Deno.ChildProcess,
  group: ProcessGroup,
  outputs: readonly CellOutput[],
  drainMs: number,
  clock: Clock,
): Promise<CellExit> {
  const exit = await untilExit(child);
  const drained = new AbortController();
  const outputsDone = Promise.all(outputs.map((output) => output.done));
  const stopWaiting = () => drained.abort();
  outputsDone.then(stopWaiting, stopWaiting);
  await Promise.all([
    endLeftovers(group, drainMs, clock),
    clock.sleep(drainMs, drained.signal),
  ]);
  for (const output of outputs) output.stop();
  await outputsDone;
  const [stdout, stderr] = outputs;
  return {
    ...exit,
    stdoutBytes: stdout?.tail.totalBytes ?? 0,
    stderrBytes: stderr?.tail.totalBytes ?? 0,
    stdoutTail: stdout?.tail.bytes ?? new Uint8Array(0),
    stderrTail: stderr?.tail.bytes ?? new Uint8Array(0),
  };
}

async function untilExit(
  child: Deno.ChildProcess,
): Promise<Pick<CellExit, "exitCode" | "signal">> {
  try {
    const { code, signal } = await child.status;
    return signal === null ? { exitCode: code } : { signal };
  } catch (error) {
    // The runtime has no name for real-time signals and rejects instead, though the process has ended.
    const number = /^Invalid signal: (\d+)$/.exec(messageOf(error))?.[1];
    if (number === undefined) throw error;
    return { signal: `SIG${number}` };
  }
}

/** Ends what a supervisor left in its group; resolves once that is gone or has been sent SIGKILL. */
async function endLeftovers(group: ProcessGroup, drainMs: number, clock: Clock): Promise<void> {
  const exitedAtMs = clock.monotonic();
  let asked = false;
  // After a SIGKILL to all of them there is nothing left to wait for but their parent's attention.
  while (!group.killed && !group.isGone()) {
    const elapsedMs = clock.monotonic() - exitedAtMs;
    if (elapsedMs >= drainMs) {
      group.signal("SIGKILL");
      return;
    }
    if (!asked && elapsedMs >= drainMs / 2) {
      group.signal("SIGTERM");
      asked = true;
    }
    await clock.sleep(Math.min(LEFTOVER_LOOK_MS, drainMs - elapsedMs));
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
