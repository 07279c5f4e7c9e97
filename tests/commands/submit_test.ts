import assert from "node:assert/strict";
import type { Store, WriteResult } from "../../lib/ports.ts";
import { TimeOrderedIds } from "../../lib/commands/time_ordered_id.ts";
import { runPending } from "./agent_steps.ts";
import { KEYS, Operator, SleepingClock, watched } from "./operator.ts";

const UUID_7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
const SPEC = '{"spec": {}}\n';

Deno.test("a submitted spec is pending byte for byte, under a fresh id that is printed", async () => {
  const operator = new Operator();
  const { code, out, err } = await operator.run(["submit"], SPEC);
  assert.deepEqual([code, err], [0, ""]);
  const id = out.trim();
  assert.match(id, UUID_7);
  assert.equal(operator.body(KEYS.pending(id)), SPEC);
  assert.deepEqual(operator.keys(), [`pending/${id}.json`]);
});

Deno.test("fresh ids sort by time, also within a millisecond and when the clock goes back", () => {
  const clock = new SleepingClock();
  const ids = new TimeOrderedIds(clock, { random: () => 0.999, nonce: () => "" });
  const made: string[] = [];
  for (let round = 0; round < 10_000; round++) {
    if (round === 6_000) clock.nowMs -= 5_000;
    made.push(ids.next());
  }
  assert.deepEqual(made, [...made].sort());
  assert.equal(new Set(made).size, made.length);
  for (const id of made) assert.match(id, UUID_7);
  clock.nowMs += 60_000;
  const ms = parseInt(ids.next().replaceAll("-", "").slice(0, 12), 16);
  assert.equal(ms, clock.nowMs);
});

Deno.test("what is no spec is refused, and nothing is stored", async () => {
  const operator = new Operator({ environment: { CELLOS_FLEET_MAX_SPEC_BYTES: "20" } });
  const cases: readonly [string | Uint8Array, RegExp][] = [
    ["", /it is empty/],
    [" \n", /it is empty/],
    ["{", /it is not JSON/],
    ["[]", /it is not a JSON object/],
    ["null", /it is not a JSON object/],
    ["7", /it is not a JSON object/],
    [new Uint8Array([0x7b, 0xff, 0x7d]), /it is not UTF-8/],
    [`{"a":"${"x".repeat(30)}"}`, /more than the 20 bytes that CELLOS_FLEET_MAX_SPEC_BYTES/],
  ];
  for (const [input, problem] of cases) {
    const { code, out, err } = await operator.run(["submit"], input);
    assert.deepEqual([code, out], [1, ""]);
    assert.match(err, problem);
  }
  assert.deepEqual(operator.keys(), []);
});

Deno.test("an id that is in use is refused, wherever its spec is; --again takes one that has ended", async () => {
  const operator = new Operator();
  const places: readonly [key: string, refusal: RegExp, again: boolean][] = [
    [KEYS.pending("x"), /it is pending/, false],
    [KEYS.claimed("x"), /it is claimed, without a lease/, false],
    [KEYS.lease("x"), /under a lease that cannot be read/, false],
    [KEYS.terminal("completed", "x"), /it has completed; with --again/, true],
    [KEYS.terminal("failed", "x"), /it has failed; with --again/, true],
  ];
  for (const [key, refusal, again] of places) {
    operator.put(key, "{}");
    const first = await operator.run(["submit", "--id", "x"], SPEC);
    assert.deepEqual([first.code, first.out], [1, ""]);
    assert.match(first.err, refusal);
    const second = await operator.run(["submit", "--id", "x", "--again"], SPEC);
    assert.deepEqual([second.code, second.out], again ? [0, "x\n"] : [1, ""], key);
    assert.equal(operator.body(key), "{}", "nothing is overwritten");
    operator.bucket.delete(key);
    operator.bucket.delete(KEYS.pending("x"));
  }
});

Deno.test("ids that no key could hold, or that would not come back, are usage errors", async () => {
  const operator = new Operator();
  for (const id of ["", "a/../b", ".", "a//b", "/a", "a\nb", "x".repeat(1_100)]) {
    const { code, err } = await operator.run(["submit", "--id", id], SPEC);
    assert.equal(code, 64, JSON.stringify(id));
    assert.equal(err.trimEnd().split("\n").length, 2, err);
  }
  assert.equal((await operator.run(["submit", "--id", "team/job 7.json"], SPEC)).code, 0);
  assert.deepEqual(operator.keys(), ["pending/team/job 7.json.json"]);
});

