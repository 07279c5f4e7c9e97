/**
 * What every `Store` must do, as tests that run on any implementation. Each test has a store, and
 * within it a folder, of its own.
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { StoreError } from "../../lib/core/store_error.ts";
import type { ListPage, Store } from "../../lib/ports.ts";
import { ODD_KEYS, ODD_METADATA, REFUSED_METADATA } from "./odd_values.ts";

const MIB = 1024 * 1024;

/** A store to test, and what it holds on to. */
export interface OpenStore extends AsyncDisposable {
  readonly store: Store;
}

/** What an implementation is known not to do. It shows in the names of the tests. */
export interface StoreLimits {
  /** Deletes whatever the ETag says. */
  readonly ignoresDeleteCondition?: boolean;
  /** Copies whatever the source's ETag is. */
  readonly ignoresCopyCondition?: boolean;
  /** Looks at a condition and writes later, so that several writers may win. */
  readonly racyConditions?: boolean;
  /** Odd keys that the store refuses or garbles, with the reason. */
  readonly keys?: ReadonlyMap<string, string>;
  /** Why nothing can be tested here at all. */
  readonly unavailable?: string;
}

export function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

/** Registers the suite for one implementation. `open` gives an empty store, or an empty part of one. */
export function storeContract(
  name: string,
  open: () => Promise<OpenStore>,
  limits: StoreLimits = {},
): void {
  const test = (what: string, run: (store: Store) => Promise<void>, limit?: string) => {
    const skipped = limits.unavailable ?? limit;
    Deno.test({
      name: `${name}: ${what}${skipped === undefined ? "" : ` (SKIPPED: ${skipped})`}`,
      ignore: skipped !== undefined,
      fn: async () => {
        await using opened = await open();
        await run(opened.store);
      },
    });
  };
  const racy = limits.racyConditions ? "the store's conditions are not atomic" : undefined;

  testReads(test);
  testWrites(test);
  testRaces(test, racy);
  testDeletes(test, limits.ignoresDeleteCondition ? "it ignores If-Match on delete" : undefined);
  testCopies(
    test,
    limits.ignoresCopyCondition ? "it ignores the ETag of a copy's source" : undefined,
  );
  testListings(test);
  testLongListing(test);
  testBodies(test);
  testMetadata(test);
  for (const key of ODD_KEYS) {
    test(
      `the key ${shown(key)} comes back as it is`,
      (store) => roundTrip(store, key),
      limits.keys?.get(key),
    );
  }
}

function shown(key: string): string {
  return key.length > 40 ? `of ${key.length} characters` : JSON.stringify(key);
}

type Test = (what: string, run: (store: Store) => Promise<void>, limit?: string) => void;

/** Creates an object that must not exist yet; returns its ETag. */
async function created(store: Store, key: string, body: string): Promise<string> {
  const result = await store.create(key, bytes(body), {});
  assert.equal(result.outcome, "stored");
  return (result as { etag: string }).etag;
}

async function textOf(store: Store, key: string): Promise<string> {
  const result = await store.get(key, MIB);
  assert.equal(result.outcome, "found");
  return new TextDecoder().decode((result as { object: { body: Uint8Array } }).object.body);
}

function testReads(test: Test): void {
  test("an object that is not there is absent", async (store) => {
    assert.deepEqual(await store.get("none", 10), { outcome: "absent" });
    assert.equal(await store.head("none"), undefined);
  });

  test("get and head tell the same of an object", async (store) => {
    const before = Date.now();
    const etag = await created(store, "a", "hello");
    const found = await store.get("a", 5);
    assert.equal(found.outcome, "found");
    const { body, ...head } = (found as Extract<typeof found, { outcome: "found" }>).object;
    assert.deepEqual([...body], [...bytes("hello")]);
    assert.deepEqual(head, await store.head("a"));
    assert.equal(head.etag, etag);
    assert.equal(head.size, 5);
    // Whole seconds, by a clock that may be another's.
    assert.ok(Math.abs(head.lastModifiedMs - before) < 120_000, `${head.lastModifiedMs}`);
  });

  test("an object larger than the bound is told of, not read", async (store) => {
    const etag = await created(store, "a", "hello");
    const result = await store.get("a", 4);
    assert.equal(result.outcome, "too-large");
    const { head } = result as Extract<typeof result, { outcome: "too-large" }>;
    assert.deepEqual([head.key, head.etag, head.size], ["a", etag, 5]);
    assert.equal(await textOf(store, "a"), "hello");
  });

  test("an empty object fits a bound of nothing", async (store) => {
    await created(store, "a", "");
    assert.equal((await store.get("a", 0)).outcome, "found");
  });
}

