import type { Clock } from "./ports.ts";

/** A sleep that others can end early. */
export class Wakeup {
  #controller = new AbortController();

  /** Ends the wait that is under way, if any. Does not carry over to a later one. */
  wake(): void {
    const controller = this.#controller;
    this.#controller = new AbortController();
    controller.abort();
  }

  /** Resolves after `ms`, or when woken. */
  wait(clock: Clock, ms: number): Promise<void> {
    return clock.sleep(ms, this.#controller.signal);
  }
}
