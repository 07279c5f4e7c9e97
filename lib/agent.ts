/**
 * The agent from start to end: makes sure that the store is safe, runs its loops, and finds the way
 * out. The loops do not wait for each other, nor for the cells.
 */
import { backoffMs } from "./core/backoff.ts";
import { StoreError } from "./core/store_error.ts";
import { Dispatcher, type DispatchSettings } from "./dispatcher.ts";
import { heartbeatLoop, type NodeFacts } from "./heartbeat.ts";
import type { AgentContext } from "./claim_context.ts";
import type { Cells } from "./ports.ts";
import { probeStore, type StoreTraits } from "./probe.ts";
import type { CellSettings } from "./cell.ts";
import { Slots } from "./slots.ts";
import { takeoverLoop } from "./takeovers.ts";

/** How this agent works. All times in milliseconds. */
export interface AgentSettings extends CellSettings, DispatchSettings, NodeFacts {
  readonly concurrency: number;
  /** After the drain has begun, how long running cells may go on; 0 for as long as they need. */
  readonly drainTimeoutMs: number;
}

/**
 * Told from outside when to go. The reason of each signal is the text for the log, such as
 * `SIGTERM received`.
 */
export interface AgentControl {
  /** Claim nothing more, and end once everything running has ended. */
  readonly drain: AbortSignal;
  /** Stop the running cells, give their claims back, and end. */
  readonly interrupt: AbortSignal;
}

/**
 * `drained`: everything that was claimed here has been settled. `gave-up`: told to stop, and the
 * bucket did not let it settle everything in time; what is left runs out by its leases. Or told to
 * work the queue off once, and there was no supervisor to do it with.
 */
export type AgentEnd = "drained" | "gave-up";

/** After the cells were told to stop and had their grace: how long settling may still take. */
const SETTLE_WINDOW_MS = 30_000;
const START_BACKOFF_BASE_MS = 500;
const START_BACKOFF_MAX_MS = 60_000;

/**
 * Runs the agent until it is told to drain, or has nothing left to do. Rejects with a permanent
 * `StoreError` when the bucket cannot be used at start, by its own fault or the configuration's.
 */
export async function runAgent(
  context: AgentContext,
  cells: Cells,
  settings: AgentSettings,
  control: AgentControl,
): Promise<AgentEnd> {
  const { vitals, log } = context;
  const ending = new Ending(control);
  const started = Promise.withResolvers<void>();
  const heartbeat = heartbeatLoop(context, settings, started.promise, ending.stop);
  try {
    const traits = await probeAtStart(context, control.drain);
    if (traits !== undefined) {
      log.emit({ name: "store-probed", ...traits });
      vitals.started = true;
      started.resolve();
      await runLoops(context, traits, cells, settings, ending);
    }
  } finally {
    ending.startStop();
    await heartbeat;
  }
  log.emit({ name: "agent-stopped", totals: { ...vitals.totals } });
  const unable = settings.once && vitals.supervisorFailures > 0;
  return ending.giveUp.aborted || unable ? "gave-up" : "drained";
}

async function runLoops(
  context: AgentContext,
  traits: StoreTraits,
  cells: Cells,
  settings: AgentSettings,
  ending: Ending,
): Promise<void> {
  const slots = new Slots(
    { ...context, ...traits, giveUp: ending.giveUp },
    cells,
    settings,
    ending.drain,
    ending.interrupt,
  );
  const dispatcher = new Dispatcher(slots, cells, settings, ending.drain);
  const loops = Promise.all([
    takeoverLoop(slots, dispatcher, ending.drain, ending.stop),
    drainWhenDone(slots, dispatcher, settings, ending),
  ]);
  await Promise.race([loops, slots.fault]);
}

