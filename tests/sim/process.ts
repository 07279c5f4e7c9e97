/**
 * A simulated agent process: the gate through which everything that happens reaches its code, and
 * the clock and the chance that it is given.
 *
 * A dead process gets nothing any more: its promises never settle, so no line of it runs again. A
 * frozen one gets everything once it is woken, in the order in which it came.
 */
import type { Clock, Entropy } from "../../lib/ports.ts";
import { Random } from "./random.ts";
import type { NodePlan } from "./scenario.ts";
import type { VirtualTime } from "./virtual_time.ts";

/** Port calls within one turn after which the process is taken to be in an endless loop. */
const CALLS_PER_TURN = 20_000;

export class SimulatedProcess {
  readonly time: VirtualTime;
  readonly incarnation: number;
  /** Such as `n1.0`: node and incarnation; its nonces begin with it. */
  readonly name: string;
  wasFrozen = false;
  #alive = true;
  #frozen = false;
  readonly #held: (() => void)[] = [];
  #turn = -1;
  #callsInTurn = 0;
  readonly #onSpin: () => void;

  constructor(time: VirtualTime, node: string, incarnation: number, onSpin: () => void) {
    this.time = time;
    this.incarnation = incarnation;
    this.name = `${node}.${incarnation}`;
    this.#onSpin = onSpin;
  }

  get alive(): boolean {
    return this.#alive;
  }

  get frozen(): boolean {
    return this.#frozen;
  }

  /** Lets `action`, which runs the process's code, happen now, on waking, or never. */
  deliver(action: () => void): void {
    if (!this.#alive) return;
    if (this.#frozen) {
      this.#held.push(action);
      return;
    }
    this.time.noteProductionRan();
    action();
  }

  /**
   * To be called at the start of every port call. False when the process is dead, and the call is
   * one that it never got to make: the caller then returns a promise that never settles.
   */
  enter(): boolean {
    if (this.#turn !== this.time.turns) {
      this.#turn = this.time.turns;
      this.#callsInTurn = 0;
    }
    if (this.#alive && ++this.#callsInTurn > CALLS_PER_TURN) {
      this.#alive = false;
      this.#onSpin();
    }
    return this.#alive;
  }

  kill(): void {
    this.#alive = false;
    this.#held.length = 0;
  }

  freeze(): void {
    this.#frozen = true;
    this.wasFrozen = true;
  }

  /** Everything held back is delivered, one event after the other. */
  wake(): void {
    if (!this.#frozen) return;
    this.#frozen = false;
    for (const action of this.#held.splice(0)) this.time.after(0, () => this.deliver(action));
  }
}

export function never<T>(): Promise<T> {
  return new Promise<T>(() => {});
}

/** How a node's clocks go. */
export type ClockPlan = Pick<NodePlan, "wallOffsetMs" | "clockRate">;

/** True time zero, for wall clocks. */
const EPOCH_MS = Date.UTC(2026, 0, 1);

/** A node's clocks: the wall clock is off by the plan's offset, the monotonic one runs at its rate. */
export class SimulatedClock implements Clock {
  readonly #process: SimulatedProcess;
  readonly #plan: ClockPlan;
  readonly #lateness: Random;

  constructor(process: SimulatedProcess, plan: ClockPlan, seed: number) {
    this.#process = process;
    this.#plan = plan;
    this.#lateness = new Random(seed, `lateness ${process.name}`);
  }

  now(): number {
    return Math.round(EPOCH_MS + this.#process.time.nowMs + this.#plan.wallOffsetMs);
  }

  monotonic(): number {
    return 1000 * this.#process.incarnation + this.#process.time.nowMs * this.#plan.clockRate;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    const process = this.#process;
    if (!process.enter()) return never();
    if (ms <= 0 || signal?.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      // A timer fires a little late, and now and then a good deal.
      const lateMs = this.#lateness.next() ** 8 * 50;
      const onTime = () => {
        signal?.removeEventListener("abort", onAbort);
        resolve();
      };
      const timer = process.time.after(
        ms / this.#plan.clockRate + lateMs,
        () => process.deliver(onTime),
      );
      const onAbort = () => {
        process.time.cancel(timer);
        resolve();
      };
      signal?.addEventListener("abort", onAbort, { once: true });
    });
  }
}

/** A stream of its own for each process; nonces that can be read in a trace. */
export function simulatedEntropy(process: SimulatedProcess, seed: number): Entropy {
  const random = new Random(seed, `entropy ${process.name}`);
  let nonces = 0;
  return {
    random: () => random.next(),
    nonce: () => `${process.name}#${++nonces}`,
  };
}

/** Wall-clock milliseconds of the store, whose clock is right. */
export function storeTimeMs(time: VirtualTime): number {
  return EPOCH_MS + time.nowMs;
}
