/**
 * Watches over the claims of the whole queue: lists `claimed/`, tells dead leases from live ones,
 * and finds claimed specs that have no lease at all.
 */
import { LeaseWatch } from "./core/lease_watch.ts";
import type { ClaimContext } from "./claim_context.ts";
import type { ListedObject } from "./ports.ts";

/** A lease that is dead by this node's own observation. */
export interface DeadLease {
  readonly id: string;
  readonly etag: string;
}

/** A mark that asks for a claim to be cancelled. */
export interface CancelMarkSeen {
  readonly id: string;
  readonly etag: string;
  /** Whether there is a claim beside it. */
  readonly claimed: boolean;
}

export class ClaimScan {
  readonly #context: ClaimContext;
  #marks: CancelMarkSeen[] = [];
  readonly #watch: LeaseWatch;
  /** ETags of claimed specs that had no lease at the last scan, by id. */
  #leaseless = new Map<string, string>();
  readonly #reported = new Map<string, string>();
  /** Dead leases whose specs are not for this node, by id: not to be inspected again. */
  readonly #foreign = new Map<string, string>();

  constructor(context: ClaimContext) {
    this.#context = context;
    this.#watch = new LeaseWatch(context.timing);
  }

  /**
   * Lists all claims once, and returns the leases that are dead by now. Rejects with a `StoreError`;
   * the observation then goes on at the next scan, or restarts when that comes too late.
   *
   * @param onPage called before each page, for the sake of whoever watches over the loop
   */
  async scan(onPage: () => void): Promise<DeadLease[]> {
    const { store, keys, clock } = this.#context;
    const prefix = keys.folder("claimed");
    const startedMs = clock.monotonic();
    const objects: ListedObject[] = [];
    let cursor: string | undefined;
    for (;;) {
      onPage();
      const page = await store.list({ prefix, startAfter: cursor });
      objects.push(...page.objects);
      cursor = page.objects.at(-1)?.key;
      if (!page.truncated || cursor === undefined) break;
    }
    const specs = new Map<string, string>();
    const leases: DeadLease[] = [];
    const marks: DeadLease[] = [];
    for (const { key, etag } of objects) {
      const claimedKey = keys.claimedKey(key);
      if (claimedKey.kind === "spec") specs.set(claimedKey.id, etag);
      if (claimedKey.kind === "lease") leases.push({ id: claimedKey.id, etag });
      if (claimedKey.kind === "cancel") marks.push({ id: claimedKey.id, etag });
    }
    this.#watch.observe({ startedMs, endedMs: clock.monotonic(), leases });
    this.#reportLeaseless(specs);
    this.#marks = marks.map((mark) => ({ ...mark, claimed: this.#watch.has(mark.id) }));
    return this.#watch.dead().filter(({ id, etag }) => this.#foreign.get(id) !== etag);
  }

  /** The marks that the last scan has shown. */
  get marks(): readonly CancelMarkSeen[] {
    return this.#marks;
  }

  /** When the next scan is due, in milliseconds from now. */
  nextInMs(): number {
    const { clock, timing } = this.#context;
    const deathMs = this.#watch.nextDeathMs();
    const untilDeathMs = deathMs === undefined ? Infinity : deathMs - clock.monotonic();
    return Math.max(0, Math.min(timing.scanEveryMs, untilDeathMs));
  }

  /** For how long the lease of a spec has been seen unchanged, in milliseconds. */
  unchangedMs(id: string): number {
    return this.#watch.unchangedMs(id);
  }

  /** A dead lease turned out to hold a spec of another pool. */
  notForHere({ id, etag }: DeadLease): void {
    this.#foreign.set(id, etag);
  }

  /**
   * A claimed spec without a lease is reported once, when two scans in a row have shown it so: a
   * listing is not a snapshot, and may show a claim half made or half filed.
   */
  #reportLeaseless(specs: ReadonlyMap<string, string>): void {
    const leaseless = new Map<string, string>();
    for (const [specId, etag] of specs) {
      if (this.#watch.has(specId)) continue;
      leaseless.set(specId, etag);
      if (this.#leaseless.get(specId) === etag && this.#reported.get(specId) !== etag) {
        this.#reported.set(specId, etag);
        this.#context.log.emit({ name: "claim-without-lease", specId });
      }
    }
    for (const id of this.#reported.keys()) if (!specs.has(id)) this.#reported.delete(id);
    for (const id of this.#foreign.keys()) if (!this.#watch.has(id)) this.#foreign.delete(id);
    this.#leaseless = leaseless;
  }
}
