import assert from "node:assert/strict";
import { Fleet, KILL_GRACE_MS, TTL_MS } from "./fleet.ts";

const COMPLETED = ["fleet/completed/a.json", "fleet/results/a.json"];
const gpuOnly = JSON.stringify({ spec: { placement: { poolId: "gpu" } } });

/** The claims that a node tried for, by time. */
function claimTries(fleet: Fleet) {
  return fleet.requests.filter(({ operation, key }) =>
    operation === "create" && key.endsWith(".lease")
  );
}

Deno.test("SIGTERM in the middle of a cell: nothing more is claimed, and the cell ends and is filed", async () => {
  const fleet = new Fleet();
  for (const id of ["a", "b", "c"]) fleet.submit(id);
  fleet.cell = () => ({ durationMs: 300_000 });
  const node = fleet.node("node-1", { heartbeatIntervalMs: 10_000 });
  fleet.at(100_000, () => node.drain());
  await fleet.run();
  assert.equal(node.end, "drained");
  assert.equal(claimTries(fleet).length, 1);
  assert.deepEqual(fleet.starts[0].signals, []);
  const { specId } = fleet.starts[0];
  assert.ok(fleet.bucketKeys.includes(`fleet/completed/${specId}.json`));
  assert.equal(fleet.bucketKeys.filter((key) => key.startsWith("fleet/pending/")).length, 2);
  const [draining] = fleet.events("draining");
  assert.deepEqual([draining.cause, draining.inFlight], ["SIGTERM received", 1]);
  assert.equal(fleet.events("agent-stopped").length, 1);
  // A node that has left does not look dead.
  assert.equal(fleet.object("fleet/nodes/node-1.json"), undefined);
});

Deno.test("heartbeats and renewals keep their cadence while a cell runs and while the node drains", async () => {
  const fleet = new Fleet();
  fleet.submit("a");
  fleet.cell = () => ({ durationMs: 600_000 });
  const node = fleet.node("node-1", { heartbeatIntervalMs: 10_000 });
  fleet.at(300_000, () => node.drain());
  await fleet.run();
  const beats = fleet.events("heartbeat");
  assert.equal(beats.length, Math.ceil(node.endedMs! / 10_000));
  beats.forEach(({ atMs }, index) => {
    assert.ok(Math.abs(atMs - index * 10_000) < 100, `beat ${index} at ${atMs}`);
  });
  assert.deepEqual(
    [...new Set(beats.map(({ state }) => state))],
    ["starting", "busy", "draining"],
  );
  const renewals = fleet.requests.filter(({ operation, key }) =>
    operation === "replace" && key.endsWith("/a.lease")
  );
  assert.ok(renewals.length >= 30);
  renewals.slice(1, -1).forEach(({ atMs }, index) => {
    const sinceMs = atMs - renewals[index].atMs;
    assert.ok(Math.abs(sinceMs - TTL_MS / 3) < 200, `${sinceMs} ms from renewal to renewal`);
  });
});

Deno.test("idle, busy and backing off can be told from the heartbeat alone", async () => {
  const fleet = new Fleet();
  fleet.cell = () => ({ durationMs: 50_000 });
  const node = fleet.node("node-1", { heartbeatIntervalMs: 10_000 });
  fleet.at(100_000, () => fleet.submit("a"));
  fleet.fault = ({ atMs }) => atMs > 200_000 && atMs < 300_000 ? "lost" : undefined;
  fleet.at(450_000, () => node.drain());
  await fleet.run();
  const stateAt = (ms: number) =>
    fleet.events("heartbeat").findLast(({ atMs }) => atMs <= ms)?.state;
  assert.deepEqual([95_000, 125_000, 195_000, 270_000, 440_000].map(stateAt), [
    "idle",
    "busy",
    "idle",
    "backing-off",
    "idle",
  ]);
});

