/** What people and buckets get wrong: each has its message, and nothing is lost. */
import assert from "node:assert/strict";
import type { HonouredConditions } from "../../scripts/s3/bucket.ts";
import { type Fleet, scenarios, specText } from "./fleet.ts";
import type { FleetAgent } from "./fleet_agent.ts";
import { waitUntil } from "./wait_until.ts";

const ALL: HonouredConditions = { create: true, replace: true, delete: true };

/** An agent that must not start ends with 69, says why in the log, and has not touched the spec. */
async function refused(fleet: Fleet, agent: FleetAgent, reason: RegExp): Promise<void> {
  assert.equal(await agent.exitCode(), 69);
  const errors = agent.lines.filter(({ level }) => level === "ERROR");
  assert.equal(errors.length, 1);
  assert.match(errors[0].fields.message, reason);
  assert.equal(agent.stderr, "");
  assert.deepEqual(fleet.keys("fleet/"), ["fleet/pending/spec.json"]);
  assert.deepEqual(fleet.ledger.entries(), []);
}

function unsafeStore(ignored: keyof HonouredConditions, reason: RegExp) {
  return {
    name: `a bucket that ignores ${ignored} conditions is refused with 69, by name`,
    conditions: { ...ALL, [ignored]: false },
    async run(fleet: Fleet) {
      fleet.submit("spec", { run: "exit 0" });
      await refused(fleet, fleet.agent("a"), reason);
    },
  };
}

async function plainDeletes(fleet: Fleet): Promise<void> {
  const ids = Array.from({ length: 10 }, (_, index) => `spec-${index}`);
  for (const id of ids) fleet.submit(id, { run: "exit 0" });
  const agents = ["a", "b"].map((node) => fleet.agent(node, { CONCURRENCY: 2 }));
  await fleet.untilEmpty();
  const [line] = await agents[0].untilLogged("bucket honours conditional writes");
  assert.equal(line.fields.conditional_delete, false);
  for (const id of ids) fleet.judgeRunOnce(id);
  fleet.judge();
}

async function wrongAccess(fleet: Fleet): Promise<void> {
  fleet.submit("spec", { run: "exit 0" });
  const noBucket = fleet.agent("a", { BUCKET: "no-such-bucket" });
  await refused(fleet, noBucket, /no-such-bucket.*there is no such bucket/);
  const badKey = fleet.agent("b", {}, { environment: { AWS_ACCESS_KEY_ID: "denied" } });
  await refused(fleet, badKey, /the credentials are not valid/);
  const agents = [noBucket, badKey].map(({ lines }) => JSON.stringify(lines)).join("");
  assert.doesNotMatch(agents, /AWS4-HMAC|Signature=/, "no signed request gets into the log");
}

async function wrongSettings(fleet: Fleet): Promise<void> {
  const agent = fleet.agent("a", {
    CONCURRENCY: "many",
    LEASE_TTL_MS: -1,
    POLL_INTERVAL_MS: "1e3",
    CONCURENCY: 3,
  });
  assert.equal(await agent.exitCode(), 78);
  assert.deepEqual(agent.lines, []);
  const [warning, ...problems] = agent.stderr.trimEnd().split("\n");
  assert.match(
    warning,
    /Warning: CELLOS_FLEET_CONCURENCY .* did you mean CELLOS_FLEET_CONCURRENCY\?/,
  );
  for (const [name, value] of [["CONCURRENCY", "many"], ["LEASE_TTL_MS", "-1"]]) {
    const problem = `CELLOS_FLEET_${name} is "${value}": it must be a whole number from `;
    assert.equal(problems.filter((text) => text.includes(problem)).length, 1, name);
  }
  assert.equal(problems.length, 3);
  assert.deepEqual(fleet.requests, []);
}

/** Bytes that are not text, none of them the same as its neighbours. */
function binary(length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, index) => index * 7919 + (index >> 8));
}

