import assert from "node:assert/strict";
import fc from "fast-check";
import { readConfig } from "../../lib/config.ts";
import { CONFIG_OPTIONS } from "../../lib/config_options.ts";
import {
  fenceAtMs,
  type LeaseTiming,
  leaseTiming,
  trustEndsMs,
  trustForWriteMs,
} from "../../lib/core/lease_timing.ts";

/** The longest jitter of a retry: a tenth more. */
const MOST_JITTER = 1.1;

function timingOf(ttlMs: number, killGraceMs?: number): LeaseTiming | undefined {
  const env: Record<string, string> = {
    CELLOS_FLEET_BUCKET: "bucket",
    CELLOS_FLEET_LEASE_TTL_MS: String(ttlMs),
  };
  if (killGraceMs !== undefined) env.CELLOS_FLEET_KILL_GRACE_MS = String(killGraceMs);
  const read = readConfig(env);
  return "config" in read
    ? leaseTiming(read.config.leaseTtlMs, read.config.killGraceMs)
    : undefined;
}

const LEAST_TTL_MS = 1_500;
const MOST_TTL_MS = 24 * 3_600_000;
const ttls = fc.oneof(
  fc.integer({ min: LEAST_TTL_MS, max: 200_000 }),
  fc.integer({ min: LEAST_TTL_MS, max: MOST_TTL_MS }),
);

/** Every pair that the configuration accepts; the grace is a share of the most that is allowed. */
const timings = fc.tuple(ttls, fc.double({ min: 0, max: 1, noNaN: true })).map(([ttlMs, share]) => {
  const timing = timingOf(ttlMs, Math.floor(ttlMs / 2 * share));
  assert.ok(timing !== undefined, `a lifetime of ${ttlMs} ms was refused`);
  return timing;
});
const defaultGraceTimings = ttls.map((ttlMs) => timingOf(ttlMs)!);

Deno.test("the bounds that these tests go to are the configuration's own", () => {
  const { leaseTtlMs } = CONFIG_OPTIONS;
  assert.equal(leaseTtlMs.parse(String(LEAST_TTL_MS - 1)), undefined);
  assert.equal(leaseTtlMs.parse(String(MOST_TTL_MS + 1)), undefined);
  assert.equal(timingOf(LEAST_TTL_MS, LEAST_TTL_MS / 2)?.ttlMs, LEAST_TTL_MS);
  assert.equal(timingOf(MOST_TTL_MS, MOST_TTL_MS / 2)?.ttlMs, MOST_TTL_MS);
  assert.equal(timingOf(10_000, 5_001), undefined);
});

Deno.test("a cell is stopped a whole grace before trust ends, and trust ends before the lease", () => {
  fc.assert(fc.property(timings, fc.integer({ min: 0, max: 2 ** 40 }), (timing, startMs) => {
    const fence = fenceAtMs(timing, startMs);
    const trustEnds = trustEndsMs(timing, startMs);
    assert.ok(startMs < fence);
    assert.ok(Math.abs(trustEnds - fence - timing.killGraceMs) < 1);
    assert.ok(trustEnds < startMs + timing.ttlMs);
    assert.ok(timing.allowanceMs >= timing.ttlMs / 20);
  }));
});

Deno.test("two clocks that each run 2 % wrong leave the old cell dead before a new one starts", () => {
  fc.assert(fc.property(timings, (timing) => {
    const slowHolderEnds = trustEndsMs(timing, 0) / 0.98;
    const fastWatcherStarts = timing.ttlMs / 1.02;
    assert.ok(slowHolderEnds <= fastWatcherStarts);
  }));
});

Deno.test("the next renewal comes before the cell would be stopped, for every pair allowed", () => {
  fc.assert(fc.property(timings, (timing) => {
    assert.ok(timing.renewEveryMs < fenceAtMs(timing, 0));
  }));
});

Deno.test("with the default grace, a renewal that hangs and its look at the lease leave time for another", () => {
  fc.assert(fc.property(defaultGraceTimings, (timing) => {
    const { renewEveryMs, requestTimeoutMs, renewRetryMs } = timing;
    const nextTry = renewEveryMs + 2 * requestTimeoutMs + renewRetryMs * MOST_JITTER;
    assert.ok(nextTry < fenceAtMs(timing, 0), JSON.stringify(timing));
  }));
});

Deno.test("with the default grace, a bucket that answers with errors gets ten more renewals in time", () => {
  fc.assert(fc.property(defaultGraceTimings, (timing) => {
    const { renewEveryMs, renewRetryMs } = timing;
    assert.ok(renewEveryMs + 10 * renewRetryMs * MOST_JITTER < fenceAtMs(timing, 0));
  }));
});

Deno.test("a lease just stored is trusted for long enough to start a cell and to make any write", () => {
  // Otherwise waiting for trust would renew again and again, for ever.
  fc.assert(fc.property(timings, (timing) => {
    const { killGraceMs, renewEveryMs } = timing;
    assert.ok(killGraceMs + renewEveryMs <= trustEndsMs(timing, 0));
    assert.ok(timing.requestTimeoutMs + trustForWriteMs(timing) <= trustEndsMs(timing, 0));
  }));
  fc.assert(fc.property(defaultGraceTimings, (timing) => {
    const { killGraceMs, renewEveryMs, requestTimeoutMs } = timing;
    assert.ok(requestTimeoutMs + killGraceMs + renewEveryMs <= trustEndsMs(timing, 0));
  }));
});

Deno.test("between two renewals in time there is always trust enough for a write", () => {
  fc.assert(fc.property(timings, (timing) => {
    assert.ok(timing.renewEveryMs + trustForWriteMs(timing) <= trustEndsMs(timing, 0));
  }));
});

Deno.test("a write that is given up has landed, or never will, while trust lasts", () => {
  fc.assert(fc.property(timings, (timing) => {
    const { requestTimeoutMs, landingMs } = timing;
    const sentAtLatest = trustEndsMs(timing, 0) - trustForWriteMs(timing);
    assert.ok(sentAtLatest > 0);
    assert.ok(sentAtLatest + requestTimeoutMs + landingMs <= trustEndsMs(timing, 0) + 1e-3);
    assert.ok(requestTimeoutMs <= landingMs);
    assert.ok(requestTimeoutMs <= 15_000);
  }));
});

Deno.test("a node that looks on time never takes two looks for a gap", () => {
  fc.assert(fc.property(timings, (timing) => {
    const { scanEveryMs, maxObservationGapMs, ttlMs } = timing;
    assert.ok(scanEveryMs < maxObservationGapMs);
    assert.ok(maxObservationGapMs < ttlMs);
    // Looked at just before the last renewal, and again a lifetime after the look that saw it.
    assert.ok(scanEveryMs + ttlMs + scanEveryMs < 2 * ttlMs);
  }));
});
