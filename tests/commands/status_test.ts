import assert from "node:assert/strict";
import { encodeLease, newLease } from "../../lib/core/lease.ts";
import { StoreError } from "../../lib/core/store_error.ts";
import { encodeNodeRecord, NODE_SCHEMA, type NodeRecord } from "../../lib/core/node_record.ts";
import type { StatusReport } from "../../lib/commands/status_report.ts";
import { claimPending } from "../../lib/claim.ts";
import { runPending } from "./agent_steps.ts";
import { KEYS, Operator, TTL_MS, watched } from "./operator.ts";

const MINUTE_MS = 60_000;

async function reportOf(operator: Operator, ...args: string[]): Promise<StatusReport> {
  const { out } = await operator.run(["status", "--json", ...args]);
  return JSON.parse(out);
}

function nodeRecord(operator: Operator, changes: Partial<NodeRecord>): string {
  const at = new Date(operator.clock.nowMs).toISOString();
  const record: NodeRecord = {
    schema: NODE_SCHEMA,
    node: "node-a",
    version: "0.6.0 (abc1234)",
    state: "idle",
    inFlight: 0,
    slots: 2,
    totals: { completed: 7 },
    startedAt: at,
    at,
    heartbeatIntervalMs: 30_000,
    ...changes,
  };
  return new TextDecoder().decode(encodeNodeRecord(record));
}

Deno.test("each state has its count and the age of its oldest spec", async () => {
  const operator = new Operator();
  operator.put(KEYS.pending("old"), "{}");
  operator.clock.nowMs += 3 * MINUTE_MS;
  operator.put(KEYS.pending("a/new"), "{}");
  operator.put(`${KEYS.folder("pending")}README.txt`, "no spec");
  operator.put(KEYS.terminal("completed", "x"), "{}");
  operator.clock.nowMs += 5_000;
  const { states } = await reportOf(operator);
  assert.deepEqual(states, {
    pending: { count: 2, complete: true, oldestAgeMs: 3 * MINUTE_MS + 5_000 },
    claimed: { count: 0, complete: true },
    completed: { count: 1, complete: true, oldestAgeMs: 5_000 },
    failed: { count: 0, complete: true },
  });
});

Deno.test("counts stop at 10,000 with a plus; --exact counts all", async () => {
  const operator = new Operator();
  for (let index = 0; index < 12_345; index++) operator.put(KEYS.pending(`s${index}`), "{}");
  const { out } = await operator.run(["status"]);
  assert.match(out, /^ {2}pending +10000\+ /m);
  const exact = await operator.run(["status", "--exact"]);
  assert.match(exact.out, /^ {2}pending +12345 /m);
});

Deno.test("what runs is shown with node, attempt, and the age of its lease by the store's clock", async () => {
  const operator = new Operator();
  operator.put(KEYS.pending("x"), "{}");
  await claimPending(operator.agent("node-a"), "x");
  operator.clock.nowMs += 70_000;
  const { running } = await reportOf(operator);
  assert.deepEqual(running.map(({ claimedAt: _, ...spec }) => spec), [
    { specId: "x", state: "running", node: "node-a", attempt: 1, leaseAgeMs: 70_000 },
  ]);
  const { out } = await operator.run(["status"]);
  assert.match(out, /^ {2}x +node-a +1 +running +1m 10s +1m 10s ago$/m);
});

Deno.test("ages come from the store's clock where it tells, however wrong this host's is", async () => {
  const operator: Operator = new Operator({
    wrap: (store) => {
      const list = store.list.bind(store);
      const servedAtMs = operator.clock.nowMs - 10 * MINUTE_MS;
      store.list = async (request) => ({ ...await list(request), servedAtMs });
      return store;
    },
  });
  operator.clock.nowMs -= 10 * MINUTE_MS;
  operator.put(KEYS.pending("x"), "{}");
  operator.clock.nowMs += 10 * MINUTE_MS;
  const { states, at } = await reportOf(operator);
  assert.equal(states.pending.oldestAgeMs, 0);
  assert.equal(Date.parse(at), operator.clock.nowMs - 10 * MINUTE_MS);
});

