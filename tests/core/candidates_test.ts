import assert from "node:assert/strict";
import fc from "fast-check";
import {
  byAge,
  type Candidate,
  candidatesOf,
  KnownVersions,
  PickWindow,
  type Verdict,
} from "../../lib/core/candidates.ts";
import { QueueKeys } from "../../lib/core/keys.ts";

const keys = new QueueKeys("fleet", "");
const candidate = (id: string, etag = "1", lastModifiedMs = 0): Candidate => ({
  id,
  key: keys.pending(id),
  etag,
  lastModifiedMs,
});

Deno.test("other names below pending/ are no candidates, and are told apart", () => {
  const listed = ["a.json", "notes.txt", "", ".json", "b/c.json"].map((name, index) => ({
    key: `fleet/pending/${name}`,
    etag: `"${index}"`,
    lastModifiedMs: index,
  }));
  const { candidates, others } = candidatesOf(keys, listed);
  assert.deepEqual(candidates.map(({ id }) => id), ["a", "b/c"]);
  assert.deepEqual(others, ["notes.txt", ".json"].map((name) => `fleet/pending/${name}`));
});

Deno.test("the oldest comes first, then the smallest key: one order on every node", () => {
  const ordered = [candidate("b", "1", 1), candidate("a", "1", 2), candidate("c", "1", 2)];
  const any = fc.shuffledSubarray(ordered, { minLength: 3, maxLength: 3 });
  fc.assert(fc.property(any, (shuffled) => {
    assert.deepEqual(shuffled.sort(byAge).map(({ id }) => id), ["b", "a", "c"]);
  }));
});

const random = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });

Deno.test("a pick is always a candidate, and never beyond the window's bounds", () => {
  const tries = fc.array(fc.boolean(), { maxLength: 2_000 });
  fc.assert(
    fc.property(tries, fc.integer({ min: 1, max: 20_000 }), random, (late, length, chance) => {
      const window = new PickWindow();
      for (const wasLate of late) wasLate ? window.tooLate() : window.inTime();
      const index = window.pick(length, chance);
      assert.ok(Number.isInteger(index) && index >= 0);
      assert.ok(index < Math.min(length, PickWindow.MAX), String(index));
    }),
  );
});

Deno.test("a node alone in its queue picks among the few oldest", () => {
  const window = new PickWindow();
  for (let tries = 0; tries < 1_000; tries++) window.inTime();
  assert.equal(window.pick(20_000, 0.999_999), PickWindow.MIN - 1);
});

Deno.test("tries that come too late widen the window, and tries in time narrow it again", () => {
  const window = new PickWindow();
  const last = () => window.pick(1e6, 0.999_999_9);
  assert.equal(last(), 3);
  window.tooLate();
  assert.equal(last(), 7);
  for (let tries = 0; tries < 50; tries++) window.tooLate();
  assert.equal(last(), PickWindow.MAX - 1);
  for (let tries = 0; tries < 47; tries++) window.inTime();
  assert.ok(last() < PickWindow.MAX / 2 && last() > PickWindow.MAX / 3, String(last()));
  for (let tries = 0; tries < 1_000; tries++) window.inTime();
  assert.equal(last(), PickWindow.MIN - 1);
});

Deno.test("a known verdict holds for the version that was read, and no other", () => {
  const known = new KnownVersions(10);
  known.set(candidate("a", "1"), { kind: "foreign" });
  assert.deepEqual(known.get(candidate("a", "1")), { kind: "foreign" });
  assert.equal(known.get(candidate("a", "2")), undefined);
  assert.equal(known.get(candidate("b", "1")), undefined);
  known.set(candidate("a", "2"), { kind: "eligible" });
  assert.equal(known.get(candidate("a", "1")), undefined);
  known.forget(candidate("a").key);
  assert.equal(known.get(candidate("a", "2")), undefined);
  assert.equal(known.size, 0);
});

Deno.test("the memory of versions is bounded, and what was used least recently is forgotten", () => {
  const capacity = 4;
  const ids = fc.constantFrom("a", "b", "c", "d", "e", "f", "g");
  const uses = fc.array(fc.tuple(fc.constantFrom("get", "set", "set", "forget"), ids), {
    minLength: 20,
    maxLength: 60,
  });
  fc.assert(fc.property(uses, (steps) => {
    const known = new KnownVersions(capacity);
    // The model: the ids known, the most recently used last.
    let model: string[] = [];
    const verdict: Verdict = { kind: "eligible" };
    for (const [step, id] of steps) {
      if (step === "get") {
        const expected: Verdict | undefined = model.includes(id) ? verdict : undefined;
        assert.deepEqual(known.get(candidate(id)), expected);
        if (expected !== undefined) model = [...model.filter((other) => other !== id), id];
      } else if (step === "set") {
        known.set(candidate(id), verdict);
        model = [...model.filter((other) => other !== id), id].slice(-capacity);
      } else {
        known.forget(candidate(id).key);
        model = model.filter((other) => other !== id);
      }
      assert.equal(known.size, model.length);
    }
  }));
});