function testWrites(test: Test): void {
  test("create is refused when the key exists, and changes nothing", async (store) => {
    await created(store, "a", "first");
    assert.deepEqual(await store.create("a", bytes("second"), {}), { outcome: "refused" });
    assert.equal(await textOf(store, "a"), "first");
  });

  test("create of a deleted key is stored", async (store) => {
    await created(store, "a", "first");
    await store.delete("a", undefined);
    await created(store, "a", "second");
    assert.equal(await textOf(store, "a"), "second");
  });

  test("replace is stored with the ETag that create gave, once", async (store) => {
    const etag = await created(store, "a", "first");
    const replaced = await store.replace("a", etag, bytes("second"), { seen: "yes" });
    assert.equal(replaced.outcome, "stored");
    assert.deepEqual(await store.replace("a", etag, bytes("third"), {}), { outcome: "refused" });
    assert.equal(await textOf(store, "a"), "second");
    const head = await store.head("a");
    assert.equal(head?.etag, (replaced as { etag: string }).etag);
    assert.deepEqual(head?.metadata, { seen: "yes" });
  });

  test("replace takes the ETag of a get, a head and a listing alike", async (store) => {
    await created(store, "a", "0");
    const get = await store.get("a", 10) as { object: { etag: string } };
    assert.equal((await store.replace("a", get.object.etag, bytes("1"), {})).outcome, "stored");
    const head = await store.head("a");
    assert.equal((await store.replace("a", head!.etag, bytes("2"), {})).outcome, "stored");
    const [listed] = (await store.list({ prefix: "a" })).objects;
    assert.equal((await store.replace("a", listed.etag, bytes("3"), {})).outcome, "stored");
    assert.equal(await textOf(store, "a"), "3");
  });

  test("replace of an absent object is refused, and creates none", async (store) => {
    const etag = '"d41d8cd98f00b204e9800998ecf8427e"';
    assert.deepEqual(await store.replace("a", etag, bytes("x"), {}), { outcome: "refused" });
    assert.equal(await store.head("a"), undefined);
  });

  test("put overwrites body and metadata", async (store) => {
    await store.put("a", bytes("first"), { one: "1" });
    await store.put("a", bytes("second"), { two: "2" });
    assert.equal(await textOf(store, "a"), "second");
    assert.deepEqual((await store.head("a"))?.metadata, { two: "2" });
  });
}

function testRaces(test: Test, limit: string | undefined): void {
  const writers = Array.from({ length: 32 }, (_, index) => `writer ${index}`);

  test("of 32 creates at once, one wins, and its bytes are there", async (store) => {
    const results = await Promise.all(writers.map((body) => store.create("a", bytes(body), {})));
    const won = writers.filter((_, index) => results[index].outcome === "stored");
    assert.equal(won.length, 1, JSON.stringify(results));
    assert.equal(results.filter(({ outcome }) => outcome === "refused").length, 31);
    assert.equal(await textOf(store, "a"), won[0]);
  }, limit);

  test("of 32 replaces of one ETag at once, one wins, and its bytes are there", async (store) => {
    const etag = await created(store, "a", "before");
    const results = await Promise.all(
      writers.map((body) => store.replace("a", etag, bytes(body), {})),
    );
    const won = writers.filter((_, index) => results[index].outcome === "stored");
    assert.equal(won.length, 1, JSON.stringify(results));
    assert.equal(results.filter(({ outcome }) => outcome === "refused").length, 31);
    assert.equal(await textOf(store, "a"), won[0]);
  }, limit);
}

function testDeletes(test: Test, limit: string | undefined): void {
  test("delete removes the object, and one that is absent counts as deleted", async (store) => {
    await created(store, "a", "x");
    assert.deepEqual(await store.delete("a", undefined), { outcome: "deleted" });
    assert.equal(await store.head("a"), undefined);
    assert.deepEqual(await store.delete("a", undefined), { outcome: "deleted" });
  });

  test("delete with the object's ETag removes it", async (store) => {
    const etag = await created(store, "a", "x");
    assert.deepEqual(await store.delete("a", etag), { outcome: "deleted" });
    assert.equal(await store.head("a"), undefined);
  });

  test("delete of an absent object with an ETag counts as deleted", async (store) => {
    const etag = await created(store, "other", "x");
    assert.deepEqual(await store.delete("a", etag), { outcome: "deleted" });
  });

  test("delete with an older ETag is refused, and removes nothing", async (store) => {
    const etag = await created(store, "a", "first");
    assert.equal((await store.replace("a", etag, bytes("second"), {})).outcome, "stored");
    assert.deepEqual(await store.delete("a", etag), { outcome: "refused" });
    assert.equal(await textOf(store, "a"), "second");
  }, limit);
}