Deno.test("a placement that cannot be read is a warning", async () => {
  const operator = new Operator();
  const { code, err } = await operator.run(["submit"], '{"spec":{"placement":{"poolId":7}}}');
  assert.equal(code, 0);
  assert.match(err, /Warning: any node may run it.*poolId is not a string/);
});

Deno.test("lines are submitted in order, under ids that are printed in order", async () => {
  const operator = new Operator();
  const input = '{"n":1}\r\n\n  \n{"n":2}\n{"n":3}';
  const { code, out, err } = await operator.run(["submit", "--lines"], input);
  assert.deepEqual([code, err], [0, "cellos-fleet: Submitted 3 of 3 specs\n"]);
  const ids = out.trimEnd().split("\n");
  assert.deepEqual(ids, [...ids].sort());
  const bodies = ids.map((id) => operator.body(KEYS.pending(id)));
  assert.deepEqual(bodies, ['{"n":1}', '{"n":2}', '{"n":3}']);
});

Deno.test("on a terminal a line of progress is drawn over, and is gone before the summary", async () => {
  const operator = new Operator({ terminal: { notesAreTerminal: true } });
  const { err } = await operator.run(["submit", "--lines"], "{}\n".repeat(40));
  assert.match(
    err,
    // deno-lint-ignore no-control-regex
    /^\r\x1b\[Ksubmitted \d+ of 40\r\x1b\[Kcellos-fleet: Submitted 40 of 40 specs\n$/,
  );
});

Deno.test("one bad line keeps all of them out of the queue, and is named", async () => {
  const operator = new Operator();
  const { code, out, err } = await operator.run(["submit", "--lines"], '{}\n\n{"a":1\n[]\n{}');
  assert.deepEqual([code, out], [1, ""]);
  assert.match(err, /Line 3: it is not JSON\n.*Line 4: it is not a JSON object\n/);
  assert.match(err, /2 of 4 lines cannot be submitted; nothing was submitted/);
  assert.deepEqual(operator.keys(), []);
});

Deno.test("a line that the bucket refuses is named, and the others are submitted", async () => {
  const operator = new Operator({
    wrap: (store) =>
      withCreate(store, (call, body) => {
        if (!new TextDecoder().decode(body).includes("bad")) return call();
        return Promise.resolve({
          outcome: "unknown",
          answered: true,
          throttled: false,
          cause: "the store failed",
        });
      }),
  });
  const { code, out, err } = await operator.run(
    ["submit", "--lines"],
    '{"n":1}\n{"bad":1}\n{"n":2}',
  );
  assert.equal(code, 1);
  assert.equal(out.trimEnd().split("\n").length, 2);
  assert.match(err, /Line 2, id [0-9a-f-]{36}: the bucket did not say.*the store failed/);
  assert.match(err, /Submitted 2 of 3 specs, 1 failed/);
});

Deno.test("an interrupted batch says how far it came", async () => {
  const operator = new Operator({
    wrap: (store) =>
      watched(store, (_index, operation) => {
        if (operation === "create" && operator.bucket.size === 20) operator.interrupt.abort();
      }),
  });
  const { code, out, err } = await operator.run(["submit", "--lines"], "{}\n".repeat(100));
  assert.equal(code, 130);
  const printed = out.trimEnd().split("\n").length;
  assert.equal(printed, operator.bucket.size);
  assert.ok(printed < 100);
  assert.match(err, new RegExp(`Submitted ${printed} of 100 specs, ${100 - printed} not tried`));
});

Deno.test("a create without an answer is looked up, so that a spec that ran meanwhile runs once", async () => {
  for (const stored of [true, false]) {
    let creates = 0;
    const operator: Operator = new Operator({
      wrap: (store) =>
        withCreate(store, async (call) => {
          if (creates++ > 0) return await call();
          if (stored) await call();
          // Claimed, run and filed before anybody looks.
          await runPending(operator.agent("node"), "x", 0);
          return { outcome: "unknown", answered: false, throttled: false, cause: "no answer" };
        }),
    });
    const { code, out } = await operator.run(["submit", "--id", "x"], SPEC);
    assert.deepEqual([code, out], [0, "x\n"]);
    assert.equal(creates, stored ? 1 : 2);
    const where = stored ? ["completed/x.json", "results/x.json"] : ["pending/x.json"];
    assert.deepEqual(operator.keys(), where);
  }
});

Deno.test("a bucket that never answers leaves it open, with the id to ask again for", async () => {
  const operator = new Operator({
    wrap: (store) =>
      withCreate(
        store,
        () =>
          Promise.resolve({ outcome: "unknown", answered: false, throttled: false, cause: "cut" }),
      ),
  });
  const { code, out, err } = await operator.run(["submit", "--id", "x"], SPEC);
  assert.deepEqual([code, out], [75, ""]);
  assert.match(err, /did not say whether x is stored: cut; submit it again with --id x/);
});

Deno.test("--wait exits with the cell's code and shows its result", async () => {
  for (const exitCode of [0, 3, 255]) {
    const operator: Operator = new Operator();
    operator.clock.onSleep = async (count) => {
      if (count === 3) await runPending(operator.agent("node-a"), "x", exitCode);
    };
    const { code, out } = await operator.run(["submit", "--id", "x", "--wait"], SPEC);
    assert.equal(code, exitCode);
    const status = exitCode === 0 ? "completed" : "failed";
    assert.equal(out, `x\n${status}, exit code ${exitCode}, on node-a\n`);
  }
});

Deno.test("--wait after --again is not fooled by the end of the run before", async () => {
  const operator: Operator = new Operator();
  await operator.run(["submit", "--id", "x"], SPEC);
  await runPending(operator.agent("node-a"), "x", 5);
  operator.clock.onSleep = async (count) => {
    if (count === 4) await runPending(operator.agent("node-b"), "x", 0);
  };
  const { code, out } = await operator.run(["submit", "--id", "x", "--again", "--wait"], SPEC);
  assert.deepEqual([code, out], [0, "x\ncompleted, exit code 0, on node-b\n"]);
});

Deno.test("--wait ends when the spec was taken away by hand, and when an older agent filed it", async () => {
  const cases: readonly [move: (operator: Operator) => void, code: number, out: string][] = [
    [() => {}, 1, "x\n"],
    [
      (operator) => operator.put(KEYS.terminal("failed", "x"), SPEC),
      1,
      "x\nfailed, without a result record\n",
    ],
    [
      (operator) => operator.put(KEYS.terminal("completed", "x"), SPEC),
      0,
      "x\ncompleted, without a result record\n",
    ],
  ];
  for (const [move, expected, text] of cases) {
    const operator: Operator = new Operator();
    operator.clock.onSleep = (count) => {
      if (count !== 1) return;
      operator.bucket.delete(KEYS.pending("x"));
      move(operator);
    };
    const { code, out } = await operator.run(["submit", "--id", "x", "--wait"], SPEC);
    assert.deepEqual([code, out], [expected, text]);
  }
});

Deno.test("--wait that is interrupted leaves the spec alone", async () => {
  const operator: Operator = new Operator();
  operator.clock.onSleep = (count) => {
    if (count === 2) operator.interrupt.abort();
  };
  const { code, err } = await operator.run(["submit", "--id", "x", "--wait"], SPEC);
  assert.equal(code, 130);
  assert.match(err, /No longer waiting for x, which goes on/);
  assert.deepEqual(operator.keys(), ["pending/x.json"]);
});

Deno.test("options that do not go together are usage errors", async () => {
  const operator = new Operator();
  for (
    const args of [["--lines", "--id", "x"], ["--lines", "--wait"], ["--again"], ["x"], [
      "--lines",
      "--again",
    ]]
  ) {
    assert.equal((await operator.run(["submit", ...args], SPEC)).code, 64, args.join(" "));
  }
  assert.deepEqual(operator.keys(), []);
});

/** The store with another way to create. */
function withCreate(
  store: Store,
  act: (call: () => Promise<WriteResult>, body: Uint8Array) => Promise<WriteResult>,
): Store {
  return new Proxy(store, {
    get(target, name, receiver) {
      const method = Reflect.get(target, name, receiver);
      if (name !== "create") return typeof method === "function" ? method.bind(target) : method;
      return (...args: Parameters<Store["create"]>) => act(() => target.create(...args), args[1]);
    },
  });
}