async function oddSpecs(fleet: Fleet): Promise<void> {
  const maxBytes = 100_000;
  const bodies: Readonly<Record<string, string | Uint8Array>> = {
    "empty": "",
    "not-json": "this is not JSON",
    "binary": binary(50_000),
    "null": "null",
    "number-for-a-pool": '{"spec":{"placement":{"poolId":7}}}',
    "just-too-large": new Uint8Array(maxBytes + 1),
    "huge": binary(8_000_000),
  };
  for (const [id, body] of Object.entries(bodies)) fleet.submit(id, body);
  fleet.submit("good", { run: "exit 0" });
  const agent = fleet.agent("a", { POOL_ID: "here", MAX_SPEC_BYTES: maxBytes, CONCURRENCY: 3 });
  await fleet.untilEmpty();
  agent.signal("SIGTERM");
  assert.equal(await agent.exitCode(), 0);
  fleet.judge();
  fleet.judgeRunOnce("good");
  for (const id of ["empty", "not-json", "binary", "null", "number-for-a-pool"]) {
    fleet.judgeRunOnce(id, 65);
  }
  const warned = agent.logged(/^placement not readable, taken as unconstrained: /);
  const unreadable = warned.map(({ fields }) => String(fields.spec_id)).sort();
  for (const id of ["binary", "empty", "not-json"]) assert.ok(unreadable.includes(id), id);
  for (const id of ["just-too-large", "huge"]) {
    const { reason, status } = fleet.result(id);
    assert.deepEqual([reason, status], ["spec-too-large", "failed"]);
    assert.deepEqual(fleet.ledger.of("start", id), []);
    assert.equal(fleet.filings.get(id), 1);
  }
}

const ODD_IDS = [
  "with space",
  "ünïcödé-☃-日本-😀",
  "a.json",
  ".hidden",
  "deep/er/and/deeper",
  "plus+and%20percent",
  "quo'te\"d&<xml>",
  "question?#hash",
  "~!@$^*()[]{}|\\:;,=`",
  "-rf",
  "$(touch gone)",
];

const OTHER_KEYS = [
  "fleet/pending/.json",
  "fleet/pending/notes.txt",
  "fleet/pending/upper.JSON",
  "fleet/pending/sub/",
  "fleet/pending/../up.json",
];

async function oddKeys(fleet: Fleet): Promise<void> {
  for (const id of ODD_IDS) fleet.submit(id, specText("exit 0"));
  for (const key of OTHER_KEYS) fleet.bucket.put(key, new TextEncoder().encode("{}"));
  const agent = fleet.agent("a", { CONCURRENCY: 4 });
  for (const id of ODD_IDS) await fleet.untilFiled(id);
  await agent.untilBeats(2);
  await waitUntil("every other key was named", () => {
    return agent.logged(/^ignoring a key under pending/).length === OTHER_KEYS.length;
  });
  const named = agent.logged(/^ignoring a key under pending/).map(({ fields }) => fields.key);
  assert.deepEqual(named.sort(), [...OTHER_KEYS].sort());
  agent.signal("SIGTERM");
  assert.equal(await agent.exitCode(), 0);
  for (const id of ODD_IDS) {
    fleet.judgeRunOnce(id);
    assert.ok(fleet.bucket.get(`fleet/completed/${id}.json`), id);
  }
  assert.deepEqual(fleet.keys("fleet/pending/"), [...OTHER_KEYS].sort());
  assert.deepEqual(fleet.keys("fleet/claimed/"), []);
  fleet.judge();
}

scenarios("wrong and odd input", [
  {
    name: "a missing bucket and bad credentials end the agent with 69, and a message for each",
    server: { denyAccessKeys: ["denied"] },
    run: wrongAccess,
  },
  unsafeStore("create", /does not honour conditional writes: a PUT with If-None-Match: \*,/),
  unsafeStore("replace", /does not honour conditional writes: a PUT with If-Match,/),
  {
    name: "a bucket that ignores conditions of deletes is worked on all the same",
    conditions: { ...ALL, delete: false },
    run: plainDeletes,
  },
  {
    name: "bad numbers end the agent with 78, all named, and an unknown variable is named too",
    run: wrongSettings,
  },
  { name: "empty, binary, wrong and huge specs are filed as failed, unchanged", run: oddSpecs },
  {
    name: "odd ids are run and filed under their own keys; other keys under pending/ stay, named",
    run: oddKeys,
  },
]);
