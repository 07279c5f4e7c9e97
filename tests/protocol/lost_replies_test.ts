import assert from "node:assert/strict";
import { type Fault, Fleet, type Request, TTL_MS } from "./fleet.ts";

/** Every write of a claim's life, renewals included. */
const WRITES = [
  "create fleet/claimed/a.lease",
  "create fleet/claimed/a.json",
  "delete fleet/pending/a.json",
  "replace fleet/claimed/a.lease",
  "create fleet/results/a.json",
  "create fleet/completed/a.json",
  "delete fleet/claimed/a.json",
  "delete fleet/claimed/a.lease",
];

const FAULTS: Record<string, Fault> = {
  "it is stored and the reply is lost": "reply-lost",
  "it never arrives": "lost",
  "it is stored after the agent gave up": "late",
  "it is stored just after the agent looked for it": "late-by-a-moment",
  "it is stored and answered with 500": { status: 500, effect: true },
  "it is answered with 500": { status: 500, effect: false },
  "it is answered with 409": { status: 409, effect: false },
  "it is stored and answered with 503": { status: 503, effect: true },
};

const titleOf = ({ operation, key }: Request) => `${operation} ${key}`;

/** A claim with two renewals, on a bucket that another node works on too. */
async function runUnder(fault: (request: Request) => Fault | undefined, conditionalDelete = true) {
  const fleet = new Fleet({ conditionalDelete });
  fleet.submit("a", "the spec");
  fleet.cell = () => ({ durationMs: 50_000 });
  fleet.fault = fault;
  const nodes = [fleet.node("node-1"), fleet.node("node-2")];
  fleet.at(20 * 60_000, () => nodes.forEach((node) => node.drain()));
  await fleet.run();
  return fleet;
}

function assertRunOnce(fleet: Fleet): void {
  assert.deepEqual(
    fleet.starts.map(({ specId, attempt, signals }) => [specId, attempt, signals.length]),
    [["a", 1, 0]],
  );
  assert.deepEqual(fleet.bucketKeys, ["fleet/completed/a.json", "fleet/results/a.json"]);
  assert.equal(fleet.text("fleet/completed/a.json"), "the spec");
  assert.equal(fleet.result("a")?.attempt, 1);
  assert.deepEqual(fleet.nodes.map(({ end }) => end), ["drained", "drained"]);
}

/** Strikes the first `times` requests of a title. */
function striking(title: string, fault: Fault, times = 1) {
  let left = times;
  return (request: Request) => titleOf(request) === title && left-- > 0 ? fault : undefined;
}

for (const [what, fault] of Object.entries(FAULTS)) {
  for (const title of WRITES) {
    Deno.test(`the spec is still run exactly once: ${title}, and ${what}`, async () => {
      let struck = 0;
      const strike = striking(title, fault);
      const fleet = await runUnder((request) => {
        const fault = strike(request);
        if (fault !== undefined) struck++;
        return fault;
      });
      assert.equal(struck, 1);
      assertRunOnce(fleet);
    });
  }
}

Deno.test("the spec is still run exactly once: the first reply to every write of its claim is lost", async () => {
  const struck = new Set<string>();
  const fleet = await runUnder((request) => {
    const title = titleOf(request);
    if (!WRITES.includes(title) || struck.has(title)) return undefined;
    struck.add(title);
    return "reply-lost";
  });
  assert.equal(struck.size, WRITES.length);
  assertRunOnce(fleet);
  assert.equal(fleet.events("spec-filed").length, 1);
  assert.deepEqual(fleet.events("filing-left"), []);
});

Deno.test("the spec is still run exactly once: two replies in a row are lost, for each write", async () => {
  for (const title of WRITES) {
    assertRunOnce(await runUnder(striking(title, "reply-lost", 2)));
  }
});

Deno.test("the spec is still run exactly once without conditional deletes, whichever reply is lost", async () => {
  for (const title of WRITES) {
    assertRunOnce(await runUnder(striking(title, "reply-lost"), false));
  }
});

Deno.test("the spec is still run exactly once: each read meets a 500 the first time", async () => {
  const struck = new Set<string>();
  const fleet = await runUnder((request) => {
    const { operation, key } = request;
    const title = `${request.node} ${titleOf(request)}`;
    if (!["get", "head", "list"].includes(operation) || struck.has(title)) return undefined;
    // The probe has a key of its own each time: its reads would never get through.
    if (key.includes("/probe/")) return undefined;
    struck.add(title);
    return { status: 500, effect: false };
  });
  assert.ok(struck.size >= 3);
  assertRunOnce(fleet);
});

Deno.test("a lease that was stored just after the agent looked for it is known as its own", async () => {
  const fleet = new Fleet();
  fleet.submit("a", "the spec");
  // Alone: while it waits for its reply, another node would have claimed the spec.
  fleet.fault = striking("create fleet/claimed/a.lease", "late-by-a-moment");
  fleet.node("node-1", { exitWhenIdleMs: 3 * TTL_MS });
  await fleet.run();
  // And not run out and taken over like a dead node's.
  assert.ok(fleet.starts[0].startedMs < TTL_MS / 2, String(fleet.starts[0].startedMs));
  assert.deepEqual(fleet.events("taken-over"), []);
});

