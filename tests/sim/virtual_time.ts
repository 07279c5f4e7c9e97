/**
 * Virtual time: one queue of events in order of (time, sequence), and nothing else that moves.
 *
 * Production code awaits nothing but promises of its ports, and those are settled by events only. So
 * after an event that settled one, a whole macrotask turn lets every microtask that follows from it
 * run to its end before the next event fires. What happens is then a function of the seed alone.
 */
import { setImmediate } from "node:timers";

/** An event that is waiting for its time. */
export interface Scheduled {
  readonly atUs: number;
  readonly sequence: number;
  /** Undefined once cancelled. */
  action: (() => void) | undefined;
}

export class VirtualTime {
  readonly #heap: Scheduled[] = [];
  #sequence = 0;
  /** Whole microseconds, so that times compare exactly. */
  #nowUs = 0;
  #productionRan = false;
  #stopped = false;
  /** Turns in which production code ran. */
  turns = 0;

  /** True time in milliseconds since the start. */
  get nowMs(): number {
    return this.#nowUs / 1000;
  }

  /** Runs `action` after `ms`, rounded up to whole microseconds. */
  after(ms: number, action: () => void): Scheduled {
    const delayUs = Math.max(0, Math.ceil(ms * 1000));
    const event = { atUs: this.#nowUs + delayUs, sequence: this.#sequence++, action };
    push(this.#heap, event);
    return event;
  }

  /** Runs `action` at a time, or now if that has passed. */
  at(ms: number, action: () => void): Scheduled {
    return this.after(ms - this.nowMs, action);
  }

  cancel(event: Scheduled): void {
    event.action = undefined;
  }

  /** To be called by whatever settles a promise that production code may wait for. */
  noteProductionRan(): void {
    this.#productionRan = true;
  }

  /** Ends `run` before the next event. */
  stop(): void {
    this.#stopped = true;
  }

  /** Fires events until none is left or `stop` is called. Rejects with what an event throws. */
  run(): Promise<void> {
    return new Promise((resolve, reject) => {
      const step = () => {
        try {
          while (!this.#stopped) {
            const event = pop(this.#heap);
            if (event === undefined) break;
            if (event.action === undefined) continue;
            this.#nowUs = event.atUs;
            event.action();
            if (!this.#productionRan) continue;
            this.#productionRan = false;
            this.turns++;
            setImmediate(step);
            return;
          }
          resolve();
        } catch (error) {
          reject(error);
        }
      };
      // The first turn lets what was started before the run get to its first await.
      setImmediate(step);
    });
  }
}

function before(a: Scheduled, b: Scheduled): boolean {
  return a.atUs < b.atUs || (a.atUs === b.atUs && a.sequence < b.sequence);
}

function push(heap: Scheduled[], event: Scheduled): void {
  let index = heap.length;
  heap.push(event);
  while (index > 0) {
    const parent = (index - 1) >> 1;
    if (!before(event, heap[parent])) break;
    heap[index] = heap[parent];
    index = parent;
  }
  heap[index] = event;
}

function pop(heap: Scheduled[]): Scheduled | undefined {
  const first = heap[0];
  const last = heap.pop();
  if (last === undefined || heap.length === 0) return first;
  let index = 0;
  for (;;) {
    let child = 2 * index + 1;
    if (child >= heap.length) break;
    if (child + 1 < heap.length && before(heap[child + 1], heap[child])) child++;
    if (!before(heap[child], last)) break;
    heap[index] = heap[child];
    index = child;
  }
  heap[index] = last;
  return first;
}