function testCopies(test: Test, limit: string | undefined): void {
  test("copy keeps the bytes and takes the new metadata", async (store) => {
    const source = await store.create("a b/ü+%", bytes("x"), { old: "1" });
    const { etag } = source as { etag: string };
    const copied = await store.copy("a b/ü+%", etag, "to", { fresh: "2" });
    assert.equal(copied.outcome, "stored");
    assert.equal(await textOf(store, "to"), "x");
    const head = await store.head("to");
    assert.deepEqual(head?.metadata, { fresh: "2" });
    assert.equal(head?.etag, (copied as { etag: string }).etag);
    assert.deepEqual((await store.head("a b/ü+%"))?.metadata, { old: "1" });
  });

  test("copy of an absent object is refused, and makes none", async (store) => {
    const etag = await created(store, "a", "first");
    assert.deepEqual(await store.copy("none", etag, "to", {}), { outcome: "refused" });
    assert.equal(await store.head("to"), undefined);
  });

  test("copy of a changed object is refused, and makes none", async (store) => {
    const etag = await created(store, "a", "first");
    await store.put("a", bytes("second"), {});
    assert.deepEqual(await store.copy("a", etag, "to", {}), { outcome: "refused" });
    assert.equal(await store.head("to"), undefined);
  }, limit);
}

function testListings(test: Test): void {
  test("an empty listing is one empty page", async (store) => {
    const empty: ListPage = { objects: [], commonPrefixes: [], truncated: false };
    const { servedAtMs, ...page } = await store.list({ prefix: "none/" });
    assert.deepEqual(page, empty);
    assert.ok(servedAtMs === undefined || Math.abs(servedAtMs - Date.now()) < 3_600_000);
  });

  test("a listing holds what is below the prefix, in the order of UTF-8 bytes", async (store) => {
    // By UTF-16 units, the emoji would come before U+FF5E.
    const keys = ["p/A", "p/a", "p/a/b", "p/ü", "p/\uff5e", "p/\u{1f600}"];
    for (const key of [...keys, "p", "q/a"]) await store.put(key, bytes(key), {});
    const { objects, truncated } = await store.list({ prefix: "p/" });
    assert.deepEqual(objects.map(({ key }) => key), keys);
    assert.equal(truncated, false);
    for (const { key, etag, size, lastModifiedMs } of objects) {
      const head = await store.head(key);
      assert.deepEqual({ etag, size, lastModifiedMs }, {
        etag: head!.etag,
        size: head!.size,
        lastModifiedMs: head!.lastModifiedMs,
      });
    }
  });

  test("a page ends at maxKeys, and the next starts after its last key", async (store) => {
    for (const key of ["p/1", "p/2", "p/3"]) await store.put(key, bytes(""), {});
    const first = await store.list({ prefix: "p/", maxKeys: 2 });
    assert.deepEqual(first.objects.map(({ key }) => key), ["p/1", "p/2"]);
    assert.equal(first.truncated, true);
    const second = await store.list({ prefix: "p/", maxKeys: 2, startAfter: "p/2" });
    assert.deepEqual(second.objects.map(({ key }) => key), ["p/3"]);
    assert.equal(second.truncated, false);
  });

  test("a page may start after a key that is not there", async (store) => {
    for (const key of ["p/1", "p/3"]) await store.put(key, bytes(""), {});
    const page = await store.list({ prefix: "p/", startAfter: "p/2" });
    assert.deepEqual(page.objects.map(({ key }) => key), ["p/3"]);
  });

  test("a delimiter groups keys, and a page after a group skips it", async (store) => {
    const keys = ["p/a", "p/b b/1", "p/b b/2", "p/c+/1", "p/d", "p/ü/1", "p/z"];
    for (const key of keys) await store.put(key, bytes(""), {});
    const whole = await store.list({ prefix: "p/", delimiter: "/" });
    assert.deepEqual(whole.objects.map(({ key }) => key), ["p/a", "p/d", "p/z"]);
    assert.deepEqual(whole.commonPrefixes, ["p/b b/", "p/c+/", "p/ü/"]);

    const seen: string[] = [];
    let startAfter: string | undefined;
    for (let pages = 0; pages < keys.length; pages++) {
      const page = await store.list({ prefix: "p/", delimiter: "/", maxKeys: 1, startAfter });
      const entries = [...page.objects.map(({ key }) => key), ...page.commonPrefixes];
      seen.push(...entries);
      startAfter = entries.at(-1);
      if (!page.truncated) break;
    }
    assert.deepEqual(seen, ["p/a", "p/b b/", "p/c+/", "p/d", "p/z", "p/ü/"]);
  });
}