Deno.test("a drain deadline gives the claim back, at no cost of an attempt", async () => {
  const fleet = new Fleet();
  fleet.submit("a", "one");
  fleet.cell = ({ node }) => ({ durationMs: node === "node-1" ? 3_600_000 : 1_000 });
  const first = fleet.node("node-1", { drainTimeoutMs: 30_000 });
  fleet.at(10_000, () => first.drain());
  fleet.at(20_000, () => fleet.node("node-2", { exitWhenIdleMs: 200_000 }));
  await fleet.run();
  assert.equal(first.end, "drained");
  const [interrupted, again] = fleet.starts;
  assert.deepEqual(interrupted.signals.map(({ name }) => name), ["SIGTERM"]);
  assert.ok(Math.abs(interrupted.signals[0].atMs - 40_000) < 500);
  assert.deepEqual([again.node, again.attempt], ["node-2", 1]);
  // Given back, not left to run out.
  assert.ok(again.startedMs < 50_000, String(again.startedMs));
  assert.deepEqual(fleet.bucketKeys, COMPLETED);
  assert.equal(fleet.text("fleet/completed/a.json"), "one");
});

Deno.test("a second signal stops the cells, with SIGKILL after the grace, and gives the claims back", async () => {
  const fleet = new Fleet();
  for (const id of ["a", "b"]) fleet.submit(id);
  fleet.cell = ({ specId }) => ({ durationMs: 3_600_000, termMs: specId === "a" ? Infinity : 10 });
  const node = fleet.node("node-1", { concurrency: 2 });
  fleet.at(10_000, () => node.drain());
  fleet.at(20_000, () => node.interrupt());
  await fleet.run();
  assert.equal(node.end, "drained");
  const signals = Object.fromEntries(fleet.starts.map(({ specId, signals }) => [specId, signals]));
  assert.deepEqual(signals.b.map(({ name }) => name), ["SIGTERM"]);
  assert.deepEqual(signals.a.map(({ name }) => name), ["SIGTERM", "SIGKILL"]);
  assert.ok(Math.abs(signals.a[1].atMs - 20_000 - KILL_GRACE_MS) < 200);
  assert.deepEqual(fleet.bucketKeys, ["fleet/pending/a.json", "fleet/pending/b.json"]);
  assert.ok(node.endedMs! < 27_000);
});

Deno.test("a spec that lost a node before keeps that count when it is given back", async () => {
  const fleet = new Fleet();
  fleet.submit("a");
  fleet.cell = ({ node }) => ({ durationMs: node === "node-3" ? 1_000 : 3_600_000 });
  fleet.node("node-1");
  fleet.at(5_000, () => fleet.named("node-1").kill());
  fleet.at(6_000, () => fleet.node("node-2"));
  fleet.at(200_000, () => fleet.named("node-2").drain());
  fleet.at(201_000, () => fleet.named("node-2").interrupt());
  let givenBack: Record<string, string> | undefined;
  fleet.at(220_000, () => {
    givenBack = fleet.object("fleet/pending/a.json")?.metadata;
    fleet.node("node-3", { once: true });
  });
  await fleet.run();
  assert.deepEqual(givenBack, { "cellos-lost-attempts": "1" });
  assert.deepEqual(fleet.starts.map(({ attempt }) => attempt), [1, 2, 2]);
  assert.deepEqual(fleet.bucketKeys, COMPLETED);
  assert.deepEqual(fleet.object("fleet/completed/a.json")?.metadata["cellos-attempt"], "2");
});

Deno.test("a spec submitted again while the first is given back: neither is lost, each runs", async () => {
  const fleet = new Fleet();
  fleet.submit("a", "one");
  fleet.cell = ({ node }) => ({ durationMs: node === "node-1" ? 3_600_000 : 1_000 });
  const first = fleet.node("node-1");
  fleet.at(10_000, () => fleet.submit("a", "two"));
  fleet.at(11_000, () => first.drain());
  fleet.at(12_000, () => first.interrupt());
  fleet.at(13_000, () => fleet.node("node-2", { exitWhenIdleMs: 300_000 }));
  await fleet.run();
  const text = (spec: Uint8Array) => new TextDecoder().decode(spec);
  assert.deepEqual(fleet.starts.map(({ attempt, spec }) => [attempt, text(spec)]), [
    [1, "one"],
    [1, "one"],
    [1, "two"],
  ]);
  assert.deepEqual(fleet.bucketKeys, COMPLETED);
  assert.equal(fleet.text("fleet/completed/a.json"), "two");
});

