import assert from "node:assert/strict";
import { Fleet } from "./fleet.ts";

const ofPool = (poolId: unknown) => JSON.stringify({ spec: { placement: { poolId } } });

Deno.test("the placement gate: a node of a pool runs its own and the unplaced, a node of none all", async () => {
  const specs: Record<string, { body: string; pool: string | undefined }> = {
    gpu: { body: ofPool("gpu"), pool: "gpu" },
    cpu: { body: ofPool("cpu"), pool: "cpu" },
    "other-case": { body: ofPool("GPU"), pool: "GPU" },
    empty: { body: ofPool(""), pool: undefined },
    null: { body: ofPool(null), pool: undefined },
    unplaced: { body: '{"spec":{}}', pool: undefined },
    unreadable: { body: "not JSON", pool: undefined },
    "not-a-text": { body: ofPool(7), pool: undefined },
  };
  for (const poolId of ["", "gpu", "cpu", "tpu"]) {
    const fleet = new Fleet();
    for (const [id, { body }] of Object.entries(specs)) fleet.submit(id, body);
    fleet.node("node-1", { once: true, poolId });
    await fleet.run();
    const expected = Object.entries(specs)
      .filter(([, { pool }]) => poolId === "" || pool === undefined || pool === poolId)
      .map(([id]) => id);
    assert.deepEqual(fleet.starts.map(({ specId }) => specId).sort(), expected.sort(), poolId);
    const skipped = fleet.events("spec-skipped");
    assert.equal(skipped.length, Object.keys(specs).length - expected.length);
    const unreadable = fleet.events("placement-unreadable").map(({ specId }) => specId).sort();
    assert.deepEqual(unreadable, poolId === "" ? [] : ["not-a-text", "unreadable"]);
  }
});

Deno.test("5,000 specs of another pool ahead of one of ours: found in the first round, each read once", async () => {
  const fleet = new Fleet();
  for (let number = 0; number < 5_000; number++) {
    fleet.submit(`foreign-${String(number).padStart(4, "0")}`, ofPool("cpu"));
  }
  fleet.at(2_000, () => {
    fleet.submit("zz-ours", ofPool("gpu"));
    fleet.node("node-1", { poolId: "gpu", exitWhenIdleMs: 120_000 });
  });
  await fleet.run();
  assert.deepEqual(fleet.starts.map(({ specId }) => specId), ["zz-ours"]);
  const polls = fleet.events("poll-finished");
  assert.ok(polls.length > 20);
  assert.ok(polls.findIndex(({ atMs }) => atMs > fleet.starts[0].startedMs) === 1);
  const reads = fleet.requests.filter(({ operation, key }) =>
    operation === "get" && key.includes("foreign")
  );
  assert.equal(reads.length, 5_000);
  assert.equal(new Set(reads.map(({ key }) => key)).size, 5_000);
  assert.equal(fleet.events("spec-skipped").length, 5_000);
});

Deno.test("a new version of a spec of another pool is read again, and run where it is ours now", async () => {
  const fleet = new Fleet();
  fleet.submit("a", ofPool("cpu"));
  fleet.at(30_000, () => fleet.submit("a", ofPool("gpu")));
  fleet.node("node-1", { poolId: "gpu", exitWhenIdleMs: 60_000 });
  await fleet.run();
  assert.deepEqual(fleet.starts.map(({ specId }) => specId), ["a"]);
  assert.equal(fleet.events("spec-skipped").length, 1);
});

Deno.test("a spec that was placed elsewhere after it was read is left to its pool", async () => {
  const fleet = new Fleet();
  fleet.submit("a", ofPool("gpu"));
  fleet.fault = ({ operation, key }) => {
    if (operation === "create" && key.endsWith("a.lease")) fleet.submit("a", ofPool("cpu"));
    return undefined;
  };
  fleet.node("node-1", { poolId: "gpu", exitWhenIdleMs: 60_000 });
  await fleet.run();
  assert.equal(fleet.starts.length, 0);
  assert.deepEqual(fleet.bucketKeys, ["fleet/pending/a.json"]);
});

