import assert from "node:assert/strict";
import fc from "fast-check";
import { leaseTiming } from "../../lib/core/lease_timing.ts";
import { type LeaseListing, LeaseWatch } from "../../lib/core/lease_watch.ts";

const TTL_MS = 6_000;
const timing = leaseTiming(TTL_MS, 1_000);

/** A listing that shows one lease and takes no time. */
function shows(atMs: number, etag: string, id = "a"): LeaseListing {
  return { startedMs: atMs, endedMs: atMs, leases: [{ id, etag }] };
}

function watchOf(...listings: LeaseListing[]): LeaseWatch {
  const watch = new LeaseWatch(timing);
  for (const listing of listings) watch.observe(listing);
  return watch;
}

Deno.test("a lease unchanged for a whole lifetime is dead, and not a millisecond before", () => {
  const seen = [shows(0, "1"), shows(2_000, "1"), shows(4_000, "1")];
  assert.deepEqual(watchOf(...seen, shows(TTL_MS - 1, "1")).dead(), []);
  assert.deepEqual(watchOf(...seen, shows(TTL_MS, "1")).dead(), [{ id: "a", etag: "1" }]);
});

Deno.test("one look, however late, shows nothing to be dead", () => {
  assert.deepEqual(watchOf(shows(1e9, "1")).dead(), []);
});

Deno.test("a lease that is renewed never dies", () => {
  const watch = new LeaseWatch(timing);
  for (let turn = 0; turn < 100; turn++) {
    watch.observe(shows(turn * 2_000, String(Math.floor(turn / 2))));
    assert.deepEqual(watch.dead(), []);
  }
});

Deno.test("after an outage longer than half a lifetime every lease gets a whole lifetime again", () => {
  const gap = TTL_MS / 2 + 1;
  const watch = watchOf(shows(0, "1"), shows(2_000, "1"), shows(4_000, "1"));
  watch.observe(shows(4_000 + gap, "1"));
  assert.deepEqual(watch.dead(), []);
  const restart = 4_000 + gap;
  for (const later of [2_000, 4_000, 5_999]) watch.observe(shows(restart + later, "1"));
  assert.deepEqual(watch.dead(), []);
  watch.observe(shows(restart + TTL_MS, "1"));
  assert.deepEqual(watch.dead(), [{ id: "a", etag: "1" }]);
});

Deno.test("a pause of just half a lifetime is still one observation", () => {
  const watch = watchOf(shows(0, "1"), shows(3_000, "1"), shows(6_000, "1"));
  assert.deepEqual(watch.dead(), [{ id: "a", etag: "1" }]);
});

Deno.test("a lease that was gone in between starts anew, even with the same ETag", () => {
  const absent = { startedMs: 4_000, endedMs: 4_000, leases: [] };
  const watch = watchOf(shows(0, "1"), shows(2_000, "1"), absent, shows(6_000, "1"));
  assert.deepEqual(watch.dead(), []);
  assert.equal(watch.has("a"), true);
});

Deno.test("the time that a listing takes counts for the holder, not against it", () => {
  const first = { startedMs: 0, endedMs: 1_500, leases: [{ id: "a", etag: "1" }] };
  const later = [shows(2_500, "1"), shows(5_000, "1")];
  const slow = (startedMs: number) => ({ ...shows(startedMs, "1"), endedMs: startedMs + 1_500 });
  assert.deepEqual(watchOf(first, ...later, slow(TTL_MS)).dead(), []);
  assert.equal(watchOf(first, ...later, slow(1_500 + TTL_MS)).dead().length, 1);
});

const listings = fc.array(
  fc.record({
    afterMs: fc.oneof(
      fc.integer({ min: 0, max: 3_000 }),
      fc.constantFrom(2_000, 3_000, 3_001, 10_000),
    ),
    tookMs: fc.constantFrom(0, 0, 10, 500),
    // Undefined: the lease is not there.
    etags: fc.record({
      a: fc.constantFrom(undefined, "1", "1", "1", "1", "1", "1", "2"),
      b: fc.constantFrom("1", "1", "1", "1", "1", "1", "1", "1", "1", "2"),
    }),
  }),
  { maxLength: 30 },
).map((steps) => {
  let nowMs = 0;
  return steps.map(({ afterMs, tookMs, etags }): LeaseListing => {
    const startedMs = nowMs += afterMs;
    const endedMs = nowMs += tookMs;
    const leases = Object.entries(etags).flatMap(([id, etag]) => etag ? [{ id, etag }] : []);
    return { startedMs, endedMs, leases };
  });
});

/** Dead by the definition: some unbroken run of looks up to the last one spans a whole lifetime. */
function deadByDefinition(seen: readonly LeaseListing[]): string[] {
  const last = seen.at(-1);
  if (last === undefined) return [];
  return last.leases.filter(({ id, etag }) => {
    for (let index = seen.length - 1; index >= 0; index--) {
      const listing = seen[index];
      if (!listing.leases.some((lease) => lease.id === id && lease.etag === etag)) return false;
      if (index < seen.length - 1) {
        if (seen[index + 1].startedMs - listing.startedMs > TTL_MS / 2) return false;
      }
      if (last.startedMs - listing.endedMs >= TTL_MS) return true;
    }
    return false;
  }).map(({ id }) => id);
}

Deno.test("whatever is seen, a lease is dead exactly when an unbroken look at it spans a lifetime", () => {
  let deaths = 0;
  fc.assert(
    fc.property(listings, (seen) => {
      const watch = new LeaseWatch(timing);
      seen.forEach((listing, index) => {
        watch.observe(listing);
        const expected = deadByDefinition(seen.slice(0, index + 1));
        deaths += expected.length;
        assert.deepEqual(watch.dead().map(({ id }) => id).sort(), expected.sort());
        assert.equal(watch.size, listing.leases.length);
      });
    }),
    { numRuns: 1_000 },
  );
  assert.ok(deaths > 100, `only ${deaths} deaths were looked at`);
});

Deno.test("a look at the time that the watch names finds the next death", () => {
  fc.assert(fc.property(listings, (seen) => {
    const watch = watchOf(...seen);
    const last = seen.at(-1);
    const nextMs = watch.nextDeathMs();
    if (last === undefined || nextMs === undefined) {
      assert.equal(watch.dead().length, watch.size);
      return;
    }
    const before = watch.dead().length;
    // As often as needed for the observation to hold, none of them later than named.
    for (let atMs = last.startedMs; atMs < nextMs; atMs += TTL_MS / 3) {
      watch.observe({ startedMs: atMs, endedMs: atMs, leases: last.leases });
      assert.equal(watch.dead().length, before, `death came before ${nextMs}, at ${atMs}`);
    }
    const atMs = Math.max(nextMs, last.startedMs);
    watch.observe({ startedMs: atMs, endedMs: atMs, leases: last.leases });
    assert.ok(watch.dead().length > before);
  }));
});

Deno.test("whichever way the clocks of the nodes differ, only the watcher's own clock counts", () => {
  fc.assert(
    fc.property(listings, fc.integer({ min: -(2 ** 40), max: 2 ** 40 }), (seen, offsetMs) => {
      const moved = seen.map((listing) => ({
        ...listing,
        startedMs: listing.startedMs + offsetMs,
        endedMs: listing.endedMs + offsetMs,
      }));
      assert.deepEqual(watchOf(...moved).dead(), watchOf(...seen).dead());
    }),
  );
});