Deno.test("a claim that is under way at SIGTERM is given back and never started", async () => {
  // At each request of the claim up to its start.
  for (let nth = 1; nth <= 4; nth++) {
    const fleet = new Fleet();
    fleet.submit("a", "one");
    let seen = 0;
    fleet.fault = ({ key }) => {
      if (/\/a\.(json|lease)$/.test(key) && ++seen === nth) node.drain();
      return undefined;
    };
    const node = fleet.node();
    await fleet.run();
    assert.equal(fleet.starts.length, 0, `request ${nth}`);
    assert.deepEqual(fleet.bucketKeys, ["fleet/pending/a.json"]);
    assert.equal(fleet.text("fleet/pending/a.json"), "one");
    assert.deepEqual(fleet.object("fleet/pending/a.json")?.metadata, {});
    assert.ok(node.endedMs! < 5_000);
  }
});

Deno.test("SIGTERM ends an idle node at once, whatever it is doing and however long its interval is", async () => {
  const titles = ["list fleet/pending/", "get fleet/pending/a", "list fleet/claimed/"];
  for (const title of titles) {
    const fleet = new Fleet();
    fleet.submit("a", gpuOnly);
    let requestedMs: number | undefined;
    fleet.fault = ({ operation, key, atMs }) => {
      if (requestedMs === undefined && `${operation} ${key}`.startsWith(title)) {
        requestedMs = atMs;
        node.drain();
      }
      return undefined;
    };
    const node = fleet.node("node-1", { pollIntervalMs: 3_600_000, poolId: "cpu" });
    await fleet.run();
    assert.ok(requestedMs !== undefined, title);
    assert.ok(node.endedMs! - requestedMs < 1_000, `${title}: ended at ${node.endedMs}`);
  }
});

Deno.test("an agent that must end while the bucket is out of reach gives up in a bounded time", async () => {
  const fleet = new Fleet();
  fleet.submit("a", "one");
  fleet.cell = () => ({ durationMs: 60_000 });
  fleet.fault = ({ atMs }) => atMs > 5_000 ? "lost" : undefined;
  const node = fleet.node();
  fleet.at(10_000, () => node.drain());
  fleet.at(11_000, () => node.interrupt());
  await fleet.run();
  assert.equal(node.end, "gave-up");
  assert.ok(node.endedMs! < 11_000 + KILL_GRACE_MS + 60_000, String(node.endedMs));
  assert.equal(fleet.text("fleet/claimed/a.json"), "one");
});

Deno.test("--once ends the agent when the queue is empty, after all that it found has been filed", async () => {
  const fleet = new Fleet();
  for (let number = 0; number < 12; number++) fleet.submit(`s${number}`);
  fleet.submit("foreign", gpuOnly);
  fleet.cell = () => ({ durationMs: 7_000 });
  const node = fleet.node("node-1", { once: true, concurrency: 4, poolId: "cpu" });
  await fleet.run();
  assert.equal(node.end, "drained");
  assert.equal(fleet.bucketKeys.filter((key) => key.startsWith("fleet/completed/")).length, 12);
  assert.ok(fleet.bucketKeys.includes("fleet/pending/foreign.json"));
  assert.ok(node.endedMs! < 25_000, String(node.endedMs));
});

Deno.test("--once on an empty queue ends at once", async () => {
  const fleet = new Fleet();
  const node = fleet.node("node-1", { once: true });
  await fleet.run();
  assert.equal(node.end, "drained");
  assert.ok(node.endedMs! < 2_000);
});

Deno.test("an agent without work ends after the idle time, and not while a cell runs", async () => {
  const fleet = new Fleet();
  fleet.submit("a");
  fleet.cell = () => ({ durationMs: 200_000 });
  const node = fleet.node("node-1", { exitWhenIdleMs: 60_000 });
  await fleet.run();
  assert.equal(node.end, "drained");
  assert.deepEqual(fleet.bucketKeys, COMPLETED);
  assert.ok(Math.abs(node.endedMs! - 260_000) < 2_000, String(node.endedMs));
});
