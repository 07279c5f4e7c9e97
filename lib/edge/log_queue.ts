/**
 * A bounded queue between the agent and its standard output.
 *
 * Whoever reads the log may stall: journald under load, a terminal stopped with Ctrl-S, a pipe to a
 * program that hangs. A blocking write would then stop the renewal of leases, and another node
 * would start the cells again; an unbounded queue would eat the host's memory. So lines are written
 * one batch at a time in the background, and dropped, counted, where the reader is too slow:
 * expendable ones from half of the bound on, so that there is room left for what matters.
 */

/** The write side of a file: `Deno.stdout` is one. May write a part only. */
export interface LogOutput {
  write(bytes: Uint8Array): Promise<number>;
}

export interface LogQueueOptions {
  readonly output: LogOutput;
  /** Most bytes held, those being written included. */
  readonly maxBytes: number;
  /** The line that says how many were dropped, with its line end. */
  readonly droppedLine: (count: number) => string;
}

interface Entry {
  readonly bytes: Uint8Array;
  /** How many lines of the log are lost with this one: more than one for a notice of dropped ones. */
  readonly lines: number;
}

/** Bytes of one write: a pipe takes no more at once anyway. */
const BATCH_BYTES = 65_536;

/** Between tries while a non-blocking output takes nothing. */
const RETRY_MS = 20;

const LINE_END = 0x0a;

export class LogQueue {
  readonly #options: LogQueueOptions;
  readonly #encoder = new TextEncoder();
  #entries: Entry[] = [];
  #queuedBytes = 0;
  #droppedLines = 0;
  #pumping: Promise<void> | undefined;
  #readerGone = false;
  #insideLine = false;

  constructor(options: LogQueueOptions) {
    this.#options = options;
  }

  /** Queues a line, line end included, and returns at once. Never throws. */
  push(line: string, expendable: boolean): void {
    if (this.#readerGone) return;
    const bytes = this.#encoder.encode(line);
    if (this.#queuedBytes + bytes.length > this.#room(expendable)) {
      this.#droppedLines++;
      return;
    }
    if (this.#queuedBytes <= this.#options.maxBytes / 4) this.#noticeDropped();
    this.#append({ bytes, lines: 1 });
    this.#pumping ??= this.#pump();
  }

  /**
   * Resolves once everything queued is written, or after `timeoutMs`; true when nothing is left in
   * the queue.
   */
  async flush(timeoutMs: number): Promise<boolean> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const deadline = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, timeoutMs);
    });
    // A last try for what a failed write left behind.
    if (this.#entries.length > 0) this.#pumping ??= this.#pump();
    await Promise.race([this.#pumping, deadline]);
    clearTimeout(timer);
    return this.#queuedBytes === 0;
  }

  #room(expendable: boolean): number {
    const { maxBytes } = this.#options;
    if (!expendable) return maxBytes;
    // Once dropping, go on until there is a good deal of room: a few long gaps read better than
    // many short ones.
    return this.#droppedLines > 0 ? maxBytes / 4 : maxBytes / 2;
  }

  #append(entry: Entry): void {
    this.#entries.push(entry);
    this.#queuedBytes += entry.bytes.length;
  }

  #noticeDropped(): void {
    if (this.#droppedLines === 0) return;
    const bytes = this.#encoder.encode(this.#options.droppedLine(this.#droppedLines));
    this.#append({ bytes, lines: this.#droppedLines });
    this.#droppedLines = 0;
  }

  async #pump(): Promise<void> {
    let healthy = true;
    // After a failed write it waits for the next line: trying again at once would spin.
    while (healthy && this.#entries.length > 0) {
      const batch = this.#takeBatch();
      healthy = await this.#write(batch);
      for (const entry of batch) {
        this.#queuedBytes -= entry.bytes.length;
        if (!healthy) this.#droppedLines += entry.lines;
      }
      if (healthy && this.#entries.length === 0) this.#noticeDropped();
    }
    if (this.#readerGone) {
      this.#entries = [];
      this.#queuedBytes = 0;
    }
    this.#pumping = undefined;
  }

  #takeBatch(): Entry[] {
    let bytes = 0;
    let count = 0;
    while (count < this.#entries.length && (count === 0 || bytes < BATCH_BYTES)) {
      bytes += this.#entries[count].bytes.length;
      count++;
    }
    return this.#entries.splice(0, count);
  }

  /** False when it could not be written and is lost. */
  async #write(batch: readonly Entry[]): Promise<boolean> {
    let rest = concatenate(batch, this.#insideLine);
    while (rest.length > 0) {
      try {
        const written = await this.#options.output.write(rest);
        if (written > 0) this.#insideLine = rest[written - 1] !== LINE_END;
        rest = rest.subarray(written);
        if (written === 0) await delay(RETRY_MS);
      } catch (error) {
        if (error instanceof Deno.errors.WouldBlock) {
          await delay(RETRY_MS);
        } else {
          // `agent | head`: nobody reads any more, and the cells must not suffer for it. Anything
          // else, such as a full disk, may heal.
          this.#readerGone = error instanceof Deno.errors.BrokenPipe;
          return false;
        }
      }
    }
    return true;
  }
}

/** With a line end in front where a write broke off inside a line. */
function concatenate(batch: readonly Entry[], endLineFirst: boolean): Uint8Array {
  const start = endLineFirst ? 1 : 0;
  const size = batch.reduce((sum, entry) => sum + entry.bytes.length, start);
  const bytes = new Uint8Array(size).fill(LINE_END, 0, start);
  let offset = start;
  for (const entry of batch) {
    bytes.set(entry.bytes, offset);
    offset += entry.bytes.length;
  }
  return bytes;
}

function delay(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
