/**
 * What is kept and what is shown of a supervisor's output: lines for the log, and the last bytes for
 * the result record. Both hold a bounded number of bytes, whatever a supervisor writes.
 */

/** One line of output, or a piece of one that was too long. */
export interface OutputLine {
  /** Without its line end. Bytes that are not UTF-8 have become U+FFFD. */
  readonly text: string;
  /** True when the same line goes on in the next piece. */
  readonly truncated: boolean;
}

const LINE_FEED = 0x0a;
const CARRIAGE_RETURN = 0x0d;
const DEFAULT_MAX_LINE_BYTES = 8192;
/** A UTF-8 sequence has at most four bytes: no shorter limit leaves room for one. */
const MIN_LINE_BYTES = 4;

/**
 * Splits a stream of bytes into lines. A line ends at LF or CR LF. A line of more than `maxBytes`
 * comes in pieces of at most `maxBytes`, cut between UTF-8 sequences, all but the last marked
 * truncated. The pieces together are the whole output: nothing is dropped.
 */
export class OutputLines {
  readonly #maxBytes: number;
  readonly #decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  /** The line not ended yet: never more than `maxBytes` + 1 bytes between two calls. */
  #rest: Uint8Array = new Uint8Array(0);

  /** @param maxBytes Longest piece, in bytes without the line end; at least 4. */
  constructor(maxBytes = DEFAULT_MAX_LINE_BYTES) {
    if (!(maxBytes >= MIN_LINE_BYTES)) {
      throw new RangeError(`A line must have room for ${MIN_LINE_BYTES} bytes, got ${maxBytes}`);
    }
    this.#maxBytes = maxBytes;
  }

  /** Takes the next bytes and returns the lines, or pieces, that they complete. */
  push(chunk: Uint8Array): OutputLine[] {
    const lines: OutputLine[] = [];
    let from = 0;
    for (let at = chunk.indexOf(LINE_FEED); at >= 0; at = chunk.indexOf(LINE_FEED, from)) {
      this.#finish(joined(this.#rest, chunk.subarray(from, at)), lines);
      this.#rest = new Uint8Array(0);
      from = at + 1;
    }
    // One byte more than fits is kept back: it may be the CR of a line that just fits.
    const rest = joined(this.#rest, chunk.subarray(from));
    // A copy, so that a short rest does not keep the whole chunk it came in.
    this.#rest = this.#cut(rest, this.#maxBytes + 1, lines).slice();
    return lines;
  }

  /** Ends the stream, and returns what is left of a last line that had no line end. */
  end(): OutputLine[] {
    const lines: OutputLine[] = [];
    if (this.#rest.length > 0) this.#finish(this.#rest, lines);
    this.#rest = new Uint8Array(0);
    return lines;
  }

  #finish(line: Uint8Array, into: OutputLine[]): void {
    const end = line.at(-1) === CARRIAGE_RETURN ? line.length - 1 : line.length;
    const last = this.#cut(line.subarray(0, end), this.#maxBytes, into);
    into.push({ text: this.#decoder.decode(last), truncated: false });
  }

  /** Takes pieces off the front until at most `keepBytes` are left, which it returns. */
  #cut(bytes: Uint8Array, keepBytes: number, into: OutputLine[]): Uint8Array {
    let left = bytes;
    while (left.length > keepBytes) {
      const end = pieceEnd(left, this.#maxBytes);
      into.push({ text: this.#decoder.decode(left.subarray(0, end)), truncated: true });
      left = left.subarray(end);
    }
    return left;
  }
}

/** Counts the bytes of a stream and keeps the last of them. */
export class OutputTail {
  readonly #maxBytes: number;
  #kept: Uint8Array = new Uint8Array(0);
  #totalBytes = 0;

  /** @param maxBytes How many bytes to keep; 0 keeps none. */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** All bytes seen, kept or not. */
  get totalBytes(): number {
    return this.#totalBytes;
  }

  /** The last bytes of the stream, as they were written. */
  get bytes(): Uint8Array {
    return this.#kept;
  }

  push(chunk: Uint8Array): void {
    this.#totalBytes += chunk.length;
    const end = chunk.slice(Math.max(0, chunk.length - this.#maxBytes));
    const before = Math.min(this.#kept.length, this.#maxBytes - end.length);
    this.#kept = joined(this.#kept.subarray(this.#kept.length - before), end);
  }
}

/** The two in one; the bytes are copied only where they must be. */
function joined(head: Uint8Array, tail: Uint8Array): Uint8Array {
  if (head.length === 0) return tail;
  const whole = new Uint8Array(head.length + tail.length);
  whole.set(head);
  whole.set(tail, head.length);
  return whole;
}

/** The longest prefix of at most `maxBytes` that does not end inside a UTF-8 sequence. */
function pieceEnd(bytes: Uint8Array, maxBytes: number): number {
  for (let end = maxBytes; end > maxBytes - MIN_LINE_BYTES; end--) {
    if (!isContinuation(bytes[end])) return end;
  }
  // Four continuation bytes in a row are not UTF-8: there is no sequence to keep whole.
  return maxBytes;
}

function isContinuation(byte: number): boolean {
  return (byte & 0xc0) === 0x80;
}
