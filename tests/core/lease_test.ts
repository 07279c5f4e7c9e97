import assert from "node:assert/strict";
import fc from "fast-check";
import {
  afterTakeover,
  compareLease,
  decodeLease,
  encodeLease,
  exited,
  isOrigin,
  type Lease,
  lostAttemptsOf,
  newLease,
  nextAttempt,
  releasing,
  renewed,
  type SpecFacts,
  specMetadata,
  takenOver,
  type TakeoverStep,
} from "../../lib/core/lease.ts";
import { sampleExitedLease, sampleLease, sampleResult } from "./sample_records.ts";

const START = {
  specId: "a",
  nonce: "new",
  node: "node-2",
  poolId: "cpu",
  ttlMs: 6_000,
  at: "2026-01-01",
};

/** One row of what can be found after a dead lease was replaced. */
interface Found {
  readonly before: "unreadable" | "claimed" | "releasing" | "exited";
  readonly claimed: boolean;
  readonly pending: "absent" | "origin" | "resubmitted" | "different";
  readonly attempt: number;
  readonly lostAttempts: number;
  readonly maxAttempts: number;
}

function decide(found: Found): TakeoverStep {
  const { before, attempt, lostAttempts } = found;
  const leases: Record<Found["before"], Lease | undefined> = {
    unreadable: undefined,
    claimed: sampleLease({ attempt }),
    releasing: sampleLease({ attempt, state: "releasing" }),
    exited: sampleExitedLease({ attempt }),
  };
  const claimed: SpecFacts | undefined = found.claimed
    ? { etag: "c", lastModifiedMs: 1_000, lostAttempts }
    : undefined;
  const pending: SpecFacts | undefined = found.pending === "absent" ? undefined : {
    etag: "p",
    lastModifiedMs: found.pending === "resubmitted" ? 2_000 : 1_000,
    lostAttempts: 0,
  };
  const sameBytes = claimed !== undefined &&
    (found.pending === "origin" || found.pending === "resubmitted");
  const { maxAttempts } = found;
  return afterTakeover({ before: leases[before], claimed, pending, sameBytes, maxAttempts });
}

/** The same, told as an operator would: by what the dead node had done. */
function expected(found: Found): Record<string, unknown> {
  const { before, claimed, pending, lostAttempts, maxAttempts } = found;
  if (before === "exited") return { step: "finish-filing" };
  if (!claimed) return { step: pending === "absent" ? "remove-lease" : "claim-pending" };
  const known = before === "unreadable" ? 1 : found.attempt;
  const attempt = Math.max(known, lostAttempts + 1);
  if (before === "releasing") {
    const blocked = pending === "different";
    return { step: blocked ? "resume" : "finish-release", attempt };
  }
  if (pending === "origin") return { step: "resume", attempt, pendingEtag: "p" };
  return attempt >= maxAttempts
    ? { step: "file-as-lost", attempt }
    : { step: "run-again", attempt: attempt + 1 };
}

function* everyFinding(): Generator<Found> {
  for (const before of ["unreadable", "claimed", "releasing", "exited"] as const) {
    for (const claimed of [true, false]) {
      for (const pending of ["absent", "origin", "resubmitted", "different"] as const) {
        for (const attempt of [1, 2, 3]) {
          for (const lostAttempts of [0, 1, 2, 5]) {
            for (const maxAttempts of [1, 2, 3, 100]) {
              yield { before, claimed, pending, attempt, lostAttempts, maxAttempts };
            }
          }
        }
      }
    }
  }
}

Deno.test("where a takeover goes on: every combination of what the dead node left", () => {
  const steps = new Set<string>();
  for (const found of everyFinding()) {
    const { commit: _, ...step } = { commit: undefined, ...decide(found) };
    const message = JSON.stringify(found);
    assert.deepEqual({ ...step }, expected(found), message);
    steps.add(step.step);
  }
  assert.equal(steps.size, 7, `only ${[...steps]} came up`);
});

Deno.test("no takeover starts a spec more often than the maximum allows", () => {
  for (const found of everyFinding()) {
    const step = decide(found);
    if (step.step === "run-again") assert.ok(step.attempt <= found.maxAttempts);
  }
});

Deno.test("a takeover never lowers the count of starts", () => {
  for (const found of everyFinding()) {
    const step = decide(found);
    if (!("attempt" in step) || found.before === "unreadable") continue;
    assert.ok(step.attempt >= found.attempt, JSON.stringify(found));
  }
});

Deno.test("a committed outcome is filed as it was committed, whatever else is found", () => {
  const before = sampleExitedLease();
  const step = afterTakeover({
    before,
    claimed: { etag: "other", lastModifiedMs: 5, lostAttempts: 9 },
    pending: { etag: "p", lastModifiedMs: 9, lostAttempts: 0 },
    sameBytes: false,
    maxAttempts: 1,
  });
  assert.deepEqual(step, { step: "finish-filing", commit: before.commit });
});

