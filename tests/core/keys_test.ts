import assert from "node:assert/strict";
import fc from "fast-check";
import { QueueKeys, STATE_FOLDERS } from "../../lib/core/keys.ts";

const ROOTS = [["fleet", ""], ["fleet", "gpu"], ["a/b/c", "x/y"], ["", ""], ["", "lane"]] as const;

const ODD_IDS = [
  "a",
  "a b  c",
  " ",
  "grüße/日本語/🚀",
  "a.json",
  "a.json.json",
  ".json",
  "a.lease",
  "a.cancel",
  "team/2024/nightly",
  "/leading",
  "trailing/",
  "a//b",
  "..a/b..",
  "pending/a",
  "fleet/pending/a",
  "per%20cent+plus?question#hash&amp;",
  "line\nend",
  "\u0000",
  "__proto__",
];

/** Any text that is not empty, and beside it what an id could be mixed up with. */
const texts = fc.oneof(
  fc.constantFrom(...ODD_IDS),
  fc.string({ minLength: 1, unit: "binary" }),
  fc.array(fc.constantFrom(".json", ".lease", ".cancel", "/", ".", "pending", "claimed", "a"), {
    minLength: 1,
  }).map((parts) => parts.join("")),
);
const isDot = (segment: string) => segment === "." || segment === "..";
const ids = texts.filter((text) => !text.split("/").some(isDot));
const queues = fc.constantFrom(...ROOTS).map(([prefix, queue]) => new QueueKeys(prefix, queue));

Deno.test("the keys are those of the older agent, to the byte", () => {
  const plain = new QueueKeys("fleet", "");
  assert.equal(plain.pending("a"), "fleet/pending/a.json");
  assert.equal(plain.claimed("a"), "fleet/claimed/a.json");
  assert.equal(plain.lease("a"), "fleet/claimed/a.lease");
  assert.equal(plain.terminal("completed", "a"), "fleet/completed/a.json");
  assert.equal(plain.terminal("failed", "a"), "fleet/failed/a.json");
  assert.equal(plain.result("a"), "fleet/results/a.json");
  assert.equal(plain.node("n-1"), "fleet/nodes/n-1.json");
  assert.equal(plain.probe("x"), "fleet/probe/x");
  assert.equal(new QueueKeys("fleet", "gpu").pending("a/b"), "fleet/gpu/pending/a/b.json");
  assert.equal(new QueueKeys("", "").pending("a"), "pending/a.json");
});

Deno.test("every id comes back from its key, whatever characters it has", () => {
  fc.assert(fc.property(queues, ids, (keys, id) => {
    assert.equal(keys.specId("pending", keys.pending(id)), id);
    assert.equal(keys.specId("claimed", keys.claimed(id)), id);
    assert.equal(keys.specId("completed", keys.terminal("completed", id)), id);
    assert.equal(keys.specId("failed", keys.terminal("failed", id)), id);
    assert.equal(keys.specId("results", keys.result(id)), id);
    assert.deepEqual(keys.claimedKey(keys.claimed(id)), { kind: "spec", id });
    assert.deepEqual(keys.claimedKey(keys.lease(id)), { kind: "lease", id });
    assert.deepEqual(keys.claimedKey(keys.cancelMark(id)), { kind: "cancel", id });
  }));
});

Deno.test("every spec key comes back from its id", () => {
  fc.assert(fc.property(queues, fc.constantFrom(...STATE_FOLDERS), texts, (keys, folder, text) => {
    for (const key of [keys.folder(folder) + text, text, keys.folder(folder) + text + ".json"]) {
      const id = keys.specId(folder, key);
      if (id === undefined) continue;
      assert.notEqual(id, "");
      assert.equal(`${keys.folder(folder)}${id}.json`, key);
    }
  }));
});

Deno.test("exactly one suffix and one prefix are taken off", () => {
  const keys = new QueueKeys("fleet", "");
  const table: [string, string][] = [
    ["fleet/pending/a.json.json", "a.json"],
    ["fleet/pending/.json.json", ".json"],
    ["fleet/pending/fleet/pending/a.json", "fleet/pending/a"],
    ["fleet/pending/pending/a.json", "pending/a"],
    ["fleet/pending/a.lease.json", "a.lease"],
  ];
  for (const [key, id] of table) assert.equal(keys.specId("pending", key), id, key);
});

Deno.test("other names below pending/ are no specs", () => {
  const keys = new QueueKeys("fleet", "");
  const others = [
    "fleet/pending/",
    "fleet/pending/.json",
    "fleet/pending.json",
    "fleet/pending/a",
    "fleet/pending/a.JSON",
    "fleet/pending/a.json ",
    "fleet/pending/a.json/",
    "fleet/pending/a.yaml",
    "fleet/pending/a.lease",
    "fleet/claimed/a.json",
    "Fleet/pending/a.json",
    "xfleet/pending/a.json",
    "pending/a.json",
    ".json",
    "",
    // HTTP clients resolve dot segments: the request would reach another key.
    "fleet/pending/../completed/a.json",
    "fleet/pending/a/./b.json",
    "fleet/pending/..json",
  ];
  for (const key of others) assert.equal(keys.specId("pending", key), undefined, key);
});

Deno.test("below claimed/, specs, leases, marks and other objects are told apart", () => {
  const keys = new QueueKeys("fleet", "gpu");
  const others = [
    "fleet/gpu/claimed/",
    "fleet/gpu/claimed/.json",
    "fleet/gpu/claimed/.lease",
    "fleet/gpu/claimed/notes.txt",
    "fleet/claimed/a.lease",
    "fleet/gpu/pending/a.lease",
  ];
  for (const key of others) assert.deepEqual(keys.claimedKey(key), { kind: "other" }, key);
  assert.deepEqual(keys.claimedKey("fleet/gpu/claimed/a.json.lease"), {
    kind: "lease",
    id: "a.json",
  });
  assert.deepEqual(keys.claimedKey("fleet/gpu/claimed/a.lease.json"), {
    kind: "spec",
    id: "a.lease",
  });
});

Deno.test("two ids never share a key, and a spec, a lease and a mark never share one", () => {
  fc.assert(fc.property(queues, ids, ids, (keys, a, b) => {
    assert.equal(keys.claimed(a) === keys.claimed(b), a === b);
    assert.notEqual(keys.claimed(a), keys.lease(b));
    assert.notEqual(keys.claimed(a), keys.cancelMark(b));
    assert.notEqual(keys.lease(a), keys.cancelMark(b));
  }));
});
