/**
 * Every duration of the claim protocol, derived from the lease's lifetime and the kill grace in one
 * place, so that their order, on which safety rests, can be read off and tested.
 */

/** All in milliseconds. */
export interface LeaseTiming {
  /** Lifetime of a lease. */
  readonly ttlMs: number;
  /** From the start of one renewal to the next. */
  readonly renewEveryMs: number;
  /** After a renewal that failed. */
  readonly renewRetryMs: number;
  /** Between SIGTERM and SIGKILL. */
  readonly killGraceMs: number;
  /**
   * Taken off every trusted period: for clocks that do not run at quite the same rate (a twentieth
   * covers two clocks that are each 2 % off) and for a SIGKILL to take effect.
   */
  readonly allowanceMs: number;
  /** Longest time for one request of the protocol. */
  readonly requestTimeoutMs: number;
  /**
   * A request that was given up without an answer takes effect within this time or never. Until it
   * has passed, the claim stays held and nothing is built on that request.
   */
  readonly landingMs: number;
  /** Between two listings of the claims. */
  readonly scanEveryMs: number;
  /** Listings further apart than this are not one observation. */
  readonly maxObservationGapMs: number;
}

/** The longest request of any kind, as in the store's own default. */
const MAX_REQUEST_TIMEOUT_MS = 15_000;

/** Derives the durations of the protocol from the two that an operator sets. */
export function leaseTiming(ttlMs: number, killGraceMs: number): LeaseTiming {
  return {
    ttlMs,
    renewEveryMs: ttlMs / 3,
    renewRetryMs: ttlMs / 40,
    killGraceMs,
    allowanceMs: ttlMs / 20,
    requestTimeoutMs: Math.min(MAX_REQUEST_TIMEOUT_MS, ttlMs / 6),
    landingMs: ttlMs / 3,
    scanEveryMs: ttlMs / 3,
    maxObservationGapMs: ttlMs / 2,
  };
}

/**
 * Until when a lease may be relied on, on the holder's monotonic clock, when the write that renewed
 * it *started* at `writeStartedMs`. Anyone else saw that write at its start at the earliest, and
 * waits a whole TTL from then.
 */
export function trustEndsMs(timing: LeaseTiming, writeStartedMs: number): number {
  return writeStartedMs + timing.ttlMs - timing.allowanceMs;
}

/** When killing the cell has to start so that it is over before trust ends. */
export function fenceAtMs(timing: LeaseTiming, writeStartedMs: number): number {
  return trustEndsMs(timing, writeStartedMs) - timing.killGraceMs;
}

/**
 * How much trust must be left before a write other than the lease's own is sent: enough for the
 * request to be given up and still to land while nobody else can hold the claim.
 */
export function trustForWriteMs(timing: LeaseTiming): number {
  return timing.requestTimeoutMs + timing.landingMs;
}
