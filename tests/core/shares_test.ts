import assert from "node:assert/strict";
import fc from "fast-check";
import { byAge, type Candidate } from "../../lib/core/candidates.ts";
import { type Preference, Shares } from "../../lib/core/shares.ts";

const candidate = (id: string, lastModifiedMs = 0): Candidate => ({
  id,
  key: `fleet/pending/${id}.json`,
  etag: "1",
  lastModifiedMs,
});

function inOrderOfPreference(
  candidates: readonly Candidate[],
  node: string,
  nodes: readonly string[],
): Preference[] {
  const shares = new Shares(node);
  shares.among(nodes);
  return shares.inOrderOfPreference(candidates);
}

const NODES = ["node-a", "node-b", "node-c", "node-d", "node-e"];
const MINUTE_MS = 60_000;

const queue = fc.uniqueArray(
  fc.record({ id: fc.string({ minLength: 1 }), ms: fc.integer({ min: 0, max: 300_000 }) }),
  { selector: ({ id }) => id, maxLength: 60 },
).map((specs) => specs.map(({ id, ms }) => candidate(id, ms)).sort(byAge));

const share = (node: string, candidates: readonly Candidate[], nodes = NODES) =>
  inOrderOfPreference(candidates, node, nodes)
    .filter(({ own }) => own).map(({ candidate }) => candidate.id);

Deno.test("every spec is in exactly one node's share, and every node would try all of them", () => {
  fc.assert(fc.property(queue, (candidates) => {
    const ids = candidates.map(({ id }) => id).sort();
    assert.deepEqual(NODES.flatMap((node) => share(node, candidates)).sort(), ids);
    for (const node of NODES) {
      const order = inOrderOfPreference(candidates, node, NODES);
      assert.deepEqual(order.map(({ candidate }) => candidate.id).sort(), ids);
    }
  }));
});

Deno.test("the order of the names and whether a node finds its own among them make no difference", () => {
  fc.assert(fc.property(queue, (candidates) => {
    for (const node of NODES) {
      const without = NODES.filter((name) => name !== node).reverse();
      assert.deepEqual(
        inOrderOfPreference(candidates, node, without),
        inOrderOfPreference(candidates, node, NODES),
      );
    }
  }));
});

Deno.test("a node alone has all specs in its share, the oldest first", () => {
  fc.assert(fc.property(queue, (candidates) => {
    for (const nodes of [[], ["node-a"]]) {
      const order = inOrderOfPreference(candidates, "node-a", nodes);
      assert.deepEqual(order.map(({ candidate }) => candidate), candidates);
      assert.ok(order.every(({ own, contested }) => own && !contested));
    }
  }));
});

Deno.test("a node that leaves moves only its own share", () => {
  fc.assert(fc.property(queue, (candidates) => {
    const left = NODES.slice(0, -1);
    for (const node of left) {
      const before = share(node, candidates);
      const after = share(node, candidates, left);
      assert.deepEqual(after.filter((id) => before.includes(id)), before);
    }
  }));
});

Deno.test("shares are about equal, for names and ids that differ in a digit only", () => {
  const nodes = Array.from({ length: 16 }, (_, index) => `node-${index}`);
  const candidates = Array.from({ length: 16_000 }, (_, index) => candidate(`spec-${index}`));
  for (const node of nodes) {
    const count = share(node, candidates, nodes).length;
    assert.ok(count > 850 && count < 1_150, `${node} has ${count}`);
  }
});

Deno.test("a node's own share comes first, in order of age, then what is uncontested", () => {
  fc.assert(fc.property(queue, fc.constantFrom(...NODES), (specs, node) => {
    // All of one minute: nothing is overdue.
    const candidates = specs.map((spec) => ({
      ...spec,
      lastModifiedMs: spec.lastModifiedMs % MINUTE_MS,
    })).sort(byAge);
    const order = inOrderOfPreference(candidates, node, NODES);
    const kinds = order.map(({ own, contested }) => own ? 0 : contested ? 2 : 1);
    assert.deepEqual(kinds, kinds.toSorted());
    const own = order.filter(({ own }) => own).map(({ candidate }) => candidate);
    assert.deepEqual(own, own.toSorted(byAge));
  }));
});

Deno.test("the two oldest of each share are contested for every other node", () => {
  fc.assert(fc.property(queue, (candidates) => {
    const heads = NODES.map((node) => share(node, candidates).slice(0, 2));
    for (const node of NODES) {
      const order = inOrderOfPreference(candidates, node, NODES);
      const tryAtOnce = order.filter(({ own, contested }) => !own && !contested)
        .map(({ candidate }) => candidate);
      const oldestOwn = order.find(({ own }) => own)?.candidate ?? candidates.at(-1);
      for (const { id, lastModifiedMs } of tryAtOnce) {
        const overdue = oldestOwn!.lastModifiedMs - lastModifiedMs > MINUTE_MS;
        assert.ok(overdue || !heads.flat().includes(id), `${node} takes ${id} at once`);
      }
    }
  }));
});

Deno.test("what is a minute older than a node's own oldest comes before it", () => {
  const ids = Array.from({ length: 50 }, (_, index) => `spec-${index}`);
  const [own] = share("node-a", ids.map((id) => candidate(id)));
  for (const [ageMs, overdue] of [[MINUTE_MS, false], [MINUTE_MS + 1, true]] as const) {
    const candidates = ids.map((id) => candidate(id, id === own ? ageMs : 0)).sort(byAge);
    const others = new Set(NODES.slice(1).flatMap((node) => share(node, candidates)));
    const [first] = inOrderOfPreference(
      candidates.filter(({ id }) => id === own || others.has(id)),
      "node-a",
      NODES,
    );
    assert.equal(first.candidate.id === own, !overdue);
    assert.equal(first.contested, false);
  }
});

Deno.test("what was ranked at an earlier poll, or among other nodes, makes no difference", () => {
  const polls = fc.array(fc.tuple(queue, fc.subarray(NODES)), { maxLength: 5 });
  fc.assert(fc.property(polls, (steps) => {
    const shares = new Shares("node-a");
    for (const [candidates, nodes] of steps) {
      shares.among(nodes);
      assert.deepEqual(
        shares.inOrderOfPreference(candidates),
        inOrderOfPreference(candidates, "node-a", nodes),
      );
    }
  }));
});