Deno.test("the origin of a claimed spec has its bytes and is not newer, by the store's clock", () => {
  const claimed: SpecFacts = { etag: "c", lastModifiedMs: 1_000, lostAttempts: 0 };
  const pending = (lastModifiedMs: number): SpecFacts => ({
    ...claimed,
    etag: "p",
    lastModifiedMs,
  });
  const table: [SpecFacts | undefined, boolean, boolean][] = [
    [undefined, false, false],
    [undefined, true, false],
    [pending(999), true, true],
    [pending(1_000), true, true],
    [pending(1_001), true, false],
    [pending(999), false, false],
    [pending(1_001), false, false],
  ];
  for (const [found, sameBytes, is] of table) assert.equal(isOrigin(found, claimed, sameBytes), is);
});

Deno.test("what is at the lease's key tells whose it is by nonce and sequence", () => {
  const written = sampleLease({ nonce: "mine", sequence: 4 });
  const table: [{ lease: Lease | undefined } | undefined, string][] = [
    [undefined, "absent"],
    [{ lease: undefined }, "someone-else"],
    [{ lease: sampleLease({ nonce: "theirs", sequence: 4 }) }, "someone-else"],
    [{ lease: sampleLease({ nonce: "theirs", sequence: 9, node: written.node }) }, "someone-else"],
    [{ lease: sampleLease({ nonce: "mine", sequence: 3 }) }, "own-claim"],
    [{ lease: sampleLease({ nonce: "mine", sequence: 5 }) }, "own-claim"],
    [{ lease: sampleExitedLease({ nonce: "mine", sequence: 5 }) }, "own-claim"],
    [{ lease: sampleLease({ nonce: "mine", sequence: 4 }) }, "this-write"],
  ];
  for (const [found, comparison] of table) assert.equal(compareLease(found, written), comparison);
});

Deno.test("a fresh claim is the first attempt, and names its pool only where there is one", () => {
  const lease = newLease(START);
  const { attempt, sequence, state, attempts } = lease;
  assert.deepEqual([attempt, sequence, state, attempts], [1, 0, "claimed", []]);
  assert.equal(lease.poolId, "cpu");
  assert.equal("poolId" in newLease({ ...START, poolId: "" }), false);
});

Deno.test("a takeover has a new nonce and holder, and keeps what the claim came to", () => {
  const before = sampleExitedLease();
  const lease = takenOver(before, { ...START, specId: before.specId });
  assert.deepEqual(lease, {
    ...before,
    nonce: "new",
    node: "node-2",
    poolId: "cpu",
    ttlMs: 6_000,
    sequence: 8,
    claimedAt: START.at,
    renewedAt: START.at,
  });
  assert.deepEqual(takenOver(undefined, START), newLease(START));
  const without = decodeLease(encodeLease(takenOver(before, { ...START, poolId: "" })));
  assert.equal(without?.poolId, undefined);
});

Deno.test("no two writes of a holder have the same bytes", () => {
  const leases: Lease[] = [newLease(START)];
  for (let sequence = 0; sequence < 50; sequence++) {
    // The same millisecond each time, as a coarse or halted wall clock shows it.
    leases.push(renewed(leases[0], sequence, START.at));
  }
  const texts = leases.map((lease) => new TextDecoder().decode(encodeLease(lease)));
  assert.equal(new Set(texts).size, leases.length);
});

Deno.test("a further start keeps the one before it in the history", () => {
  const before = sampleLease({ attempt: 2, node: "dead" });
  const held = takenOver(before, START);
  const next = nextAttempt(held, before, 3);
  assert.equal(next.attempt, 3);
  assert.deepEqual(next.attempts.map(({ attempt, node }) => [attempt, node]), [
    [1, "node-0"],
    [2, "dead"],
  ]);
  assert.deepEqual(nextAttempt(held, undefined, 2).attempts, held.attempts);
});

Deno.test("what is stored of a lease comes back the same", () => {
  const commit = { result: sampleResult(), source: "pending", specEtag: '"x"' } as const;
  const leases = [
    newLease(START),
    sampleLease(),
    releasing(sampleLease()),
    exited(sampleLease(), commit),
    sampleLease({ specId: "日本/ 🚀.json", node: 'a"b\\c', attempts: [] }),
  ];
  for (const lease of leases) assert.deepEqual(decodeLease(encodeLease(lease)), lease);
});

Deno.test("lost attempts are carried along in metadata, and odd metadata counts as none", () => {
  fc.assert(fc.property(fc.integer({ min: 0, max: 999_999 }), (count) => {
    assert.equal(lostAttemptsOf(specMetadata(count)), count);
  }));
  assert.deepEqual(specMetadata(0), {});
  for (const odd of ["", " 1", "-1", "1.5", "1e3", "0x1", "9999999", "NaN", "١"]) {
    assert.equal(lostAttemptsOf({ "cellos-lost-attempts": odd }), 0, odd);
  }
});
