/**
 * One run of a supervisor under a lease: starts it, keeps the lease renewed, and sees to it that the
 * cell is dead when it may no longer run.
 */
import { jitteredMs } from "./core/backoff.ts";
import { StoreError } from "./core/store_error.ts";
import { SupervisorError } from "./core/supervisor_error.ts";
import type { ClaimedSpec } from "./claim.ts";
import type { StopCause } from "./events.ts";
import type { ClaimContext } from "./claim_context.ts";
import { ClaimLost, type HeldLease } from "./held_lease.ts";
import type { CellExit, Cells, RunningCell } from "./ports.ts";

/** How cells are run on this node. */
export interface CellSettings {
  readonly fence: "strict" | "confirmed";
  /** Longest run of a cell; 0 for no limit. */
  readonly cellTimeoutMs: number;
}

/** What may end a run from outside. */
export interface CellControl {
  /** The agent must end: the claim is given back. */
  readonly interrupt: AbortSignal;
  /** A person cancelled the spec: that is its outcome. */
  readonly cancel: AbortSignal;
}

/** How a run ended. Times are the node's wall clock, the duration is monotonic; milliseconds. */
export type CellEnd =
  /** By itself, or stopped for what is an outcome too. */
  | {
    readonly kind: "ended";
    readonly exit: CellExit;
    readonly stopped: "timeout" | "cancelled" | undefined;
    readonly startedAtMs: number;
    readonly endedAtMs: number;
    readonly durationMs: number;
  }
  /** Cancelled before it was started. */
  | { readonly kind: "cancelled" }
  /** Stopped for a reason that says nothing about the spec. */
  | { readonly kind: "stopped"; readonly cause: "fenced" | "lost" | "interrupted" }
  /** There was no supervisor to start. */
  | { readonly kind: "not-started"; readonly error: SupervisorError };

/**
 * Runs the cell of a claimed spec to its end. Rejects with `ClaimLost` when the claim is lost before
 * the cell is started. After it has resolved, nothing of the cell's process group is left running
 * that this node could stop, and the lease is no longer renewed.
 */
export async function runCell(
  context: ClaimContext,
  cells: Cells,
  settings: CellSettings,
  { held, spec }: ClaimedSpec,
  { interrupt, cancel }: CellControl,
): Promise<CellEnd> {
  const { clock, log, timing } = context;
  // Enough for the first renewal to come in time. With the longest grace that is allowed it still
  // leaves room for a slow write, or the lease would be renewed without end.
  await held.ensureTrust(timing.killGraceMs + timing.requestTimeoutMs);
  if (cancel.aborted) return { kind: "cancelled" };
  if (interrupt.aborted) return { kind: "stopped", cause: "interrupted" };
  const over = new AbortController();
  const renewing = keepRenewed(context, held, over.signal);
  try {
    const { nonce: claim, attempt } = held.lease;
    const cell = await cells.start({ specId: held.id, attempt, claim, spec });
    const startedAtMs = clock.now();
    const startedMs = clock.monotonic();
    log.emit({ name: "cell-running", specId: held.id, claim, attempt });
    const stopper = new CellStopper(context, held.id, cell, over.signal);
    watchOver(context, settings, held, stopper, { interrupt, cancel }, over.signal);
    const exit = await cell.exited;
    const { exitCode, signal } = exit;
    const durationMs = clock.monotonic() - startedMs;
    const stopped = stopper.cause;
    log.emit({ name: "cell-exited", specId: held.id, exitCode, signal, durationMs, stopped });
    if (stopped === "fenced" || stopped === "lost" || stopped === "interrupted") {
      return { kind: "stopped", cause: stopped };
    }
    return { kind: "ended", exit, stopped, startedAtMs, endedAtMs: clock.now(), durationMs };
  } catch (error) {
    if (error instanceof SupervisorError) return { kind: "not-started", error };
    throw error;
  } finally {
    over.abort();
    await renewing;
  }
}

/** Sets up everything that may stop the cell; all of it ends with `over`. */
function watchOver(
  context: ClaimContext,
  settings: CellSettings,
  held: HeldLease,
  stopper: CellStopper,
  { interrupt, cancel }: CellControl,
  over: AbortSignal,
): void {
  const { clock, timing } = context;
  const graceEndsMs = () => clock.monotonic() + timing.killGraceMs;
  const strict = settings.fence === "strict";
  if (strict) void fenceInTime(context, held, stopper, over);
  whenAborted(held.lost, over, () => {
    // Strictly, the cell has to be gone while the last renewal still counts.
    stopper.stop("lost", strict ? Math.min(graceEndsMs(), held.trustEndsMs) : graceEndsMs());
  });
  whenAborted(cancel, over, () => stopper.stop("cancelled", graceEndsMs()));
  whenAborted(interrupt, over, () => stopper.stop("interrupted", graceEndsMs()));
  if (settings.cellTimeoutMs > 0) {
    void clock.sleep(settings.cellTimeoutMs, over).then(() => {
      if (!over.aborted) stopper.stop("timeout", graceEndsMs());
    });
  }
}

