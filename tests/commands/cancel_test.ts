import assert from "node:assert/strict";
import { cancels, decodeCancelMark } from "../../lib/core/cancel_mark.ts";
import { claimPending } from "../../lib/claim.ts";
import { readLease } from "../../lib/read_lease.ts";
import { settleUnrun } from "../../lib/work.ts";
import { runPending } from "./agent_steps.ts";
import { atEveryMoment, KEYS, Operator, watched } from "./operator.ts";

const SPEC = '{"spec":{"n":1}}';

Deno.test("a pending spec is filed as failed, cancelled by the person who asked", async () => {
  const operator = new Operator();
  operator.put(KEYS.pending("x"), SPEC);
  const { code, out, err } = await operator.run(["cancel", "x"]);
  assert.deepEqual([code, out, err], [0, "x: cancelled, was pending\n", ""]);
  assert.deepEqual(operator.keys(), ["failed/x.json", "results/x.json"]);
  const failed = operator.bucket.get(KEYS.terminal("failed", "x"))!;
  assert.equal(operator.body(failed.key), SPEC);
  const { "cellos-reason": reason, "cellos-node": node } = failed.metadata;
  assert.deepEqual([reason, node], ["cancelled", "mo@desk"]);
});

Deno.test("for a claimed spec its node is asked, by a mark that names this very claim", async () => {
  const operator = new Operator();
  operator.put(KEYS.pending("x"), SPEC);
  await claimPending(operator.agent("node-a"), "x");
  const { code, out } = await operator.run(["cancel", "x"]);
  assert.deepEqual([code, out], [0, "x: node-a was asked to stop it\n"]);
  const mark = decodeCancelMark(operator.bucket.get(KEYS.cancelMark("x"))!.body);
  const found = await readLease(operator.agent("node-a"), "x");
  assert.ok(cancels(mark, found?.lease));
  assert.equal(mark?.by, "mo@desk");
});

Deno.test("what cannot be cancelled is refused with the reason", async () => {
  const cases: readonly [objects: Record<string, string>, reason: RegExp][] = [
    [{}, /there is no such spec/],
    [{ [KEYS.terminal("completed", "x")]: SPEC }, /it has completed already/],
    [{ [KEYS.terminal("failed", "x")]: SPEC }, /it has failed already/],
    [{ [KEYS.claimed("x")]: SPEC }, /claimed by an agent without leases, which cannot be asked/],
    [{ [KEYS.lease("x")]: "?" }, /its lease cannot be read/],
  ];
  for (const [objects, reason] of cases) {
    const operator = new Operator();
    for (const [key, body] of Object.entries(objects)) operator.put(key, body);
    const { code, out, err } = await operator.run(["cancel", "x"]);
    assert.deepEqual([code, out], [1, ""]);
    assert.match(err, reason);
    assert.deepEqual(operator.keys().length, Object.keys(objects).length);
  }
});

Deno.test("--wait asks until the spec has ended, and tells a cancellation from an end of its own", async () => {
  for (const reason of ["cancelled", "exit"] as const) {
    const operator: Operator = new Operator();
    operator.put(KEYS.pending("x"), SPEC);
    const agent = operator.agent("node-a");
    const claim = await claimPending(agent, "x");
    assert.equal(claim.kind, "ready");
    operator.clock.onSleep = async (count) => {
      if (count !== 3 || claim.kind !== "ready") return;
      const end = reason === "cancelled"
        ? await settleUnrun(agent, claim.claimed, "cancelled")
        : await settleUnrun(agent, claim.claimed, "lost");
      if (end.kind === "committed") await end.filing;
    };
    const { code, out, err } = await operator.run(["cancel", "--wait", "x"]);
    assert.match(err, /x: node-a was asked to stop it\n/);
    if (reason === "cancelled") assert.deepEqual([code, out], [0, "x: cancelled on node-a\n"]);
    else assert.match(err, /not cancelled, it ended by itself before: failed, lost/);
    assert.equal(code, reason === "cancelled" ? 0 : 1);
  }
});

Deno.test("an agent that claims, runs and files the spec at any moment of a cancel: one end, nothing lost", async () => {
  const outcomes = new Set<string>();
  await atEveryMoment(async (moment, reached) => {
    const operator: Operator = new Operator({
      wrap: (store) =>
        watched(store, async (index) => {
          if (index !== moment) return;
          reached();
          await runPending(operator.agent("node-b"), "x", 0);
        }),
    });
    operator.put(KEYS.pending("x"), SPEC);
    const { out, err } = await operator.run(["cancel", "x"]);
    const ends = operator.keys().filter((key) => /^(completed|failed)/.test(key));
    assert.equal(ends.length, 1, `agent at ${moment}: ${ends}`);
    assert.equal(operator.body(`fleet/${ends[0]}`), SPEC);
    const cancelled = ends[0] === "failed/x.json";
    assert.equal(out, cancelled ? "x: cancelled, was pending\n" : "", `agent at ${moment}`);
    if (!cancelled) assert.match(err, /not cancelled, it has completed already/);
    outcomes.add(ends[0]);
  });
  assert.deepEqual([...outcomes].sort(), ["completed/x.json", "failed/x.json"]);
});

Deno.test("a cancel and a requeue of one spec at once: it is pending or cancelled, never lost", async () => {
  const moments = await atEveryMoment(async (moment, reached) => {
    const operator: Operator = new Operator();
    operator.put(KEYS.pending("x"), SPEC);
    await runPending(operator.agent("node-a"), "x", 1);
    const racing: Operator = new Operator({
      bucket: operator.bucket,
      wrap: (store) =>
        watched(store, async (index) => {
          if (index !== moment) return;
          reached();
          await operator.run(["cancel", "x"]);
        }),
    });
    await racing.run(["requeue", "x"]);
    const specs = operator.keys().filter((key) => /^(pending|failed|claimed)\/x\.json/.test(key));
    assert.ok(specs.length > 0, `cancel at ${moment}: ${operator.keys()}`);
  });
  assert.ok(moments > 8);
});

Deno.test("cancel needs ids", async () => {
  assert.equal((await new Operator().run(["cancel"])).code, 64);
});
