/** Mutants of what is done about leases: who may rely on one for how long, and act under it. */
import type { Edit, Mutant } from "./mutant.ts";

const ACQUIRE = "lib/acquire_lease.ts";
const CELL = "lib/cell.ts";
const HELD = "lib/held_lease.ts";
const LEASE = "lib/core/lease.ts";
const PROBE = "lib/probe.ts";
const TAKEOVERS = "lib/takeovers.ts";
const TIMING = "lib/core/lease_timing.ts";
const WATCH = "lib/core/lease_watch.ts";

/** The lifetime that a lease itself states is not waited for. */
const HOLDERS_LIFETIME_IGNORED: Edit = {
  file: TAKEOVERS,
  find:
    "    if (found.lease !== undefined && scan.unchangedMs(id) < found.lease.ttlMs) continue;\n",
  replace: "",
};

export const LEASE_MUTANTS: readonly Mutant[] = [
  {
    name: "a refused lease write is believed without a look",
    family: "steady",
    seed: 529,
    edits: [{
      file: HELD,
      find: "      const found = await lookAtLease(this.#context, this.id);",
      replace: `      if (result.outcome === "refused") {
        this.#lost.abort();
        return "lost";
      }
      const found = await lookAtLease(this.#context, this.id);`,
    }],
  },
  {
    name: "a lease of any nonce passes for one's own",
    family: "medley",
    seed: 35,
    edits: [{
      file: LEASE,
      find: `  if (found.lease?.nonce !== written.nonce) return "someone-else";\n`,
      replace: `  if (found.lease === undefined) return "someone-else";\n`,
    }],
  },
  {
    name: "trust runs from the reply instead of the start of the write",
    family: "strain",
    seed: 40,
    edits: [{
      file: HELD,
      find: "    this.#writeStartedMs = writeStartedMs;\n    return",
      replace: "    this.#writeStartedMs = this.#context.clock.monotonic();\n    return",
    }],
  },
  {
    name: "trust after an unanswered write runs from the last try",
    family: "strain",
    seed: 40,
    edits: [{
      file: HELD,
      find: "return this.#adopt(next, found!.etag, firstStartedMs);",
      replace: "return this.#adopt(next, found!.etag, clock.monotonic());",
    }],
  },
  {
    name: "a renewal whose outcome is unknown counts as stored",
    family: "strain",
    seed: 16,
    edits: [{
      file: HELD,
      find:
        `      if (found === "failed") return "unknown";\n      switch (compareLease(found, next))`,
      replace:
        `      if (found === "failed") return this.#adopt(this.#lease, this.#etag, startedMs);\n      switch (compareLease(found, next))`,
    }],
  },
  {
    name: "no margin for the kill grace",
    family: "strain",
    seed: 684,
    edits: [{
      file: TIMING,
      find: "return trustEndsMs(timing, writeStartedMs) - timing.killGraceMs;",
      replace: "return trustEndsMs(timing, writeStartedMs);",
    }],
  },
  {
    name: "no allowance for clocks",
    family: "strain",
    seed: 4352,
    edits: [{ file: TIMING, find: "allowanceMs: ttlMs / 20,", replace: "allowanceMs: 0," }],
  },
  {
    name: "a cell that was not renewed in time runs on",
    family: "strain",
    seed: 64,
    edits: [{
      file: CELL,
      find: "  if (strict) void fenceInTime(context, held, stopper, over);\n",
      replace: "",
    }],
  },
  {
    name: "a cell deaf to SIGTERM gets no SIGKILL",
    family: "strain",
    seed: 64,
    edits: [{
      file: CELL,
      find: `if (!this.#over.aborted) this.#cell.signal("SIGKILL");`,
      replace: "",
    }],
  },
  {
    name: "a cell starts however old the lease is",
    family: "strain",
    seed: 9452,
    edits: [{
      file: CELL,
      find: "  await held.ensureTrust(timing.killGraceMs + timing.requestTimeoutMs);\n",
      replace: "",
    }],
  },
  {
    name: "a lease is dead before its lifetime is over",
    family: "medley",
    seed: 15,
    edits: [
      HOLDERS_LIFETIME_IGNORED,
      {
        file: WATCH,
        find: "      if (sighting.lastSeenMs - sighting.firstSeenMs >= this.#timing.ttlMs) {",
        replace:
          "      if (sighting.lastSeenMs - sighting.firstSeenMs >= this.#timing.ttlMs / 3) {",
      },
    ],
  },
  {
    name: "a lease is taken over on sight",
    family: "medley",
    seed: 3,
    edits: [
      HOLDERS_LIFETIME_IGNORED,
      {
        file: WATCH,
        find: "      if (sighting.lastSeenMs - sighting.firstSeenMs >= this.#timing.ttlMs) {",
        replace: "      if (sighting.lastSeenMs >= 0) {",
      },
    ],
  },
  {
    name: "a lease is judged by its watcher's lifetime alone",
    family: "medley",
    seed: 63,
    edits: [HOLDERS_LIFETIME_IGNORED],
  },
  {
    name: "an observation goes on over a gap",
    family: "medley",
    seed: 2355,
    edits: [{
      file: WATCH,
      find: "const known = gap ? undefined : this.#sightings.get(id);",
      replace: "const known = gap && Math.abs(0) > 1 ? undefined : this.#sightings.get(id);",
    }],
  },
  {
    name: "an observation counts from before the listing to after it",
    family: "medley",
    seed: 4391,
    edits: [{
      file: WATCH,
      find: "next.set(id, { etag, firstSeenMs: listing.endedMs, lastSeenMs: listing.startedMs });",
      replace:
        "next.set(id, { etag, firstSeenMs: listing.startedMs, lastSeenMs: listing.endedMs });",
    }],
  },
  {
    name: "the age of a lease is read off the wall clock",
    family: "medley",
    seed: 7,
    edits: [
      HOLDERS_LIFETIME_IGNORED,
      {
        file: "lib/claim_scan.ts",
        find: "    return this.#watch.dead().filter(",
        replace: `    return objects.flatMap((object) => {
      const key = keys.claimedKey(object.key);
      const old = clock.now() - object.lastModifiedMs >= this.#context.timing.ttlMs;
      return key.kind === "lease" && old ? [{ id: key.id, etag: object.etag }] : [];
    }).filter(`,
      },
    ],
  },
  {
    name: "writes are sent however little trust is left",
    family: "strain",
    seed: 104,
    edits: [{
      file: HELD,
      find: "    await this.ensureTrust(trustForWriteMs(timing));\n    const result",
      replace: "    const result",
    }],
  },
  {
    name: "an unanswered write is not waited for",
    family: "hands",
    seed: 194,
    edits: [{
      file: HELD,
      find: "      await clock.sleep(timing.landingMs, giveUp);\n",
      replace: "",
    }],
  },
  {
    name: "a plain delete is sent again without a look",
    family: "hands",
    seed: 114,
    edits: [{
      file: HELD,
      find: "      if (!conditionalDelete) {\n",
      replace: "      if (!conditionalDelete && failures === 1) {\n",
    }],
  },
  {
    name: "a delete that looks first is sent without a condition",
    family: "regressions",
    seed: 1,
    edits: [{
      file: HELD,
      find: "return store.delete(key, etag(), options);",
      replace: "return store.delete(key, conditionalDelete ? etag() : undefined, options);",
    }],
  },
  {
    name: "the probe replaces an absent object at the key that it has just cleaned up",
    family: "medley",
    seed: 35,
    edits: [{
      file: PROBE,
      find: "  const absentKey = keys.probe(entropy.nonce());\n",
      replace: "  const absentKey = key;\n",
    }],
  },
  {
    name: "the probe believes that a refused delete did nothing",
    family: "regressions",
    seed: 1,
    edits: [{
      file: PROBE,
      find: "const conditional = (await store.head(key))?.etag === etag;",
      replace: "const conditional = etag !== undefined;",
    }],
  },
  {
    name: "a lease is trusted after its deletion was sent",
    family: "regressions",
    seed: 1,
    edits: [{ file: HELD, find: "() => this.#writeStartedMs = -Infinity,", replace: "() => {}," }],
  },
  {
    name: "every try for a lease has the same body",
    family: "steady",
    seed: 2785,
    edits: [{
      file: ACQUIRE,
      find: "const tried = { ...lease, sequence: lease.sequence + tries - 1 };",
      replace: "const tried = lease;",
    }],
  },
];