Deno.test("nodes are shown by their last heartbeat; one without three of them is silent", async () => {
  const operator = new Operator();
  operator.put(KEYS.node("gone"), nodeRecord(operator, { node: "gone", state: "busy" }));
  operator.clock.nowMs += 2 * MINUTE_MS;
  operator.put(
    KEYS.node("live"),
    nodeRecord(operator, { node: "live", poolId: "gpu", inFlight: 1, state: "busy" }),
  );
  operator.put(KEYS.node("odd"), "not a record");
  operator.clock.nowMs += 10_000;
  const { nodes } = await reportOf(operator);
  assert.deepEqual(
    nodes.map(({ node, silent, heartbeatAgeMs }) => [node, silent, heartbeatAgeMs]),
    [["gone", true, 130_000], ["live", false, 10_000]],
  );
  const { out } = await operator.run(["status"]);
  assert.match(out, /^ {2}gone +silent, was busy +0\/2 +0\.6\.0 +2m 10s ago$/m);
  assert.match(out, /^ {2}live +busy +1\/2 +gpu +0\.6\.0 +10s ago$/m);
});

Deno.test("recent failures come newest first, with what the agent said of them", async () => {
  const operator = new Operator();
  for (let index = 0; index < 12; index++) {
    operator.put(KEYS.pending(`f${index}`), "{}");
    await runPending(operator.agent("node-a"), `f${index}`, index + 1);
    operator.clock.nowMs += 1_000;
  }
  operator.put(KEYS.terminal("failed", "older-agent"), "{}");
  const { failures } = await reportOf(operator);
  assert.equal(failures.length, 10);
  assert.deepEqual(failures[0], { specId: "older-agent", ageMs: 0 });
  const { specId, reason, exitCode, node, attempt, ageMs } = failures[1];
  assert.deepEqual([specId, reason, exitCode, node, attempt, ageMs], [
    "f11",
    "exit",
    12,
    "node-a",
    1,
    1_000,
  ]);
});

Deno.test("--check is 0 when all is well, and 1 with a claim without a lease, which it names", async () => {
  const operator = new Operator();
  operator.put(KEYS.pending("x"), "{}");
  await claimPending(operator.agent("node-a"), "x");
  assert.equal((await operator.run(["status", "--check"])).code, 0);
  operator.put(KEYS.claimed("left here"), "{}");
  operator.clock.nowMs += 5_000;
  const { code, out } = await operator.run(["status", "--check"]);
  assert.equal(code, 1);
  assert.match(out, /Needs a person\n {2}left here has been claimed without a lease for 5s/);
  assert.match(out, /cellos-fleet requeue --leaseless -- 'left here'$/m);
  assert.equal((await operator.run(["status"])).code, 0, "only --check has an opinion");
});

Deno.test("--check is 1 when a lease was not renewed for two lifetimes", async () => {
  const operator = new Operator();
  operator.put(KEYS.pending("x"), "{}");
  await claimPending(operator.agent("node-a"), "x");
  operator.clock.nowMs += 2 * TTL_MS;
  assert.equal((await operator.run(["status", "--check"])).code, 0);
  operator.clock.nowMs += 1_000;
  const { code, out } = await operator.run(["status", "--check"]);
  assert.equal(code, 1);
  assert.match(out, /the lease of x has not been renewed for 4m 1s, more than 2 lifetimes of 2m/);
});

Deno.test("--check --max-age is 1 when a pending spec waits longer, among however many", async () => {
  const operator = new Operator();
  operator.put(KEYS.pending("z-last-by-key"), "{}");
  operator.clock.nowMs += 15 * MINUTE_MS;
  for (let index = 0; index < 11_000; index++) operator.put(KEYS.pending(`a${index}`), "{}");
  assert.equal((await operator.run(["status", "--check"])).code, 0);
  assert.equal((await operator.run(["status", "--check", "--max-age", "15m"])).code, 0);
  const { code, out } = await operator.run(["status", "--check", "--max-age", "14m59s"]);
  assert.equal(code, 1);
  assert.match(out, /z-last-by-key has been pending for 15m, more than 14m 59s/);
});

