/**
 * What to try next, from listings and from what is known of single spec versions. Pure bookkeeping:
 * reading and claiming are the caller's.
 */
import type { QueueKeys } from "./keys.ts";

/** One version of a pending spec, as a listing shows it. */
export interface Candidate {
  readonly id: string;
  readonly key: string;
  readonly etag: string;
  readonly lastModifiedMs: number;
}

/**
 * The candidates among listed objects, and the keys that are none: other names below `pending/` are
 * not specs. The folder's own marker, which some tools create, is neither.
 */
export function candidatesOf(
  keys: QueueKeys,
  objects: readonly { key: string; etag: string; lastModifiedMs: number }[],
): { candidates: Candidate[]; others: string[] } {
  const candidates: Candidate[] = [];
  const others: string[] = [];
  for (const { key, etag, lastModifiedMs } of objects) {
    const id = keys.specId("pending", key);
    if (id !== undefined && keys.fits(id)) candidates.push({ id, key, etag, lastModifiedMs });
    else if (key !== keys.folder("pending")) others.push(key);
  }
  return { candidates, others };
}

/** Oldest first, by the store's time and then by key, so that every node sees one order. */
export function byAge(a: Candidate, b: Candidate): number {
  if (a.lastModifiedMs !== b.lastModifiedMs) return a.lastModifiedMs - b.lastModifiedMs;
  return a.key < b.key ? -1 : a.key > b.key ? 1 : 0;
}

/**
 * Which of the oldest candidates to try: at random among the first few, so that nodes do not all
 * race for one key. How many adapts: a try that came too late doubles the window, one that came in
 * time shrinks it a little. A node alone in its queue is close to first in, first out; a crowd
 * settles where about one try in fifty is lost.
 */
export class PickWindow {
  static readonly MIN = 4;
  static readonly MAX = 1024;
  #width: number = PickWindow.MIN;

  /** The index to try, among `length` candidates in order of age. */
  pick(length: number, random: number): number {
    return Math.floor(random * Math.min(length, Math.ceil(this.#width)));
  }

  /** The candidate was another node's, or gone. */
  tooLate(): void {
    this.#width = Math.min(PickWindow.MAX, this.#width * 2);
  }

  /** The candidate became a claim. */
  inTime(): void {
    this.#width = Math.max(PickWindow.MIN, this.#width * 0.985);
  }
}

/** What is known of a spec version that need not be read again. */
export type Verdict =
  | { readonly kind: "eligible" }
  | { readonly kind: "foreign" }
  /** Held by another node; worth another try from this moment on (monotonic milliseconds). */
  | { readonly kind: "held"; readonly until: number };

/**
 * A bounded memory of spec versions by key and ETag. What was used least recently is forgotten
 * first, and then read once more.
 */
export class KnownVersions {
  #verdicts = new Map<string, { etag: string; verdict: Verdict }>();
  readonly #capacity: number;

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  get(candidate: Candidate): Verdict | undefined {
    const known = this.#verdicts.get(candidate.key);
    if (known === undefined || known.etag !== candidate.etag) return undefined;
    this.#verdicts.delete(candidate.key);
    this.#verdicts.set(candidate.key, known);
    return known.verdict;
  }

  set(candidate: Candidate, verdict: Verdict): void {
    this.#verdicts.delete(candidate.key);
    this.#verdicts.set(candidate.key, { etag: candidate.etag, verdict });
    if (this.#verdicts.size > this.#capacity) {
      const oldest = this.#verdicts.keys().next();
      if (!oldest.done) this.#verdicts.delete(oldest.value);
    }
  }

  forget(key: string): void {
    this.#verdicts.delete(key);
  }

  get size(): number {
    return this.#verdicts.size;
  }
}
