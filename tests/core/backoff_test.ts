import assert from "node:assert/strict";
import fc from "fast-check";
import { backoffMs, jitteredMs } from "../../lib/core/backoff.ts";

const random = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
const failures = fc.oneof(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 1, max: 2 ** 31 }));

Deno.test("the wait is spread over the whole interval below the ceiling", () => {
  assert.equal(backoffMs(1, 500, 60_000, 0), 0);
  assert.equal(backoffMs(1, 500, 60_000, 0.5), 250);
  assert.equal(backoffMs(4, 500, 60_000, 0.5), 2_000);
  assert.equal(backoffMs(40, 500, 60_000, 0.5), 30_000);
});

Deno.test("the ceiling doubles with every failure until it is reached, and stays there", () => {
  const ceilings = Array.from({ length: 12 }, (_, index) => backoffMs(index + 1, 500, 60_000, 1));
  assert.deepEqual(
    ceilings,
    [500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000, 60_000, 60_000, 60_000],
  );
});

Deno.test("no wait is negative, endless or above the ceiling, after however many failures", () => {
  const bound = fc.integer({ min: 1, max: 3_600_000 });
  fc.assert(fc.property(failures, bound, bound, random, (count, baseMs, maxMs, chance) => {
    const waitMs = backoffMs(count, baseMs, maxMs, chance);
    assert.ok(waitMs >= 0 && waitMs <= maxMs, String(waitMs));
  }));
});

Deno.test("an interval is jittered by a tenth at most, to either side", () => {
  fc.assert(fc.property(fc.integer({ min: 0, max: 3_600_000 }), random, (ms, chance) => {
    const waitMs = jitteredMs(ms, chance);
    assert.ok(waitMs >= ms * 0.9 && waitMs <= ms * 1.1 + 1e-6, String(waitMs));
  }));
  assert.equal(jitteredMs(1_000, 0), 900);
  assert.equal(jitteredMs(1_000, 0.5), 1_000);
});
