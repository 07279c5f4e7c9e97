/**
 * Keys in the order in which S3 lists them: by their UTF-8 bytes.
 *
 * JavaScript compares strings by UTF-16 units, which gives the same order except that surrogates
 * (code points from U+10000) sort before U+E000 to U+FFFF instead of after. Swapping the two ranges
 * unit by unit makes the cheap native comparison right, and keeps prefixes prefixes.
 */

const OUT_OF_ORDER = /[\ud800-\uffff]/;

/** The string whose native order is the key's UTF-8 order; the key itself in nearly every case. */
export function collated(key: string): string {
  return OUT_OF_ORDER.test(key) ? mapUnits(key, surrogatesLast) : key;
}

/** The key of a collated string. */
export function uncollated(sortable: string): string {
  return OUT_OF_ORDER.test(sortable) ? mapUnits(sortable, surrogatesBack) : sortable;
}

/** Negative, zero or positive, as for `Array.sort`. */
export function compareKeys(left: string, right: string): number {
  const [a, b] = [collated(left), collated(right)];
  return a < b ? -1 : a > b ? 1 : 0;
}

/** The least string above every string that starts with `prefix`; undefined when there is none. */
export function prefixEnd(prefix: string): string | undefined {
  for (let length = prefix.length; length > 0; length--) {
    const last = prefix.charCodeAt(length - 1);
    if (last < 0xffff) return prefix.slice(0, length - 1) + String.fromCharCode(last + 1);
  }
  return undefined;
}

function surrogatesLast(unit: number): number {
  if (unit >= 0xe000) return unit - 0x800;
  return unit >= 0xd800 ? unit + 0x2000 : unit;
}

function surrogatesBack(unit: number): number {
  if (unit >= 0xf800) return unit - 0x2000;
  return unit >= 0xd800 ? unit + 0x800 : unit;
}

function mapUnits(text: string, map: (unit: number) => number): string {
  let result = "";
  for (let i = 0; i < text.length; i++) result += String.fromCharCode(map(text.charCodeAt(i)));
  return result;
}

const CHUNK_LIMIT = 512;

/**
 * A sorted set of strings in chunks of bounded length, so that one insertion moves at most a chunk
 * and the list of chunks. Finding costs two binary searches, stepping on costs nothing to speak of.
 */
export class SortedKeys {
  /** Never an empty chunk; every string of a chunk is below every string of the next. */
  readonly #chunks: string[][] = [];

  /** Adds a string that is not in the set yet. */
  add(key: string): void {
    const chunks = this.#chunks;
    if (chunks.length === 0) {
      chunks.push([key]);
      return;
    }
    const at = Math.min(this.#chunkFor(key), chunks.length - 1);
    const chunk = chunks[at];
    chunk.splice(lowerBound(chunk, key), 0, key);
    if (chunk.length > CHUNK_LIMIT) chunks.splice(at + 1, 0, chunk.splice(CHUNK_LIMIT >> 1));
  }

  /** Removes a string that is in the set. */
  delete(key: string): void {
    const at = this.#chunkFor(key);
    const chunk = this.#chunks[at];
    chunk.splice(lowerBound(chunk, key), 1);
    const next = this.#chunks[at + 1];
    if (chunk.length === 0) this.#chunks.splice(at, 1);
    else if (next !== undefined && chunk.length + next.length < CHUNK_LIMIT >> 1) {
      chunk.push(...next);
      this.#chunks.splice(at + 1, 1);
    }
  }

  /** A cursor at the first string that is not below `bound`. Not valid after a change of the set. */
  cursor(bound: string): KeyCursor {
    return new KeyCursor(this.#chunks, (key) => this.#chunkFor(key), bound);
  }

  /** The first chunk whose last string is not below `key`: where it is, or would go. */
  #chunkFor(key: string): number {
    let [low, high] = [0, this.#chunks.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      const chunk = this.#chunks[middle];
      if (chunk[chunk.length - 1] < key) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** A place in a `SortedKeys`, moving upwards. */
export class KeyCursor {
  #chunk = 0;
  #index = 0;

  constructor(
    private readonly chunks: readonly string[][],
    private readonly chunkFor: (key: string) => number,
    bound: string,
  ) {
    this.seek(bound);
  }

  /** The string here; undefined past the end. */
  get key(): string | undefined {
    return this.chunks[this.#chunk]?.[this.#index];
  }

  next(): void {
    if (++this.#index < this.chunks[this.#chunk].length) return;
    this.#chunk++;
    this.#index = 0;
  }

  /** Goes to the first string not below `bound`, or past the end for undefined. */
  seek(bound: string | undefined): void {
    this.#chunk = bound === undefined ? this.chunks.length : this.chunkFor(bound);
    const chunk = this.chunks[this.#chunk];
    this.#index = chunk === undefined ? 0 : lowerBound(chunk, bound!);
  }
}

function lowerBound(sorted: readonly string[], key: string): number {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle] < key) low = middle + 1;
    else high = middle;
  }
  return low;
}
