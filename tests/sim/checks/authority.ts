/**
 * Whoever acts on a spec holds its lease at that very moment, as it is stored; and a lease changes
 * hands only as the protocol says. This is stronger than what is promised outside: it is the argument
 * by which the promises are kept.
 */
import type { Lease } from "../../../lib/core/lease.ts";
import type { AuthoredChange } from "../history.ts";
import { type Evidence, isOf, leaseIn, leaseOf, meaningOf, told } from "./evidence.ts";
import { claimOfMetadata } from "../../../lib/core/result.ts";

export class LeaseAuthority {
  readonly #evidence: Evidence;

  constructor(evidence: Evidence) {
    this.#evidence = evidence;
    evidence.history.observe((change) => this.#onChange(change));
  }

  #onChange(change: AuthoredChange): void {
    const { author } = change;
    if (author.kind !== "agent") return;
    const meaning = meaningOf(this.#evidence.keys, change.key);
    if (meaning.kind === "other" || this.#evidence.meddled.has(meaning.id)) return;
    if (meaning.kind === "lease") this.#onLease(meaning.id, change, author.process);
    else this.#onSpec(meaning.kind, meaning.id, change, author.process);
  }

  #onLease(id: string, change: AuthoredChange, process: string): void {
    const before = change.previous === undefined ? undefined : leaseIn(change.previous.body);
    if (change.kind === "delete") {
      if (!isOf(before, process)) {
        this.#fail(`${told(change)}, which is held by ${before?.nonce ?? "nobody"}`);
      }
      return;
    }
    const after = leaseIn(change.body);
    if (!isOf(after, process)) this.#fail(`${told(change)} is not in its own name`);
    if (before === undefined || before.nonce === after?.nonce) return;
    // A watcher's clock may be fast by one in a hundred.
    if (change.quietMs < before.ttlMs * 0.989) {
      this.#fail(
        `${told(change)} takes over ${before.nonce} after ${Math.round(change.quietMs)} ms`,
      );
    }
    this.#checkOutages(change);
    this.#checkCellsGone(id, change);
  }

  /**
   * While nobody could reach the bucket, nobody could renew either: after an outage, holders get a
   * whole lifetime again. (Short outages stop no renewal for long enough to matter.)
   */
  #checkOutages(change: AuthoredChange): void {
    const { fleet, nodes, incidents, faultsEndMs } = this.#evidence.scenario;
    const lifetimesMs = [fleet.ttlMs, ...nodes.map(({ ttlMs }) => ttlMs ?? fleet.ttlMs)];
    const longestMs = Math.max(...lifetimesMs);
    const shortestMs = Math.min(...lifetimesMs);
    for (const incident of incidents) {
      if (incident.kind !== "cut-off" || incident.node !== undefined) continue;
      const endMs = Math.min(incident.atMs + incident.forMs, faultsEndMs);
      const long = endMs - incident.atMs > longestMs * 0.52;
      const sinceMs = change.atMs - endMs;
      const diedBefore = change.quietMs - (change.atMs - incident.atMs) > shortestMs * 0.98;
      if (long && !diedBefore && sinceMs > 0 && sinceMs < shortestMs * 0.98) {
        this.#fail(`${told(change)} comes ${Math.round(sinceMs)} ms after an outage`);
      }
    }
  }

  /** With strict fencing, no cell runs on once the lease under which it runs is another's. */
  #checkCellsGone(id: string, change: AuthoredChange): void {
    for (const { entry } of this.#evidence.ledger.running) {
      if (entry.specId !== id || entry.frozen || entry.ranUnattended) continue;
      if (entry.node.fence !== "strict" || entry.resumedMs > change.atMs - RESUME_TOLERANCE_MS) {
        continue;
      }
      this.#evidence.violation(
        "fence",
        `${told(change)} while cell ${entry.number} of ${entry.process.name} still runs`,
      );
    }
  }

  #onSpec(kind: string, id: string, change: AuthoredChange, process: string): void {
    const lease = leaseOf(this.#evidence, id);
    if (!isOf(lease, process)) {
      this.#fail(`${told(change)} while its lease is held by ${lease?.nonce ?? "nobody"}`);
      return;
    }
    if (!this.#isAllowed(kind, id, change, lease!)) {
      this.#fail(`${told(change)} under a lease of state ${lease!.state}`);
    }
    if (change.kind !== "put" || (kind !== "completed" && kind !== "failed")) return;
    const { metadata } = this.#evidence.history.get(change.key)!;
    const claim = claimOfMetadata(metadata);
    if (claim === undefined || claim !== lease!.commit?.result.claim) {
      this.#fail(
        `${told(change)} for claim ${claim}, which the lease does not hold as its outcome`,
      );
    }
  }

  /** What may be done under a lease, by its state. */
  #isAllowed(kind: string, id: string, { kind: change }: AuthoredChange, lease: Lease): boolean {
    const { state } = lease;
    const { history, keys } = this.#evidence;
    if (change === "delete") {
      if (kind === "pending") return true;
      if (kind === "claimed") return state !== "claimed";
      // An operator puts a failed spec back into the queue.
      return kind === "failed" && state === "claimed";
    }
    // A claim that is gone on with after its release had been begun says so before its cell starts.
    if (kind === "claimed") return state !== "exited";
    if (kind !== "pending") return state === "exited";
    return state === "releasing" || history.get(keys.claimed(id)) === undefined;
  }

  #fail(detail: string): void {
    this.#evidence.violation("authority", detail);
  }
}

/** A host that goes on after a standstill needs this long to kill what must not run any more. */
export const RESUME_TOLERANCE_MS = 70;
