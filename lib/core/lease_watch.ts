import type { LeaseTiming } from "./lease_timing.ts";

/**
 * Tells dead leases from live ones by watching them, on this node's monotonic clock alone: a lease
 * is dead when its ETag has not changed for a whole TTL. No time written by another node is read,
 * so no clock of another node can be wrong enough to matter.
 *
 * Two things make the observation sound. It counts from the *end* of the listing that first showed
 * the ETag to the *start* of the one that last showed it, so that the store's answers lie inside.
 * And it restarts after a gap: when the bucket was out of reach for longer than half a TTL, the
 * holders could not renew either, and their leases must not look dead all at once.
 *
 * The idea of judging a lease by a change observed locally is that of Kubernetes' leader election.
 */

/** One listing of the claims, in the watcher's monotonic milliseconds. */
export interface LeaseListing {
  readonly startedMs: number;
  readonly endedMs: number;
  readonly leases: readonly { readonly id: string; readonly etag: string }[];
}

interface Sighting {
  readonly etag: string;
  readonly firstSeenMs: number;
  lastSeenMs: number;
}

export class LeaseWatch {
  #sightings = new Map<string, Sighting>();
  #lastListingMs = -Infinity;
  readonly #timing: LeaseTiming;

  constructor(timing: LeaseTiming) {
    this.#timing = timing;
  }

  /** Takes in a complete listing. Leases that it no longer shows are forgotten. */
  observe(listing: LeaseListing): void {
    const gap = listing.startedMs - this.#lastListingMs > this.#timing.maxObservationGapMs;
    const next = new Map<string, Sighting>();
    for (const { id, etag } of listing.leases) {
      const known = gap ? undefined : this.#sightings.get(id);
      if (known !== undefined && known.etag === etag) {
        known.lastSeenMs = listing.startedMs;
        next.set(id, known);
      } else {
        next.set(id, { etag, firstSeenMs: listing.endedMs, lastSeenMs: listing.startedMs });
      }
    }
    this.#sightings = next;
    this.#lastListingMs = listing.startedMs;
  }

  /** The leases that are dead by what was seen so far. */
  dead(): { id: string; etag: string }[] {
    const dead: { id: string; etag: string }[] = [];
    for (const [id, sighting] of this.#sightings) {
      if (sighting.lastSeenMs - sighting.firstSeenMs >= this.#timing.ttlMs) {
        dead.push({ id, etag: sighting.etag });
      }
    }
    return dead;
  }

  /** For how long the lease of a spec has been seen unchanged, in milliseconds. */
  unchangedMs(id: string): number {
    const sighting = this.#sightings.get(id);
    return sighting === undefined ? 0 : Math.max(0, sighting.lastSeenMs - sighting.firstSeenMs);
  }

  /** Whether a lease was there at the last listing. */
  has(id: string): boolean {
    return this.#sightings.has(id);
  }

  /** How many leases the last listing showed. */
  get size(): number {
    return this.#sightings.size;
  }

  /** The earliest moment at which a listing could show a lease of now to be dead, if any is left. */
  nextDeathMs(): number | undefined {
    let next: number | undefined;
    for (const sighting of this.#sightings.values()) {
      const deathMs = sighting.firstSeenMs + this.#timing.ttlMs;
      if (sighting.lastSeenMs < deathMs && (next === undefined || deathMs < next)) next = deathMs;
    }
    return next;
  }
}