Deno.test("a queue of 25,000 specs is gone through ten pages at a time, to its end", async () => {
  const fleet = new Fleet();
  for (let number = 0; number < 24_999; number++) {
    fleet.submit(`foreign-${String(number).padStart(5, "0")}`, ofPool("cpu"));
  }
  fleet.submit("zz-ours", ofPool("gpu"));
  fleet.node("node-1", { poolId: "gpu", once: true });
  await fleet.run();
  assert.deepEqual(fleet.starts.map(({ specId }) => specId), ["zz-ours"]);
  const polls = fleet.events("poll-finished");
  const firstRound = polls.slice(0, 3);
  assert.deepEqual(firstRound.map(({ listed }) => listed), [10_000, 10_000, 5_000]);
  assert.deepEqual(firstRound.map(({ roundComplete }) => roundComplete), [false, false, true]);
});

Deno.test("a poll that fails on its way goes on at the same place", async () => {
  const fleet = new Fleet();
  for (let number = 0; number < 12_000; number++) {
    fleet.submit(`foreign-${String(number).padStart(5, "0")}`, ofPool("cpu"));
  }
  fleet.submit("zz-ours", ofPool("gpu"));
  let pages = 0;
  fleet.fault = ({ operation, key }) => {
    const isPage = operation === "list" && key.startsWith("fleet/pending/");
    return isPage && ++pages === 12 ? { status: 500, effect: false } : undefined;
  };
  fleet.node("node-1", { poolId: "gpu", once: true });
  await fleet.run();
  assert.deepEqual(fleet.starts.map(({ specId }) => specId), ["zz-ours"]);
  const lists = fleet.requests.filter(({ operation, key }) =>
    operation === "list" && key.startsWith("fleet/pending/")
  );
  assert.equal(lists[11].key, "fleet/pending/ after fleet/pending/foreign-10999.json");
  assert.equal(lists[12].key, "fleet/pending/ after fleet/pending/foreign-09999.json");
});

Deno.test("the oldest specs are run first, give or take the few that nodes pick among", async () => {
  const fleet = new Fleet();
  for (let number = 0; number < 60; number++) {
    // Submitted a second apart, in an order that is not that of their names.
    fleet.at(number * 1_000, () => fleet.submit(`s-${(number * 37) % 60}-${number}`));
  }
  fleet.at(70_000, () => fleet.node("node-1", { once: true }));
  await fleet.run();
  const order = fleet.starts.map(({ specId }) => Number(specId.split("-")[2]));
  order.forEach((number, place) => {
    assert.ok(number - place <= 3, `number ${number} came at place ${place}`);
  });
  assert.ok(order.some((number, place) => number !== place));
});

Deno.test("when a slot frees, the next spec is claimed at once, and not at the next poll", async () => {
  const fleet = new Fleet();
  for (let number = 0; number < 20; number++) fleet.submit(`s${number}`);
  fleet.cell = () => ({ durationMs: 1_000 });
  const node = fleet.node("node-1", { once: true, pollIntervalMs: 3_600_000 });
  await fleet.run();
  assert.equal(fleet.starts.length, 20);
  assert.ok(node.endedMs! < 25_000, String(node.endedMs));
});

Deno.test("a node polls at start, and without a free slot not at all", async () => {
  const fleet = new Fleet();
  fleet.submit("a");
  fleet.cell = () => ({ durationMs: 120_000 });
  fleet.node("node-1", { once: true });
  await fleet.run();
  assert.ok(fleet.starts[0].startedMs < 1_000);
  const busy = fleet.events("poll-finished").filter(({ atMs }) => atMs > 1_000 && atMs < 119_000);
  assert.deepEqual(busy, []);
});

Deno.test("however long the queue and short the interval, an agent at work seldom lists", async () => {
  const fleet = new Fleet();
  for (let number = 0; number < 10_000; number++) fleet.submit(`s${number}`);
  fleet.cell = () => ({ durationMs: 50 });
  const node = fleet.node("node-1", { pollIntervalMs: 100 });
  fleet.at(60_000, () => node.drain());
  await fleet.run();
  assert.ok(fleet.starts.length > 400, String(fleet.starts.length));
  const polls = fleet.events("poll-finished");
  const pollingMs = polls.reduce((sum, { durationMs }) => sum + durationMs, 0);
  assert.ok(polls.length > 10 && pollingMs < 4_000, `${polls.length} polls, ${pollingMs} ms`);
});
