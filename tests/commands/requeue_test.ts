import assert from "node:assert/strict";
import { encodeLease, newLease } from "../../lib/core/lease.ts";
import { decodeResult } from "../../lib/core/result.ts";
import { recover, runPending } from "./agent_steps.ts";
import { atEveryMoment, KEYS, Operator, watched } from "./operator.ts";

const SPEC = '{"spec":{"n":1}}';
const PLACES = [
  KEYS.pending("x"),
  KEYS.claimed("x"),
  KEYS.terminal("completed", "x"),
  KEYS.terminal("failed", "x"),
];

/** A spec that an agent has run and filed as failed. */
async function failedOnce(operator: Operator, id = "x"): Promise<void> {
  operator.put(KEYS.pending(id), SPEC);
  assert.equal(await runPending(operator.agent("node-a"), id, 3), "ran");
}

function lease(id: string, node: string): string {
  const at = "2031-05-01T00:00:00.000Z";
  const start = { specId: id, nonce: "n", node, poolId: "", ttlMs: 6_000, at };
  return new TextDecoder().decode(encodeLease(newLease(start)));
}

function assertSomewhere(operator: Operator, when: string): void {
  assert.ok(PLACES.some((key) => operator.body(key) === SPEC), `lost ${when}: ${operator.keys()}`);
}

Deno.test("a failed spec is pending again, byte for byte, without the facts of its run", async () => {
  const operator = new Operator();
  await failedOnce(operator);
  const { code, out, err } = await operator.run(["requeue", "x"]);
  assert.deepEqual([code, out, err], [0, "x: requeued, had failed\n", ""]);
  assert.deepEqual(operator.keys(), ["pending/x.json", "results/x.json"]);
  assert.equal(operator.body(KEYS.pending("x")), SPEC);
  assert.deepEqual(operator.bucket.get(KEYS.pending("x"))?.metadata, {});
});

Deno.test("the next run of a requeued spec has the failed one in its history", async () => {
  const operator = new Operator();
  await failedOnce(operator);
  await operator.run(["requeue", "x"]);
  await runPending(operator.agent("node-b"), "x", 0);
  const result = decodeResult(operator.bucket.get(KEYS.result("x"))!.body);
  assert.equal(result?.status, "completed");
  assert.deepEqual(
    result.earlierRuns.map(({ status, exitCode, node }) => [status, exitCode, node]),
    [["failed", 3, "node-a"]],
  );
});

Deno.test("what cannot be requeued is refused with the reason, and left as it is", async () => {
  const cases: readonly [objects: Record<string, string>, reason: RegExp][] = [
    [{ [KEYS.pending("x")]: SPEC }, /it is pending/],
    [
      { [KEYS.claimed("x")]: SPEC, [KEYS.lease("x")]: lease("x", "node-a") },
      /it is claimed by node-a/,
    ],
    [
      { [KEYS.terminal("failed", "x")]: SPEC, [KEYS.lease("x")]: lease("x", "node-a") },
      /it is claimed by node-a/,
    ],
    [{ [KEYS.lease("x")]: "?" }, /it is claimed by somebody whose lease is unreadable/],
    [{ [KEYS.claimed("x")]: SPEC }, /claimed without a lease; .* use --leaseless/],
    [{ [KEYS.terminal("completed", "x")]: SPEC }, /it has completed; submit --again/],
    [{}, /there is no such spec/],
  ];
  for (const [objects, reason] of cases) {
    const operator = new Operator();
    for (const [key, body] of Object.entries(objects)) operator.put(key, body);
    const before = operator.keys();
    const { code, out, err } = await operator.run(["requeue", "x"]);
    assert.deepEqual([code, out], [1, ""]);
    assert.match(err, reason);
    assert.deepEqual(operator.keys(), before);
  }
});

Deno.test("a failed spec that is too large for the fleet is not sent round again", async () => {
  const operator = new Operator({ environment: { CELLOS_FLEET_MAX_SPEC_BYTES: "5" } });
  operator.put(KEYS.terminal("failed", "x"), SPEC);
  const { code, err } = await operator.run(["requeue", "x"]);
  assert.equal(code, 1);
  assert.match(err, /has 16 bytes, more than CELLOS_FLEET_MAX_SPEC_BYTES/);
  assert.deepEqual(operator.keys(), ["failed/x.json"]);
});

Deno.test("--leaseless gives a left-behind claim back, and keeps its count of lost attempts", async () => {
  const operator = new Operator();
  operator.put(KEYS.claimed("x"), SPEC, { "cellos-lost-attempts": "2" });
  const { code, out } = await operator.run(["requeue", "--leaseless", "x"]);
  assert.deepEqual([code, out], [0, "x: requeued, was claimed without a lease\n"]);
  assert.deepEqual(operator.keys(), ["pending/x.json"]);
  assert.deepEqual(operator.bucket.get(KEYS.pending("x"))?.metadata, {
    "cellos-lost-attempts": "2",
  });
});

