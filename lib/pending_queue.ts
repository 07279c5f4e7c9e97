/**
 * The queue as this node sees it: lists `pending/` window by window, knows which spec versions are
 * not for it, and gives out what to try next.
 */
import {
  byAge,
  type Candidate,
  candidatesOf,
  KnownVersions,
  PickWindow,
  type Verdict,
} from "./core/candidates.ts";
import { type Preference, Shares } from "./core/shares.ts";
import { mayRun, readPlacement } from "./core/spec.ts";
import type { ClaimContext } from "./claim_context.ts";
import { Peers } from "./peers.ts";

/** Pages of 1,000 keys that one poll lists at most. */
const PAGES_PER_POLL = 10;
/** Specs read at once for the placement gate. */
const READS_AT_ONCE = 16;
/** Spec versions remembered: about 30 MB at the very most. */
const KNOWN_VERSIONS = 100_000;
const MAX_IGNORED_REPORTS = 1_000;

/** What one poll saw. */
export interface PollSummary {
  readonly listed: number;
  /** Candidates that are worth a try, as far as is known without reading them. */
  readonly runnable: number;
  /** Whether the listing came to the end of the queue. */
  readonly roundComplete: boolean;
  /** Age of the oldest spec listed, by the difference of the store's clock and this node's. */
  readonly oldestAgeMs: number | undefined;
  readonly durationMs: number;
}

export class PendingQueue {
  readonly #context: ClaimContext;
  readonly #known = new KnownVersions(KNOWN_VERSIONS);
  readonly #window = new PickWindow();
  readonly #ignored = new Set<string>();
  readonly #peers: Peers;
  readonly #shares: Shares;
  /** In the order in which to try them. */
  #atHand: Preference[] = [];
  /** Some of this node's share has been given out since the last poll. */
  #shareTaken = false;
  /** This node has waited for what is contested, and may try it now. */
  #waited = true;
  /**
   * How many more tries may be in vain before the next poll: as many in all as the last one took
   * requests, for then listing again is the cheaper way.
   */
  #vainTriesLeft = 0;
  /** Where the next poll goes on; undefined at the start of a round. */
  #cursor: string | undefined;

  constructor(context: ClaimContext) {
    this.#context = context;
    this.#peers = new Peers(context);
    this.#shares = new Shares(context.node);
  }

