/** The in-memory bucket against a plain model, and the conditions it honours. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import fc from "fast-check";
import { type Change, MemoryBucket } from "../scripts/s3/bucket.ts";
import { collated, compareKeys, SortedKeys, uncollated } from "../scripts/s3/sorted_keys.ts";

const BODY = new TextEncoder().encode("{}");

function emptyBucket(): MemoryBucket {
  return new MemoryBucket({ now: () => 1_700_000_000_999 });
}

/** Few characters, so that prefixes, groups and repeated keys are common; both odd ranges included. */
const KEY = fc.string({
  unit: fc.constantFrom("a", "b", "/", "\u00e9", "\ue000", "\uffff", "\u{1f600}", "\u{10ffff}"),
  minLength: 1,
  maxLength: 6,
});

function byUtf8(left: string, right: string): number {
  return Buffer.compare(Buffer.from(left), Buffer.from(right));
}

Deno.test("keys are ordered by their UTF-8 bytes, also beyond the basic plane", () => {
  fc.assert(fc.property(KEY, KEY, (left, right) => {
    assert.equal(Math.sign(compareKeys(left, right)), Math.sign(byUtf8(left, right)));
    assert.equal(uncollated(collated(left)), left);
    assert.equal(collated(left).startsWith(collated(right)), left.startsWith(right));
  }));
});

Deno.test("a walk through the pages of a listing gives what a sorted array gives", () => {
  const step = fc.record({ key: KEY, remove: fc.boolean() });
  const query = fc.record({
    prefix: fc.oneof(fc.constant(""), KEY),
    startAfter: fc.option(KEY, { nil: undefined }),
    delimiter: fc.constantFrom(undefined, "/", "a"),
    maxKeys: fc.integer({ min: 1, max: 5 }),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), query, (steps, request) => {
      const bucket = emptyBucket();
      const model = new Set<string>();
      for (const { key, remove } of steps) {
        if (remove) assert.equal(bucket.delete(key), model.delete(key) ? "deleted" : "absent");
        else if (model.add(key)) bucket.put(key, BODY);
      }
      assert.equal(bucket.size, model.size);

      const { prefix, startAfter, delimiter } = request;
      const expected = new Set<string>();
      for (const key of [...model].sort(byUtf8)) {
        if (!key.startsWith(prefix) || byUtf8(key, startAfter ?? "") <= 0) continue;
        const at = delimiter === undefined ? -1 : key.indexOf(delimiter, prefix.length);
        const entry = at < 0 ? key : key.slice(0, at + delimiter!.length);
        if (at < 0 || entry !== startAfter) expected.add(entry);
      }
      const found: string[] = [];
      let page = bucket.list(request);
      for (;;) {
        const entries = [...page.objects.map(({ key }) => key), ...page.commonPrefixes].sort(
          byUtf8,
        );
        assert.ok(entries.length <= request.maxKeys);
        found.push(...entries);
        if (!page.truncated) break;
        page = bucket.list({ ...request, startAfter: entries.at(-1) });
      }
      assert.deepEqual(found, [...expected]);
    }),
    { numRuns: 2_000 },
  );
});

Deno.test("a large sorted set stays whole through splits and merges of its chunks", () => {
  const keys = new SortedKeys();
  const all = Array.from({ length: 20_000 }, (_, index) => String((index * 7919) % 20_000));
  const left = new Set(all);
  for (const key of all) keys.add(key);
  for (const [index, key] of all.entries()) {
    if (index % 20 === 0) continue;
    keys.delete(key);
    left.delete(key);
  }
  const found: string[] = [];
  for (const cursor = keys.cursor(""); cursor.key !== undefined; cursor.next()) {
    found.push(cursor.key);
  }
  assert.deepEqual(found, [...left].sort());
});

Deno.test("conditional writes and deletes are stored, refused or find nothing", () => {
  const bucket = emptyBucket();
  assert.equal(bucket.put("k", BODY, {}, { ifMatch: '"x"' }), "absent");
  const first = bucket.put("k", BODY, {}, { ifNoneMatch: true });
  assert.ok(typeof first === "object");
  assert.equal(first.etag, '"99914b932bd37a50b983c5e7c90ae93b"');
  assert.equal(bucket.put("k", BODY, {}, { ifNoneMatch: true }), "refused");
  assert.equal(bucket.put("k", BODY, {}, { ifMatch: '"other"' }), "refused");
  const second = bucket.put("k", new Uint8Array([1]), {}, { ifMatch: first.etag });
  assert.ok(typeof second === "object");
  assert.equal(bucket.delete("k", first.etag), "refused");
  assert.equal(bucket.delete("k", second.etag.replaceAll('"', "")), "deleted");
  assert.equal(bucket.delete("k", second.etag), "absent");
  assert.equal(bucket.delete("k"), "absent");
});

Deno.test("conditions that are switched off are ignored", () => {
  const conditions = { create: false, replace: false, delete: false };
  const bucket = new MemoryBucket({ now: () => 0, conditions });
  assert.ok(typeof bucket.put("k", BODY, {}, { ifMatch: '"x"' }) === "object");
  assert.ok(typeof bucket.put("k", BODY, {}, { ifNoneMatch: true }) === "object");
  conditions.delete = true;
  assert.equal(bucket.delete("k", '"x"'), "refused");
  conditions.delete = false;
  assert.equal(bucket.delete("k", '"x"'), "deleted");
});

Deno.test("the observer sees each change of state, and nothing that changed nothing", () => {
  const changes: Change[] = [];
  const bucket = new MemoryBucket({ now: () => 0, observe: (change) => changes.push(change) });
  bucket.put("a", BODY, { note: "kept" });
  bucket.put("a", BODY, {}, { ifNoneMatch: true });
  bucket.copy("a", "b");
  bucket.copy("none", "b");
  bucket.put("a", BODY);
  bucket.delete("a", '"other"');
  bucket.delete("a");
  bucket.delete("a");
  bucket.get("b");
  assert.deepEqual(changes.map(({ kind, key, previous }) => [kind, key, previous !== undefined]), [
    ["put", "a", false],
    ["put", "b", false],
    ["put", "a", true],
    ["delete", "a", true],
  ]);
  assert.deepEqual(bucket.head("b")?.metadata, { note: "kept" });
});

Deno.test("times are whole seconds of the clock passed in, and ETags can be chosen", () => {
  let written = 0;
  const bucket = new MemoryBucket({ now: () => 1_700_000_000_999, etagOf: () => `"${++written}"` });
  bucket.put("a", BODY);
  bucket.put("b", BODY);
  const [a, b] = bucket.list({ prefix: "" }).objects;
  assert.deepEqual([a.etag, b.etag], ['"1"', '"2"']);
  assert.deepEqual(a, {
    key: "a",
    etag: '"1"',
    size: 2,
    lastModifiedMs: 1_700_000_000_000,
  });
});