/** Fills slots until it is time to go, then sees everything settled, and stops the other loops. */
async function drainWhenDone(
  slots: Slots,
  dispatcher: Dispatcher,
  settings: AgentSettings,
  ending: Ending,
): Promise<void> {
  const { clock, log, timing, vitals } = slots.context;
  const idle = await dispatcher.run();
  if (idle !== undefined) ending.startDrain(idle);
  vitals.draining = true;
  const inFlight = () => slots.unsettled;
  log.emit({ name: "draining", cause: String(ending.drain.reason), inFlight: inFlight() });
  const settled = new AbortController();
  if (settings.drainTimeoutMs > 0) {
    void clock.sleep(settings.drainTimeoutMs, settled.signal).then(() => {
      const cause = `drain timeout of ${settings.drainTimeoutMs} ms passed`;
      if (!settled.signal.aborted) ending.startInterrupt(cause);
    });
  }
  const onInterrupt = () => {
    const cause = String(ending.interrupt.reason);
    log.emit({ name: "interrupting", cause, inFlight: inFlight() });
    void clock.sleep(timing.killGraceMs + SETTLE_WINDOW_MS, settled.signal).then(() => {
      if (settled.signal.aborted) return;
      log.emit({ name: "giving-up", inFlight: inFlight() });
      ending.startGivingUp();
    });
  };
  if (ending.interrupt.aborted) onInterrupt();
  else ending.interrupt.addEventListener("abort", onInterrupt, { signal: settled.signal });
  while (slots.unsettled > 0) await slots.changed.wait(clock, timing.ttlMs);
  settled.abort();
  ending.startStop();
}

/** The stages of the way out, each a signal; what comes from outside is taken over into them. */
class Ending {
  readonly #drain = new AbortController();
  readonly #interrupt = new AbortController();
  readonly #giveUp = new AbortController();
  readonly #stop = new AbortController();

  constructor({ drain, interrupt }: AgentControl) {
    follow(drain, this.#drain);
    follow(interrupt, this.#interrupt);
  }

  get drain(): AbortSignal {
    return this.#drain.signal;
  }

  get interrupt(): AbortSignal {
    return this.#interrupt.signal;
  }

  get giveUp(): AbortSignal {
    return this.#giveUp.signal;
  }

  get stop(): AbortSignal {
    return this.#stop.signal;
  }

  startDrain(cause: string): void {
    this.#drain.abort(cause);
  }

  startInterrupt(cause: string): void {
    this.#interrupt.abort(cause);
  }

  startGivingUp(): void {
    this.#giveUp.abort();
  }

  startStop(): void {
    this.#stop.abort();
  }
}

function follow(signal: AbortSignal, controller: AbortController): void {
  if (signal.aborted) controller.abort(signal.reason);
  else signal.addEventListener("abort", () => controller.abort(signal.reason), { once: true });
}

/** Probes the store until it answers; undefined when told to drain first. */
async function probeAtStart(
  context: AgentContext,
  drain: AbortSignal,
): Promise<StoreTraits | undefined> {
  const { clock, entropy, log, vitals } = context;
  const action = "start";
  const drained = new Promise<undefined>((resolve) => {
    if (drain.aborted) resolve(undefined);
    drain.addEventListener("abort", () => resolve(undefined), { once: true });
  });
  for (let failures = 1; !drain.aborted; failures++) {
    try {
      // A probe that hangs holds nothing, so nobody needs to wait for it.
      const traits = await Promise.race([probeStore(context), drained]);
      vitals.rest("start");
      if (traits === undefined) break;
      if (failures > 1) log.emit({ name: "bucket-recovered", action, failures: failures - 1 });
      return traits;
    } catch (error) {
      if (!(error instanceof StoreError) || error.kind === "permanent") throw error;
      const random = entropy.random();
      const retryInMs = backoffMs(failures, START_BACKOFF_BASE_MS, START_BACKOFF_MAX_MS, random);
      log.emit({ name: "bucket-failing", action, failures, retryInMs, cause: error.message });
      vitals.expect("start", retryInMs + START_BACKOFF_MAX_MS * 2);
      await clock.sleep(retryInMs, drain);
    }
  }
  return undefined;
}