Deno.test("what is filed is said to be filed, when the reply to the last delete is lost", async () => {
  const fleet = await runUnder(striking("delete fleet/claimed/a.lease", "reply-lost"));
  assert.equal(fleet.events("spec-filed").length, 1);
  assert.deepEqual(fleet.events("filing-left"), []);
});

Deno.test("a renewal that is refused stops the cell, and nothing is filed by its node", async () => {
  const fleet = new Fleet();
  fleet.submit("a", "the spec");
  fleet.cell = () => ({ durationMs: 600_000 });
  const node = fleet.node();
  fleet.at(30_000, () => fleet.put("fleet/claimed/a.lease", "somebody else's"));
  fleet.at(50_000, () => node.drain());
  await fleet.run();
  const [start] = fleet.starts;
  assert.deepEqual(start.signals.map(({ name }) => name), ["SIGTERM"]);
  // At its next renewal.
  assert.ok(start.endedMs! > 38_000 && start.endedMs! < 42_000, String(start.endedMs));
  assert.deepEqual(fleet.bucketKeys, ["fleet/claimed/a.json", "fleet/claimed/a.lease"]);
  assert.equal(fleet.text("fleet/claimed/a.lease"), "somebody else's");
  assert.equal(fleet.events("lease-lost").length, 1);
  assert.equal(node.end, "drained");
});

Deno.test("a commit that is refused files nothing", async () => {
  const fleet = new Fleet();
  fleet.submit("a", "the spec");
  fleet.cell = () => ({ durationMs: 5_000 });
  const node = fleet.node();
  fleet.at(3_000, () => fleet.put("fleet/claimed/a.lease", "somebody else's"));
  fleet.at(20_000, () => node.drain());
  await fleet.run();
  assert.equal(fleet.starts.length, 1);
  assert.deepEqual(fleet.bucketKeys, ["fleet/claimed/a.json", "fleet/claimed/a.lease"]);
  assert.equal(fleet.events("claim-abandoned").length, 1);
  assert.equal(fleet.events("spec-committed").length, 0);
  const writes = fleet.requests.filter(({ operation, key }) =>
    ["put", "create", "replace", "copy", "delete"].includes(operation) &&
    /results|completed|failed/.test(key)
  );
  assert.deepEqual(writes, []);
});

Deno.test("a cell whose lease cannot be renewed is gone before anyone could start it again", async () => {
  for (const termMs of [10, Infinity]) {
    const fleet = new Fleet();
    fleet.submit("a");
    fleet.cell = ({ node }) =>
      node === "node-1" ? { durationMs: 3_600_000, termMs } : { durationMs: 1_000 };
    const cutOff = { fromMs: 10_000, toMs: 400_000 };
    fleet.fault = ({ node, atMs }) =>
      node === "node-1" && atMs >= cutOff.fromMs && atMs < cutOff.toMs ? "lost" : undefined;
    const first = fleet.node("node-1");
    let second: typeof first | undefined;
    fleet.at(12_000, () => second = fleet.node("node-2"));
    fleet.at(900_000, () => [first, second!].forEach((node) => node.drain()));
    await fleet.run();
    const [old, next] = fleet.starts;
    assert.equal(fleet.starts.length, 2);
    assert.deepEqual([old.node, next.node, next.attempt], ["node-1", "node-2", 2]);
    assert.ok(old.endedMs! < next.startedMs, `${old.endedMs} is not before ${next.startedMs}`);
    // Within two lifetimes of the last write of its lease.
    assert.ok(next.startedMs < 10_000 + 2 * fleet.timing.ttlMs, String(next.startedMs));
    assert.deepEqual(fleet.bucketKeys, ["fleet/completed/a.json", "fleet/results/a.json"]);
    assert.equal(fleet.result("a")?.node, "node-2");
  }
});

Deno.test("with confirmed fencing a cell outlives an outage that nobody used to take it over", async () => {
  for (const fence of ["strict", "confirmed"] as const) {
    const fleet = new Fleet();
    fleet.submit("a");
    fleet.cell = () => ({ durationMs: 300_000 });
    fleet.fault = ({ atMs }) => atMs >= 10_000 && atMs < 200_000 ? "lost" : undefined;
    const node = fleet.node("node-1", { fence });
    fleet.at(1_200_000, () => node.drain());
    await fleet.run();
    assert.equal(fleet.starts[0].signals.length, fence === "strict" ? 1 : 0);
    assert.equal(fleet.starts.length, fence === "strict" ? 2 : 1);
    assert.deepEqual(fleet.bucketKeys, ["fleet/completed/a.json", "fleet/results/a.json"]);
    // A fence says nothing about the spec: it costs no attempt.
    assert.equal(fleet.result("a")?.attempt, 1);
  }
});
