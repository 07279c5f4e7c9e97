/**
 * The bucket's heart, with everybody who changes it known by name: what the checkers look at. No
 * checker ever sees what an agent says of itself.
 */
import { type BucketObject, type Change, MemoryBucket } from "../../scripts/s3/bucket.ts";
import { hashBytes } from "./random.ts";
import { storeTimeMs } from "./process.ts";
import type { StorePlan } from "./scenario.ts";
import type { VirtualTime } from "./virtual_time.ts";

/** Who made a change. */
export type Author =
  | {
    readonly kind: "agent";
    readonly node: string;
    readonly process: string;
    /** For a delete: the time of the look that this very request was preceded by, if it was. */
    readonly lookedMs?: number;
  }
  | { readonly kind: "person" };

export interface AuthoredChange extends Change {
  readonly author: Author;
  readonly atMs: number;
  /** Since the change before of the same key; Infinity for the first. */
  readonly quietMs: number;
  /** From 1, in order of effect. */
  readonly order: number;
}

export type ChangeObserver = (change: AuthoredChange) => void;

export class History {
  readonly bucket: MemoryBucket;
  readonly #observers: ChangeObserver[] = [];
  readonly #lastLookMs = new Map<string, number>();
  readonly #lastChangeMs = new Map<string, number>();
  #author: Author = { kind: "person" };
  #order = 0;
  #writes = 0;

  constructor(time: VirtualTime, plan: StorePlan) {
    this.bucket = new MemoryBucket({
      now: () => storeTimeMs(time),
      conditions: { create: true, replace: true, delete: plan.conditionalDelete },
      observe: (change) => {
        const atMs = time.nowMs;
        const quietMs = atMs - this.lastChangeMs(change.key);
        this.#lastChangeMs.set(change.key, atMs);
        const authored = { ...change, author: this.#author, atMs, quietMs, order: ++this.#order };
        for (const observer of this.#observers) observer(authored);
      },
      etagOf: plan.etags === "unique" ? () => `"u${++this.#writes}"` : contentEtag,
    });
  }

  /** Changes so far. */
  get order(): number {
    return this.#order;
  }

  /** True time of the last change of a key; -Infinity when there was none. */
  lastChangeMs(key: string): number {
    return this.#lastChangeMs.get(key) ?? -Infinity;
  }

  /** An agent was told how an object stood at a (true) time. */
  noteLook(author: Author, key: string, atMs: number): void {
    if (author.kind === "agent") this.#lastLookMs.set(`${author.process} ${key}`, atMs);
  }

  /** The time of an agent's last look at a key, once: what comes next needs a look of its own. */
  takeLook(author: Author, key: string): number | undefined {
    const look = `${author.kind === "agent" ? author.process : ""} ${key}`;
    const atMs = this.#lastLookMs.get(look);
    this.#lastLookMs.delete(look);
    return atMs;
  }

  observe(observer: ChangeObserver): void {
    this.#observers.push(observer);
  }

  /** Makes a change in somebody's name. */
  as<T>(author: Author, change: (bucket: MemoryBucket) => T): T {
    this.#author = author;
    return change(this.bucket);
  }

  get(key: string): BucketObject | undefined {
    return this.bucket.get(key);
  }
}

function contentEtag(body: Uint8Array): string {
  const high = (hashBytes(body) >>> 0).toString(16);
  return `"${high}${(hashBytes(body, 0x5bd1e995) >>> 0).toString(16)}"`;
}
