/**
 * UUIDs of version 7 (RFC 9562, section 5.7): ids that sort by the time they were made, so that a
 * listing of the queue shows the oldest first. Those of one maker keep their order within a
 * millisecond too, by a counter in the place of the first random bits (section 6.2, method 1).
 */
import type { Clock, Entropy } from "../ports.ts";

const COUNTER_MAX = 0xfff;
/** The counter starts in the lower half of its range, to have room to count. */
const COUNTER_START_MAX = 0x7ff;

export class TimeOrderedIds {
  readonly #clock: Clock;
  readonly #entropy: Entropy;
  #ms = -1;
  #counter = 0;

  constructor(clock: Clock, entropy: Entropy) {
    this.#clock = clock;
    this.#entropy = entropy;
  }

  /** Greater than every id before it, also when the clock stands still or goes back. */
  next(): string {
    const nowMs = Math.floor(this.#clock.now());
    if (nowMs > this.#ms) {
      this.#ms = nowMs;
      this.#counter = this.#below(COUNTER_START_MAX + 1);
    } else if (++this.#counter > COUNTER_MAX) {
      this.#ms++;
      this.#counter = this.#below(COUNTER_START_MAX + 1);
    }
    const time = hex(this.#ms, 12);
    const variant = hex(0x8000 + this.#below(0x4000), 4);
    const random = hex(this.#below(2 ** 24), 6) + hex(this.#below(2 ** 24), 6);
    return `${time.slice(0, 8)}-${time.slice(8)}-7${hex(this.#counter, 3)}-${variant}-${random}`;
  }

  #below(limit: number): number {
    return Math.floor(this.#entropy.random() * limit);
  }
}

function hex(value: number, digits: number): string {
  return value.toString(16).padStart(digits, "0");
}
