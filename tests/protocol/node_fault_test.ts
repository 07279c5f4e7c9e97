import assert from "node:assert/strict";
import { Fleet } from "./fleet.ts";

const COMPLETED = ["fleet/completed/a.json", "fleet/results/a.json"];

Deno.test("a node without a supervisor gives the spec back, and another node runs it", async () => {
  const fleet = new Fleet();
  fleet.submit("a", "one");
  fleet.cell = ({ node }) => ({ missing: node === "node-1" });
  const first = fleet.node("node-1");
  fleet.at(60_000, () => fleet.node("node-2", { exitWhenIdleMs: 60_000 }));
  fleet.at(200_000, () => first.drain());
  await fleet.run();
  assert.deepEqual(fleet.starts.map(({ node, attempt }) => [node, attempt]), [["node-2", 1]]);
  assert.deepEqual(fleet.bucketKeys, COMPLETED);
  assert.equal(fleet.text("fleet/completed/a.json"), "one");
  assert.equal(fleet.events("claim-released").length, 1);
  const beat = fleet.events("heartbeat").findLast(({ node, atMs }) =>
    node === "node-1" && atMs < 200_000
  );
  assert.equal(beat?.state, "backing-off");
});

Deno.test("while the supervisor is missing no spec is claimed, and the waits grow", async () => {
  const fleet = new Fleet();
  fleet.submit("a", "one");
  fleet.cell = ({ startedMs }) => ({ missing: startedMs < 1_800_000 });
  const node = fleet.node();
  fleet.at(2_400_000, () => node.drain());
  await fleet.run();
  const tries = fleet.requests.filter(({ operation, key }) =>
    operation === "create" && key.endsWith(".lease")
  );
  assert.equal(tries.filter(({ atMs }) => atMs < 1_800_000).length, 1);
  const failing = fleet.events("supervisor-failing");
  assert.ok(failing.length > 20 && failing.length < 200, String(failing.length));
  for (const { retryInMs } of failing) assert.ok(retryInMs <= 60_000);
  // The supervisor came back: within the longest wait the spec runs, as its first attempt.
  assert.ok(fleet.starts[0].startedMs < 1_800_000 + 62_000);
  assert.equal(fleet.starts[0].attempt, 1);
  assert.deepEqual(fleet.bucketKeys, COMPLETED);
  assert.equal(fleet.events("supervisor-recovered").length, 1);
});

Deno.test("a supervisor that is missing for long costs a spec no attempt", async () => {
  const fleet = new Fleet();
  fleet.submit("a", "one");
  let checks = 0;
  // It is there when looked for, and gone when started.
  fleet.cell = ({ specId, startedMs }) => {
    if (specId === "") checks++;
    return { missing: specId !== "" && startedMs < 600_000 };
  };
  const node = fleet.node("node-1", { maxAttempts: 2 });
  fleet.at(1_200_000, () => node.drain());
  await fleet.run();
  assert.ok(checks > 5);
  assert.deepEqual(fleet.starts.map(({ attempt }) => attempt), [1]);
  assert.deepEqual(fleet.bucketKeys, COMPLETED);
});

Deno.test("a bucket that asks for less: nothing new is claimed, and what is in hand is asked for seldom", async () => {
  const fleet = new Fleet();
  for (let number = 0; number < 50; number++) fleet.submit(`s${number}`);
  const untilMs = 300_000;
  fleet.fault = ({ atMs }) =>
    atMs > 1_000 && atMs < untilMs ? { status: 503, effect: false } : undefined;
  const node = fleet.node("node-1", { concurrency: 4, exitWhenIdleMs: 400_000 });
  await fleet.run();
  assert.equal(node.end, "drained");
  const throttled = fleet.requests.filter(({ atMs }) => atMs > 10_000 && atMs < untilMs);
  const counts = new Map<string, number>();
  for (const { operation, key } of throttled) {
    const title = `${operation} ${key}`;
    counts.set(title, (counts.get(title) ?? 0) + 1);
  }
  for (const [title, count] of counts) {
    assert.doesNotMatch(title, /^create .*lease$|^list fleet\/pending/);
    assert.ok(count < 200, `${title} was asked for ${count} times in 290 s`);
  }
  // Four claims, and four that are being filed.
  assert.ok(throttled.length < 8 * 100 * 2, String(throttled.length));
  assert.equal(new Set(fleet.starts.map(({ specId }) => specId)).size, 50);
  assert.equal(fleet.bucketKeys.filter((key) => key.startsWith("fleet/completed/")).length, 50);
});

