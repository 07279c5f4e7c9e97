/**
 * What the agent knows of its own health. Every loop says, each time it comes round, within what
 * time it will be back; a loop that is overdue is stuck. "Idle", "busy" and "stuck" can so be told
 * apart without knowing what the loops do.
 */
import type { AgentState, Totals } from "./events.ts";
import type { Clock } from "./ports.ts";

/** `poll`, `scan`, `heartbeat`, or `renewal <spec id>`. */
export type LoopName = string;

/** What a heartbeat, a metric or a health check says of the agent. */
export interface VitalSigns {
  readonly state: AgentState;
  readonly inFlight: number;
  readonly slots: number;
  /** Since the end of the last listing of the queue that worked; undefined before the first. */
  readonly lastPollAgeMs: number | undefined;
  readonly stuckLoops: readonly LoopName[];
  /** In a row, of the loop that fares worst; 0 while the bucket answers. */
  readonly bucketFailures: number;
  /** In a row; 0 while the supervisor can be started. */
  readonly supervisorFailures: number;
  readonly totals: Readonly<Totals>;
}

/** A claim that a slot is at work on, as far as others may see it. */
export interface ClaimInHand {
  readonly lease: {
    readonly nonce: string;
    readonly attempt: number;
    readonly claimedAt: string;
  };
  /** When the lease can no longer be relied on, in monotonic milliseconds. */
  readonly trustEndsMs: number;
}

export class Vitals {
  readonly totals: Totals = {
    claimed: 0,
    completed: 0,
    failed: 0,
    released: 0,
    takenOver: 0,
    lost: 0,
  };
  readonly slots: number;
  inFlight = 0;
  /** By spec id, from the claim to the committed outcome. */
  readonly claims = new Map<string, ClaimInHand>();
  started = false;
  draining = false;
  /** Failures in a row of the bucket, by loop. */
  readonly bucketFailures = new Map<string, number>();
  supervisorFailures = 0;
  readonly #clock: Clock;
  readonly #dueMs = new Map<LoopName, number>();
  #lastPollMs: number | undefined;

  constructor(clock: Clock, slots: number) {
    this.#clock = clock;
    this.slots = slots;
  }

  /** The loop is alive, and will say so again within `withinMs`. */
  expect(loop: LoopName, withinMs: number): void {
    this.#dueMs.set(loop, this.#clock.monotonic() + withinMs);
  }

  /** The loop has ended, or rests for as long as others need. */
  rest(loop: LoopName): void {
    this.#dueMs.delete(loop);
  }

  /** A listing of the queue was completed. */
  polled(): void {
    this.#lastPollMs = this.#clock.monotonic();
  }

  signs(): VitalSigns {
    const nowMs = this.#clock.monotonic();
    const stuckLoops = [...this.#dueMs].filter(([, dueMs]) => nowMs > dueMs).map(([loop]) => loop);
    return {
      state: this.#state(stuckLoops.length > 0),
      inFlight: this.inFlight,
      slots: this.slots,
      lastPollAgeMs: this.#lastPollMs === undefined
        ? undefined
        : Math.round(nowMs - this.#lastPollMs),
      stuckLoops,
      bucketFailures: Math.max(0, ...this.bucketFailures.values()),
      supervisorFailures: this.supervisorFailures,
      totals: { ...this.totals },
    };
  }

  #state(stuck: boolean): AgentState {
    if (stuck) return "stuck";
    if (this.draining) return "draining";
    if (!this.started) return "starting";
    const failing = [...this.bucketFailures.values()].some((count) => count > 0);
    if (failing || this.supervisorFailures > 0) return "backing-off";
    return this.inFlight > 0 ? "busy" : "idle";
  }
}