function testLongListing(test: Test): void {
  test("1,203 keys come in pages of at most 1,000, each key once", async (store) => {
    const keys = Array.from({ length: 1203 }, (_, index) => `p/${String(index).padStart(5, "0")}`);
    for (let index = 0; index < keys.length; index += 32) {
      const part = keys.slice(index, index + 32);
      await Promise.all(part.map((key) => store.put(key, bytes(key), {})));
    }
    const first = await store.list({ prefix: "p/", maxKeys: 5000 });
    assert.equal(first.objects.length, 1000);
    assert.equal(first.truncated, true);
    const second = await store.list({ prefix: "p/", startAfter: first.objects.at(-1)!.key });
    assert.equal(second.truncated, false);
    assert.deepEqual([...first.objects, ...second.objects].map(({ key }) => key), keys);
  });
}

function testBodies(test: Test): void {
  for (const size of [0, 1, MIB, 5 * MIB]) {
    test(`a body of ${size} bytes comes back byte for byte`, async (store) => {
      const body = new Uint8Array(size);
      // 251 is a prime, so that no block of a power of two repeats.
      for (let index = 0; index < size; index++) body[index] = index % 251;
      await sameBody(store, body);
    });
  }

  test("a body of all 256 byte values comes back byte for byte", async (store) => {
    await sameBody(store, Uint8Array.from({ length: 512 }, (_, index) => index % 256));
  });

  test("a body that is a view into a larger buffer is stored as the view", async (store) => {
    await sameBody(store, Uint8Array.from({ length: 64 }, (_, index) => index).subarray(8, 24));
  });
}

async function sameBody(store: Store, body: Uint8Array): Promise<void> {
  assert.equal((await store.create("a", body, {})).outcome, "stored");
  const result = await store.get("a", body.length);
  assert.equal(result.outcome, "found");
  const { object } = result as Extract<typeof result, { outcome: "found" }>;
  assert.equal(object.size, body.length);
  assert.ok(Buffer.from(object.body).equals(body), "the bytes differ");
}

function testMetadata(test: Test): void {
  test("metadata comes back from get and head", async (store) => {
    assert.equal((await store.create("a", bytes("x"), ODD_METADATA)).outcome, "stored");
    assert.deepEqual((await store.head("a"))?.metadata, ODD_METADATA);
    const result = await store.get("a", 10) as { object: { metadata: unknown } };
    assert.deepEqual(result.object.metadata, ODD_METADATA);
  });

  test("metadata that a header cannot hold is refused by name before it is sent", async (store) => {
    for (const [metadata, problem] of REFUSED_METADATA) {
      for (
        const write of [
          () => store.create("a", bytes("x"), metadata),
          () => store.replace("a", '"e"', bytes("x"), metadata),
          () => store.put("a", bytes("x"), metadata),
        ]
      ) {
        await assert.rejects(write, (error) => {
          assert.ok(error instanceof StoreError);
          assert.equal(error.kind, "permanent");
          assert.match(error.message, problem);
          return true;
        });
      }
    }
    assert.equal(await store.head("a"), undefined);
  });

  test("a key that no store takes is refused before it is sent", async (store) => {
    for (const key of ["", "lone \ud800", "x".repeat(1025), "ü".repeat(513)]) {
      await assert.rejects(() => store.create(key, bytes("x"), {}), { kind: "permanent" });
      await assert.rejects(() => store.get(key, 1), { kind: "permanent" });
      await assert.rejects(() => store.delete(key, undefined), { kind: "permanent" });
    }
  });
}

async function roundTrip(store: Store, key: string): Promise<void> {
  const etag = await created(store, key, key);
  assert.equal(await textOf(store, key), key);
  assert.equal((await store.head(key))?.key, key);
  const page = await store.list({ prefix: "" });
  assert.deepEqual(page.objects.map((object) => object.key), [key]);
  const narrow = await store.list({ prefix: key });
  assert.deepEqual(narrow.objects.map((object) => object.key), [key]);
  assert.deepEqual((await store.list({ prefix: "", startAfter: key })).objects, []);
  assert.equal((await store.replace(key, etag, bytes("2"), {})).outcome, "stored");
  assert.equal((await store.delete(key, undefined)).outcome, "deleted");
  assert.deepEqual((await store.list({ prefix: "" })).objects, []);
}
