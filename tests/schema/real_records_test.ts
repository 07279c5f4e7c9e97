/** The records that agents really leave in a bucket, against their schemas. */
import assert from "node:assert/strict";
import type { ValidateFunction } from "ajv/dist/2020.js";
import { decodeResult, resultMetadata } from "../../lib/core/result.ts";
import { type Fleet, scenarios } from "../process/fleet.ts";
import { compileSchemas } from "./validators.ts";

const validators = await compileSchemas({ formats: true });

function assertValid(validate: ValidateFunction, fleet: Fleet, key: string): void {
  const object = fleet.bucket.get(key);
  assert.ok(object, `${key} is there`);
  const record = JSON.parse(new TextDecoder().decode(object.body));
  assert.ok(validate(record), `${key}: ${JSON.stringify(validate.errors)}`);
}

async function everyOutcome(fleet: Fleet): Promise<void> {
  const settings = { LEASE_TTL_MS: 3_000, MAX_ATTEMPTS: 2, CELL_TIMEOUT_MS: 60_000 };
  fleet.submit("good", { run: "echo out; echo err >&2; exit 0", poolId: "blue" });
  fleet.submit("bad", { run: "exit 3" });
  fleet.submit("killed", { run: "kill -s KILL $$" });
  fleet.submit("long", JSON.stringify({ run: "exit 0", padding: "x".repeat(2_000) }));
  fleet.submit("twice", { run: "[ $CELLOS_FLEET_NODE_ID = b ] || sleep 1000" });
  const a = fleet.agent("a", {
    ...settings,
    POOL_ID: "blue",
    MAX_SPEC_BYTES: 1_000,
    CONCURRENCY: 5,
  });
  await fleet.untilRunning("twice");
  await fleet.untilFiled("good");
  for (const id of ["bad", "killed", "long"]) await fleet.untilFiled(id, "failed");
  await a.untilBeats(2);
  assertValid(validators.lease, fleet, "fleet/claimed/twice.lease");
  assertValid(validators.node, fleet, "fleet/nodes/a.json");
  a.signal("SIGKILL");
  fleet.agent("b", settings);
  const twice = await fleet.untilFiled("twice");
  assert.deepEqual(twice.attempts.map(({ node }) => node), ["a"]);
  // Once more under the same id: the record keeps the run before.
  fleet.submit("bad", { run: "exit 0" });
  await fleet.untilFiled("bad");
  assert.equal(fleet.result("bad").earlierRuns.length, 1);

  const reasons = new Map<string, string>();
  for (const key of fleet.keys("fleet/results/")) {
    assertValid(validators.result, fleet, key);
    const record = decodeResult(fleet.bucket.get(key)!.body)!;
    reasons.set(record.specId, record.reason);
    const terminal = fleet.bucket.get(`fleet/${record.status}/${record.specId}.json`)!;
    assert.deepEqual({ ...terminal.metadata }, resultMetadata(record), key);
  }
  assert.deepEqual(Object.fromEntries(reasons), {
    good: "exit",
    bad: "exit",
    killed: "signal",
    long: "spec-too-large",
    twice: "exit",
  });
}

async function noTails(fleet: Fleet): Promise<void> {
  fleet.submit("talkative", { run: "echo something; echo else >&2" });
  fleet.agent("a", { RESULT_TAIL_BYTES: 0 });
  const { stdout, stderr } = await fleet.untilFiled("talkative");
  assertValid(validators.result, fleet, "fleet/results/talkative.json");
  assert.deepEqual([stdout, stderr], [{ bytes: 10, tail: "" }, { bytes: 5, tail: "" }]);
}

scenarios("records that agents leave in a bucket", [
  {
    name: "are valid by their schemas: results of every kind, leases, node records; and terminal " +
      "objects have the short facts as metadata",
    run: everyOutcome,
  },
  { name: "hold no output when no tails are to be kept, only its size", run: noTails },
]);