Deno.test("--all-failed requeues every failed spec and nothing else", async () => {
  const operator = new Operator();
  const ids = Array.from({ length: 2_500 }, (_, index) => `job/${index}`);
  for (const id of ids) operator.put(KEYS.terminal("failed", id), SPEC);
  operator.put(KEYS.terminal("completed", "done"), SPEC);
  operator.put(`${KEYS.folder("failed")}notes.txt`, "no spec");
  const { code, out, err } = await operator.run(["requeue", "--all-failed"]);
  assert.equal(code, 0);
  assert.equal(err, "cellos-fleet: Requeued 2500 of 2500 specs\n");
  const printed = out.trimEnd().split("\n");
  assert.deepEqual(printed, ids.sort().map((id) => `${id}: requeued, had failed`));
  const folders = operator.keys().map((key) => key.split("/")[0]);
  assert.equal(folders.filter((folder) => folder === "pending").length, 2_500);
  assert.equal(folders.filter((folder) => folder === "failed").length, 1);
});

Deno.test("--all-failed with nothing failed says so", async () => {
  const { code, err } = await new Operator().run(["requeue", "--all-failed"]);
  assert.deepEqual([code, err], [0, "cellos-fleet: No spec has failed\n"]);
});

Deno.test("several ids: one line each, in their order, and 1 when one was refused", async () => {
  const operator = new Operator();
  await failedOnce(operator, "a");
  await failedOnce(operator, "b");
  const { code, out, err } = await operator.run(["requeue", "b", "nope", "a", "b"]);
  assert.equal(code, 1);
  assert.equal(out, "b: requeued, had failed\na: requeued, had failed\n");
  assert.match(err, /nope: not requeued, there is no such spec\n.*Requeued 2 of 3 specs/);
});

Deno.test("an agent that claims, runs and fails the spec at any moment of a requeue loses nothing", async () => {
  let keptOut = 0;
  const moments = await atEveryMoment(async (moment, reached) => {
    const operator: Operator = new Operator({
      wrap: (store) =>
        watched(store, async (index) => {
          assertSomewhere(operator, `before request ${index}, agent from ${moment}`);
          if (index < moment) return;
          reached();
          const pending = operator.body(KEYS.pending("x")) !== undefined;
          const run = await runPending(operator.agent("node-b"), "x", 4);
          if (pending && run === "left") keptOut++;
          assertSomewhere(operator, `before request ${index} after the agent from ${moment}`);
        }, (index) => assertSomewhere(operator, `after request ${index}, agent from ${moment}`)),
    });
    await failedOnce(operator);
    await operator.run(["requeue", "x"]);
    await runPending(operator.agent("node-b"), "x", 0);
    assertSomewhere(operator, `in the end, agent from ${moment}`);
    assert.ok(!operator.keys().some((key) => key.startsWith("claimed/")), `${operator.keys()}`);
  });
  assert.ok(moments > 8);
  assert.ok(keptOut > 0, "the lease was never put to the test");
});

Deno.test("a requeue that dies at any moment leaves the spec to be found, and run by the next agent", async () => {
  for (const leaseless of [false, true]) {
    for (const effect of ["before", "after"] as const) {
      const moments = await atEveryMoment(async (moment, reached) => {
        const die = (here: typeof effect) => (index: number) => {
          if (here !== effect || index !== moment) return;
          reached();
          throw new Dead();
        };
        const operator = new Operator({
          wrap: (store) => watched(store, die("before"), die("after")),
        });
        if (leaseless) operator.put(KEYS.claimed("x"), SPEC);
        else await failedOnce(operator);
        const args = leaseless ? ["requeue", "--leaseless", "x"] : ["requeue", "x"];
        await operator.run(args).catch((error) => assert.ok(error instanceof Dead));
        assertSomewhere(operator, `${effect} request ${moment}`);
        await recover(operator.agent("node-b"), "x");
        assertSomewhere(operator, `${effect} request ${moment}, lease taken over`);
        await runPending(operator.agent("node-b"), "x", 0);
        assertSomewhere(operator, `${effect} request ${moment}, run`);
        const left = operator.keys().filter((key) => key.endsWith(".lease"));
        assert.deepEqual(left, [], `${effect} request ${moment}`);
      });
      assert.ok(moments > 8);
    }
  }
});

Deno.test("a submission of other bytes under the id at any moment of a requeue is not overwritten", async () => {
  const moments = await atEveryMoment(async (moment, reached) => {
    const operator: Operator = new Operator({
      wrap: (store) =>
        watched(store, async (index) => {
          if (index !== moment) return;
          reached();
          await operator.store.create(KEYS.pending("x"), new TextEncoder().encode("{}"), {});
        }),
    });
    await failedOnce(operator);
    const { code } = await operator.run(["requeue", "x"]);
    const pending = operator.body(KEYS.pending("x"));
    if (code === 0) assert.equal(pending, SPEC);
    else assert.deepEqual([pending, operator.body(KEYS.terminal("failed", "x"))], ["{}", SPEC]);
  });
  assert.ok(moments > 8);
});

class Dead extends Error {}

Deno.test("requeue needs ids or --all-failed, and not both", async () => {
  const operator = new Operator();
  for (const args of [[], ["--all-failed", "x"], ["--all-failed", "--leaseless"]]) {
    assert.equal((await operator.run(["requeue", ...args])).code, 64);
  }
});
