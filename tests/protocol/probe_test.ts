import assert from "node:assert/strict";
import { QueueKeys } from "../../lib/core/keys.ts";
import { StoreError } from "../../lib/core/store_error.ts";
import type { Clock, DeleteResult, Store, WriteResult } from "../../lib/ports.ts";
import { probeStore } from "../../lib/probe.ts";
import { type HonouredConditions, MemoryBucket } from "../../scripts/s3/bucket.ts";
import { MemoryStore } from "../sim/memory_store.ts";
import { Fleet } from "./fleet.ts";

const keys = new QueueKeys("fleet", "");
const clock: Clock = { now: () => 0, monotonic: () => 0, sleep: () => Promise.resolve() };

function bucketWith(conditions: Partial<HonouredConditions> = {}): MemoryBucket {
  const all = { create: true, replace: true, delete: true };
  return new MemoryBucket({ now: () => 0, conditions: { ...all, ...conditions } });
}

function probe(store: Store) {
  let nonces = 0;
  const entropy = { random: () => 0.5, nonce: () => `nonce-${++nonces}` };
  return probeStore({ store, keys, clock, entropy });
}

const permanent = (message: RegExp) => (error: unknown) => {
  assert.ok(error instanceof StoreError);
  assert.equal(error.kind, "permanent");
  assert.match(error.message, message);
  return true;
};

Deno.test("a store that honours every condition is safe, and nothing is left of the probe", async () => {
  const bucket = bucketWith();
  assert.deepEqual(await probe(new MemoryStore(bucket)), { conditionalDelete: true });
  assert.equal(bucket.size, 0);
});

Deno.test("a store that ignores If-Match on deletes is worked with by looking first", async () => {
  const bucket = bucketWith({ delete: false });
  assert.deepEqual(await probe(new MemoryStore(bucket)), { conditionalDelete: false });
  assert.equal(bucket.size, 0);
});

Deno.test("a store that ignores If-None-Match is refused, by the condition's name", async () => {
  const bucket = bucketWith({ create: false });
  await assert.rejects(probe(new MemoryStore(bucket)), permanent(/If-None-Match: \*/));
  assert.equal(bucket.size, 0);
});

Deno.test("a store that ignores If-Match is refused, by the condition's name", async () => {
  const bucket = bucketWith({ replace: false });
  const message = /If-Match, with an ETag that the object no longer has/;
  await assert.rejects(probe(new MemoryStore(bucket)), permanent(message));
  assert.equal(bucket.size, 0);
});

/** A store that does one thing of its own. */
function bent(bucket: MemoryBucket, own: Partial<Store>): Store {
  const store = new MemoryStore(bucket);
  return new Proxy<Store>(store, {
    get: (target, name: keyof Store) => own[name] ?? target[name].bind(target),
  });
}

Deno.test("a store that refuses every If-Match is refused, by the condition's name", async () => {
  const refuse = () => Promise.resolve<WriteResult>({ outcome: "refused" });
  const store = bent(bucketWith(), { replace: refuse });
  await assert.rejects(probe(store), permanent(/If-Match, with the ETag that the object has/));
});

Deno.test("a store that creates what it was to replace is refused, by the condition's name", async () => {
  const bucket = bucketWith();
  const plain = new MemoryStore(bucket);
  const store = bent(bucket, {
    async replace(key, etag, body, metadata) {
      if (bucket.get(key) !== undefined) return await plain.replace(key, etag, body, metadata);
      return await plain.create(key, body, metadata);
    },
  });
  await assert.rejects(probe(store), permanent(/for a key that did not exist/));
  assert.equal(bucket.size, 0);
});

const WRITES = ["create", "replace", "delete"] as const;
const UNKNOWN = { outcome: "unknown", answered: true, throttled: true, cause: "503" } as const;

/** A sound store on which the nth write is answered with 503, and done or not. */
function hiccuping(nth: number, done: boolean): Store & { readonly writes: number } {
  const store = new MemoryStore(bucketWith());
  let writes = 0;
  return new Proxy(store, {
    get(target, name: keyof Store | "writes") {
      if (name === "writes") return writes;
      const method = target[name].bind(target) as (...args: unknown[]) => Promise<unknown>;
      if (!(WRITES as readonly string[]).includes(name)) return method;
      return async (...args: unknown[]) => {
        if (++writes !== nth) return await method(...args);
        if (done) await method(...args);
        return UNKNOWN;
      };
    },
  }) as unknown as Store & { readonly writes: number };
}

Deno.test("no hiccup of a sound store makes it look unsafe, or unable", async () => {
  const plain = hiccuping(0, false);
  await probe(plain);
  assert.ok(plain.writes >= 6);
  for (let nth = 1; nth <= plain.writes + 2; nth++) {
    for (const done of [true, false]) {
      const which = `write ${nth}, ${done ? "done" : "not done"}`;
      try {
        assert.deepEqual(await probe(hiccuping(nth, done)), { conditionalDelete: true }, which);
      } catch (error) {
        // Then it is tried again, from the start.
        assert.ok(error instanceof StoreError, which);
        assert.equal(error.kind, "transient", `${which}: ${error.message}`);
      }
    }
  }
});

Deno.test("a store that gives no clear answer is not called unsafe", async () => {
  const unknown = () => Promise.resolve<WriteResult & DeleteResult>(UNKNOWN);
  for (const write of WRITES) {
    const store = bent(bucketWith(), { [write]: unknown });
    await assert.rejects(
      probe(store),
      (error) => error instanceof StoreError && error.kind === "transient",
      write,
    );
  }
});

Deno.test("an agent starts as soon as the bucket answers", async () => {
  const fleet = new Fleet();
  fleet.submit("a");
  fleet.fault = ({ atMs }) => atMs < 300_000 ? { status: 503, effect: false } : undefined;
  const node = fleet.node();
  fleet.at(600_000, () => node.drain());
  await fleet.run();
  assert.deepEqual(fleet.bucketKeys, ["fleet/completed/a.json", "fleet/results/a.json"]);
  assert.equal(fleet.events("bucket-recovered").length, 1);
  assert.ok(fleet.events("bucket-failing").length < 40);
});

Deno.test("an agent that is denied access at start ends and says so", async () => {
  const fleet = new Fleet();
  fleet.fault = () => "denied";
  fleet.node();
  await assert.rejects(fleet.run(), permanent(/access denied/));
});

Deno.test("an agent told to drain before the bucket ever answered ends at once", async () => {
  const fleet = new Fleet();
  fleet.fault = () => ({ status: 500, effect: false });
  const node = fleet.node();
  fleet.at(60_000, () => node.drain());
  await fleet.run();
  assert.equal(node.end, "drained");
  assert.ok(node.endedMs! < 80_000, String(node.endedMs));
});