Deno.test("a spec that is filed between two looks is not taken for a claim without a lease", async () => {
  const operator: Operator = new Operator({
    wrap: (store) =>
      watched(store, (_index, operation, key) => {
        if (operation === "head" && key === KEYS.lease("x")) {
          operator.bucket.delete(KEYS.claimed("x"));
        }
      }),
  });
  operator.put(KEYS.claimed("x"), "{}");
  assert.deepEqual((await reportOf(operator)).leaseless, []);
});

Deno.test("status only lists and reads", async () => {
  const used = new Set<string>();
  const operator: Operator = new Operator({
    wrap: (store) => watched(store, (_index, operation) => void used.add(operation)),
  });
  operator.put(KEYS.claimed("left"), "{}");
  operator.put(KEYS.terminal("failed", "f"), "{}");
  operator.put(KEYS.node("n"), nodeRecord(operator, {}));
  const at = new Date(operator.clock.nowMs).toISOString();
  const lease = newLease({ specId: "x", nonce: "n", node: "n", poolId: "", ttlMs: 6_000, at });
  operator.bucket.put(KEYS.lease("x"), encodeLease(lease));
  await operator.run(["status", "--exact", "--check"]);
  assert.deepEqual([...used].sort(), ["get", "head", "list"]);
});

Deno.test("a terminal gets colours and lines that fit; other readers get neither", async () => {
  const long = "s".repeat(80);
  const terminal = { outputIsTerminal: true, color: true, size: () => ({ columns: 60, rows: 40 }) };
  for (const seen of [true, false]) {
    const operator = new Operator(seen ? { terminal } : {});
    operator.put(KEYS.pending(long), "{}");
    await claimPending(operator.agent("node-a"), long);
    const { out } = await operator.run(["status"]);
    assert.equal(out.includes("\x1b["), seen);
    assert.equal(out.includes(long), !seen);
    // deno-lint-ignore no-control-regex
    const plain = out.replace(/\x1b\[\d*m/g, "").split("\n");
    if (seen) assert.ok(plain.every((line) => line.length <= 60), plain.join("\n"));
  }
});

Deno.test("a name with control characters cannot write to the terminal", async () => {
  const operator = new Operator();
  operator.put(KEYS.node("n"), nodeRecord(operator, { node: "\x1b]0;owned\x07" }));
  const { out } = await operator.run(["status"]);
  // deno-lint-ignore no-control-regex
  assert.ok(!/[\x00-\x09\x0b-\x1f]/.test(out), JSON.stringify(out));
});

Deno.test("--watch redraws until interrupted, and outlives an outage of the bucket", async () => {
  let out = false;
  const operator: Operator = new Operator({
    terminal: { outputIsTerminal: true, size: () => ({ columns: 80, rows: 10 }) },
    wrap: (store) =>
      watched(store, () => {
        if (out) throw new StoreError("transient", "Cannot list: no answer");
      }),
  });
  operator.clock.onSleep = (count) => {
    out = count === 0;
    if (count === 2) operator.interrupt.abort();
  };
  const said = await operator.run(["status", "--watch"]);
  assert.deepEqual([said.code, said.err], [0, "cellos-fleet: Cannot list: no answer\n"]);
  const frames = said.out.split("\x1b[H").slice(1);
  assert.equal(frames.length, 2);
  assert.ok(frames.every((frame) => frame.split("\n").length <= 10));
});

Deno.test("options of status that make no sense are usage errors", async () => {
  const operator = new Operator();
  for (
    const args of [["--max-age", "5"], ["--max-age", "1h"], ["--check", "--max-age", ""], ["x"], [
      "--check",
      "--watch",
    ]]
  ) {
    assert.equal((await operator.run(["status", ...args])).code, 64, args.join(" "));
  }
});
