import type { Clock, Terminal } from "../ports.ts";

const REDRAW_MS = 100;
const TO_LINE_START_AND_CLEAR = "\r\x1b[K";

/** A line on standard error that is drawn over; none where standard error is no terminal. */
export class Progress {
  readonly #terminal: Terminal;
  readonly #clock: Clock;
  readonly #verb: string;
  readonly #total: number | undefined;
  #drawnMs = -Infinity;
  #drawn = false;

  /** @param total undefined when it is not known how many there will be */
  constructor(terminal: Terminal, clock: Clock, verb: string, total: number | undefined) {
    this.#terminal = terminal;
    this.#clock = clock;
    this.#verb = verb;
    this.#total = total;
  }

  /** Shows a count, at most ten times a second. */
  async show(count: number): Promise<void> {
    const nowMs = this.#clock.monotonic();
    if (!this.#terminal.notesAreTerminal || nowMs - this.#drawnMs < REDRAW_MS) return;
    this.#drawnMs = nowMs;
    this.#drawn = true;
    const of = this.#total === undefined ? "" : ` of ${this.#total}`;
    await this.#terminal.note(`${TO_LINE_START_AND_CLEAR}${this.#verb} ${count}${of}`);
  }

  /** Takes the line away, to make room for other text. */
  async clear(): Promise<void> {
    if (!this.#drawn) return;
    this.#drawn = false;
    this.#drawnMs = -Infinity;
    await this.#terminal.note(TO_LINE_START_AND_CLEAR);
  }
}
