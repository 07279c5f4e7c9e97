/**
 * Everything that happens in a run, in order: folded into one hash, which proves that a run was
 * replayed, and kept as text when somebody wants to read it.
 */
import { hashText } from "./random.ts";
import type { VirtualTime } from "./virtual_time.ts";

export class Trace {
  readonly #time: VirtualTime;
  readonly #lines: string[] | undefined;
  #hash = 0;
  #events = 0;

  constructor(time: VirtualTime, readable: boolean) {
    this.#time = time;
    this.#lines = readable ? [] : undefined;
  }

  /** Whether anybody is going to read it. */
  get readable(): boolean {
    return this.#lines !== undefined;
  }

  add(who: string, what: string): void {
    const nowMs = this.#time.nowMs;
    this.#events++;
    this.#hash = hashText(what, hashText(who, Math.imul(this.#hash, 31) ^ (nowMs * 1000)));
    this.#lines?.push(`${nowMs.toFixed(3).padStart(12)}  ${who.padEnd(10)}  ${what}`);
  }

  /** Of all events so far and their times. */
  get hash(): string {
    return (this.#hash >>> 0).toString(16).padStart(8, "0") + "-" + this.#events;
  }

  get lines(): readonly string[] {
    return this.#lines ?? [];
  }
}