  /**
   * Lists the next window of the queue: at most ten pages, going on where the last poll stopped,
   * until the end is reached. What was at hand from the window before is dropped, and comes again.
   * Rejects with a `StoreError`; then the next poll starts at the same place.
   *
   * @param onPage called before each page, for the sake of whoever watches over the loop
   */
  async poll(onPage: () => void): Promise<PollSummary> {
    const { store, keys, clock } = this.#context;
    const startedMs = clock.monotonic();
    const prefix = keys.folder("pending");
    const candidates: Candidate[] = [];
    let listed = 0;
    let cursor = this.#cursor;
    let roundComplete = false;
    let pages = 0;
    for (; pages < PAGES_PER_POLL && !roundComplete; pages++) {
      onPage();
      const page = await store.list({ prefix, startAfter: cursor });
      listed += page.objects.length;
      const sorted = candidatesOf(keys, page.objects);
      for (const candidate of sorted.candidates) candidates.push(candidate);
      this.#reportIgnored(sorted.others);
      cursor = page.objects.at(-1)?.key;
      roundComplete = !page.truncated || cursor === undefined;
    }
    this.#cursor = roundComplete ? undefined : cursor;
    const oldestMs = candidates.reduce(
      (ms, { lastModifiedMs }) => Math.min(ms, lastModifiedMs),
      Infinity,
    );
    const worthATry = candidates.filter((candidate) => this.#worthATry(candidate)).sort(byAge);
    // Over a single spec there is nothing to share out.
    if (worthATry.length > 1) await this.#peers.refresh();
    this.#shares.among(this.#peers.names);
    this.#atHand = this.#shares.inOrderOfPreference(worthATry);
    this.#shareTaken = false;
    if (worthATry.length === 0) this.#waited = true;
    this.#vainTriesLeft = pages;
    return {
      listed,
      runnable: this.#atHand.length,
      roundComplete,
      oldestAgeMs: oldestMs === Infinity ? undefined : Math.max(0, clock.now() - oldestMs),
      durationMs: clock.monotonic() - startedMs,
    };
  }

  /**
   * Takes the next candidate that this node may run: of its own share at random among the oldest few,
   * otherwise what others have left. Reads specs for the placement gate where needed, each version
   * once.
   *
   * @param busy ids that are being worked on here already
   * @returns undefined when none is left at hand, or none but what others had left at a poll that is
   * out of date by now; `contested` when it is better to wait a moment before the next poll
   */
  async take(busy: (id: string) => boolean): Promise<Preference | "contested" | undefined> {
    while (this.#atHand.length > 0) {
      const index = this.#window.pick(this.#alike(), this.#context.entropy.random());
      const preference = this.#atHand[index];
      const { candidate, own, contested } = preference;
      if (busy(candidate.id)) {
        this.#atHand.splice(index, 1);
      } else if (!own && this.#shareTaken) {
        this.clear();
      } else if (contested && !this.#waited) {
        this.clear();
        this.#waited = true;
        return "contested";
      } else if (this.#gateOpen(candidate)) {
        this.#atHand.splice(index, 1);
        if (own) {
          this.#shareTaken = true;
          this.#waited = false;
        }
        return preference;
      } else {
        await this.#readPlacements(index);
      }
    }
    return undefined;
  }

  /** How many candidates may be picked among: the front's share, or the first of what is others'. */
  #alike(): number {
    let count = 0;
    while (count < PickWindow.MAX && this.#atHand[count]?.own) count++;
    return Math.max(1, count);
  }

  /** Whether the next poll begins at the start of the queue. */
  get atRoundStart(): boolean {
    return this.#cursor === undefined;
  }

  /** Drops what is at hand, so that the next poll decides. */
  clear(): void {
    this.#atHand = [];
  }

  /** The candidate became a claim of this node. */
  claimed(candidate: Candidate): void {
    this.#window.inTime();
    this.#known.forget(candidate.key);
  }

  /** The candidate was no longer pending. */
  gone(candidate: Candidate): void {
    this.#cameTooLate();
    this.#known.forget(candidate.key);
  }

  /** Another node holds its lease: not worth another try before `forMs` have passed. */
  held(candidate: Candidate, forMs: number): void {
    this.#cameTooLate();
    this.#known.set(candidate, { kind: "held", until: this.#context.clock.monotonic() + forMs });
  }

  #cameTooLate(): void {
    this.#window.tooLate();
    this.#waited = false;
    if (--this.#vainTriesLeft <= 0) this.clear();
  }

  /** Says once for each key that it is not a spec's; after very many, no more. */
  #reportIgnored(ignored: readonly string[]): void {
    for (const key of ignored) {
      if (this.#ignored.has(key) || this.#ignored.size >= MAX_IGNORED_REPORTS) continue;
      this.#ignored.add(key);
      this.#context.log.emit({ name: "key-ignored", key });
    }
  }

  #worthATry(candidate: Candidate): boolean {
    const verdict = this.#known.get(candidate);
    if (verdict === undefined || verdict.kind === "eligible") return true;
    return verdict.kind === "held" && this.#context.clock.monotonic() >= verdict.until;
  }

  #gateOpen(candidate: Candidate): boolean {
    return this.#context.poolId === "" || this.#known.get(candidate) !== undefined;
  }

  /** Reads the candidate at `index` and the unread ones after it, and drops what is not for here. */
  async #readPlacements(index: number): Promise<void> {
    const unread = this.#atHand.slice(index)
      .map(({ candidate }) => candidate)
      .filter((candidate) => this.#known.get(candidate) === undefined)
      .slice(0, READS_AT_ONCE);
    const verdicts = await Promise.all(unread.map((candidate) => this.#readPlacement(candidate)));
    const dropped = new Set<Candidate>();
    unread.forEach((candidate, position) => {
      const verdict = verdicts[position];
      if (verdict !== undefined) this.#known.set(candidate, verdict);
      if (verdict?.kind !== "eligible") dropped.add(candidate);
    });
    this.#atHand = this.#atHand.filter(({ candidate }) => !dropped.has(candidate));
  }

  /** The verdict on one spec version; undefined when it is no longer there in this version. */
  async #readPlacement(candidate: Candidate): Promise<Verdict | undefined> {
    const { store, log, poolId, maxSpecBytes } = this.#context;
    const specId = candidate.id;
    const got = await store.get(candidate.key, maxSpecBytes);
    if (got.outcome === "absent") return undefined;
    // A spec that is too large to be read is any node's to file as failed.
    if (got.outcome === "too-large") return { kind: "eligible" };
    if (got.object.etag !== candidate.etag) return undefined;
    const placement = readPlacement(got.object.body);
    if (placement.kind === "unreadable") {
      log.emit({ name: "placement-unreadable", specId, cause: placement.cause });
    }
    if (mayRun(placement, poolId)) return { kind: "eligible" };
    const specPool = placement.kind === "pool" ? placement.poolId : "";
    log.emit({ name: "spec-skipped", specId, specPool, nodePool: poolId });
    return { kind: "foreign" };
  }
}
