/**
 * Seeded chance. Each consumer has a stream of its own, by name, so that one that draws more often
 * does not change what the others draw.
 *
 * The generator is sfc32 (Chris Doty-Humphrey, PractRand): 128 bits of state, fast, and good enough
 * for drawing faults.
 */
export class Random {
  #a: number;
  #b: number;
  #c: number;
  #counter = 1;

  constructor(seed: number, stream: string) {
    this.#a = hashText(stream, seed | 0);
    this.#b = hashText(stream, (seed / 2 ** 32) | 0x9e3779b9);
    this.#c = seed | 0;
    for (let round = 0; round < 12; round++) this.next();
  }

  /** Uniform in [0, 1). */
  next(): number {
    const sum = (((this.#a + this.#b) | 0) + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = ((this.#c << 21) | (this.#c >>> 11)) + sum | 0;
    return (sum >>> 0) / 2 ** 32;
  }

  /** True with the given probability. */
  chance(probability: number): boolean {
    return this.next() < probability;
  }

  /** Uniform between two bounds. */
  between(low: number, high: number): number {
    return low + this.next() * (high - low);
  }

  /** A whole number from `low` to `high`, both included. */
  whole(low: number, high: number): number {
    return low + Math.floor(this.next() * (high - low + 1));
  }

  pick<T>(items: readonly T[]): T {
    return items[Math.floor(this.next() * items.length)];
  }
}

/** FNV-1a over the units of a text, 32 bits. */
export function hashText(text: string, start = 0): number {
  let hash = 0x811c9dc5 ^ start;
  for (let index = 0; index < text.length; index++) {
    hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  }
  return hash;
}

/** FNV-1a over bytes, 32 bits. */
export function hashBytes(bytes: Uint8Array, start = 0): number {
  let hash = 0x811c9dc5 ^ start;
  for (let index = 0; index < bytes.length; index++) {
    hash = Math.imul(hash ^ bytes[index], 0x01000193);
  }
  return hash;
}