Deno.test("one throttled claim slows the whole node down", async () => {
  const fleet = new Fleet();
  for (let number = 0; number < 30; number++) fleet.submit(`s${number}`);
  fleet.fault = ({ operation, key }) =>
    operation === "create" && key.endsWith(".lease") ? { status: 503, effect: false } : undefined;
  const node = fleet.node("node-1", { concurrency: 4 });
  fleet.at(120_000, () => node.drain());
  await fleet.run();
  const tries = fleet.requests.filter(({ key }) => key.endsWith(".lease"));
  assert.ok(tries.length < 240, `${tries.length} requests for leases in 120 s`);
  assert.equal(fleet.starts.length, 0);
});

Deno.test("a spec too large is filed as failed, without being read or run", async () => {
  const large = new Uint8Array(1025).fill(7);
  for (const poolId of ["", "gpu"]) {
    const fleet = new Fleet();
    fleet.submit("a", large);
    fleet.submit("just-fits", new Uint8Array(1024));
    fleet.node("node-1", { once: true, poolId });
    await fleet.run();
    assert.deepEqual(fleet.starts.map(({ specId }) => specId), ["just-fits"]);
    assert.deepEqual(fleet.bucketKeys, [
      "fleet/completed/just-fits.json",
      "fleet/failed/a.json",
      "fleet/results/a.json",
      "fleet/results/just-fits.json",
    ]);
    assert.deepEqual(fleet.object("fleet/failed/a.json")?.body, large);
    assert.equal(fleet.object("fleet/failed/a.json")?.metadata["cellos-reason"], "spec-too-large");
    const { reason, specBytes, status } = fleet.result("a")!;
    assert.deepEqual([status, reason, specBytes], ["failed", "spec-too-large", 1025]);
    assert.equal(fleet.requests.filter(({ operation }) => operation === "copy").length, 1);
  }
});

Deno.test("a spec too large is filed once, whichever reply of its filing is lost", async () => {
  const body = new Uint8Array(2_000);
  const plain = new Fleet();
  plain.submit("a", body);
  plain.node("node-1", { once: true });
  await plain.run();
  const titleOf = (request: { operation: string; key: string }) =>
    `${request.operation} ${request.key}`;
  const titles = plain.requests.filter(({ operation, key }) =>
    ["create", "replace", "copy", "delete"].includes(operation) && /\/a\./.test(key)
  ).map(titleOf);
  assert.equal(titles.length, 6, titles.join(", "));
  for (const title of titles) {
    const fleet = new Fleet();
    fleet.submit("a", body);
    let struck = 0;
    fleet.fault = (request) =>
      titleOf(request) === title && ++struck === 1 ? "reply-lost" : undefined;
    fleet.node("node-1", { exitWhenIdleMs: 300_000 });
    await fleet.run();
    assert.ok(struck >= 1);
    assert.deepEqual(fleet.bucketKeys, ["fleet/failed/a.json", "fleet/results/a.json"], title);
  }
});

Deno.test("access denied in the middle loses nothing, and is made good once it is granted again", async () => {
  const fleet = new Fleet();
  fleet.submit("a", "one");
  fleet.cell = () => ({ durationMs: 10_000 });
  fleet.fault = ({ atMs, operation }) =>
    operation !== "list" && atMs > 5_000 && atMs < 600_000 ? "denied" : undefined;
  const node = fleet.node("node-1", { fence: "confirmed" });
  fleet.at(1_200_000, () => node.drain());
  await fleet.run();
  assert.equal(fleet.starts.length, 1);
  assert.deepEqual(fleet.bucketKeys, COMPLETED);
});

Deno.test("--once without a supervisor: the spec stays pending, and the agent ends instead of waiting", async () => {
  const fleet = new Fleet();
  fleet.submit("a", "one");
  fleet.cell = () => ({ missing: true });
  const node = fleet.node("node-1", { once: true });
  await fleet.run();
  assert.equal(node.end, "gave-up");
  assert.deepEqual(fleet.bucketKeys, ["fleet/pending/a.json"]);
});