/** Stops the cell early enough that it is gone when the lease can no longer be relied on. */
async function fenceInTime(
  { clock }: ClaimContext,
  held: HeldLease,
  stopper: CellStopper,
  over: AbortSignal,
): Promise<void> {
  while (!over.aborted) {
    const leftMs = held.fenceAtMs - clock.monotonic();
    if (leftMs <= 0) {
      stopper.stop("fenced", held.trustEndsMs);
      return;
    }
    await clock.sleep(leftMs, over);
  }
}

/** SIGTERM at the first reason to stop, SIGKILL at the earliest deadline of any. */
class CellStopper {
  readonly #context: ClaimContext;
  readonly #id: string;
  readonly #cell: RunningCell;
  readonly #over: AbortSignal;
  #killAtMs = Infinity;
  #cause: StopCause | undefined;

  constructor(context: ClaimContext, id: string, cell: RunningCell, over: AbortSignal) {
    this.#context = context;
    this.#id = id;
    this.#cell = cell;
    this.#over = over;
  }

  /** The first reason to stop, if there was one before the cell ended. */
  get cause(): StopCause | undefined {
    return this.#cause;
  }

  stop(cause: StopCause, killAtMs: number): void {
    if (this.#over.aborted) return;
    if (this.#cause === undefined) {
      this.#cause = cause;
      const graceMs = Math.max(0, killAtMs - this.#context.clock.monotonic());
      this.#context.log.emit({ name: "cell-stopping", specId: this.#id, cause, graceMs });
      this.#cell.signal("SIGTERM");
    }
    if (killAtMs < this.#killAtMs) {
      this.#killAtMs = killAtMs;
      void this.#killAt(killAtMs);
    }
  }

  async #killAt(killAtMs: number): Promise<void> {
    const { clock } = this.#context;
    const leftMs = killAtMs - clock.monotonic();
    if (leftMs > 0) await clock.sleep(leftMs, this.#over);
    if (!this.#over.aborted) this.#cell.signal("SIGKILL");
  }
}

/**
 * Renews the lease until `stop`, each third of its lifetime from the start of the last renewal, and
 * sooner after a failure. Never rejects. Ends early when the lease is lost, which `held.lost` tells.
 */
async function keepRenewed(
  context: ClaimContext,
  held: HeldLease,
  stop: AbortSignal,
): Promise<void> {
  const { clock, entropy, log, timing, vitals } = context;
  const loop = `renewal ${held.id}`;
  let waitMs = held.renewedMs + timing.renewEveryMs - clock.monotonic();
  for (;;) {
    vitals.expect(loop, Math.max(0, waitMs) + timing.ttlMs);
    await clock.sleep(Math.max(0, waitMs), stop);
    if (stop.aborted) break;
    const { outcome, cause } = await renewOnce(held);
    if (outcome === "lost") {
      log.emit({ name: "lease-lost", specId: held.id });
      break;
    }
    if (outcome === "stored") {
      log.emit({ name: "lease-renewed", specId: held.id, attempt: held.lease.attempt });
      waitMs = held.renewedMs + timing.renewEveryMs - clock.monotonic();
    } else {
      const trustLeftMs = Math.round(held.trustEndsMs - clock.monotonic());
      log.emit({ name: "lease-renewal-failed", specId: held.id, trustLeftMs, cause });
      waitMs = jitteredMs(timing.renewRetryMs, entropy.random());
    }
  }
  vitals.rest(loop);
}

async function renewOnce(
  held: HeldLease,
): Promise<{ outcome: "stored" | "lost" | "unknown"; cause: string }> {
  try {
    const outcome = await held.renew();
    return { outcome, cause: held.doubt };
  } catch (error) {
    if (error instanceof StoreError) return { outcome: "unknown", cause: error.message };
    if (error instanceof ClaimLost) {
      return { outcome: held.lost.aborted ? "lost" : "unknown", cause: error.message };
    }
    throw error;
  }
}

/** Runs `action` once `signal` is aborted, unless `over` comes first. */
function whenAborted(signal: AbortSignal, over: AbortSignal, action: () => void): void {
  if (over.aborted) return;
  if (signal.aborted) return action();
  signal.addEventListener("abort", action, { once: true, signal: over });
}
