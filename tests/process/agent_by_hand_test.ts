/** Agents beside the AWS CLI, and on another implementation of S3. */
import assert from "node:assert/strict";
import { decodeResult } from "../../lib/core/result.ts";
import { createS3Store } from "../../lib/edge/s3_store.ts";
import { motoServerPath, startMotoServer } from "../contract/moto_server.ts";
import { type Fleet, runScenario, specText } from "./fleet.ts";
import { plainEnvironment } from "./fleet_agent.ts";
import { waitUntil } from "./wait_until.ts";

const MOTO_SPECS = 40;

function hasAws(): boolean {
  try {
    return new Deno.Command("aws", { args: ["--version"], stdout: "null", stderr: "null" })
      .outputSync().success;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/** Runs an `aws s3` command; returns what it printed. */
async function aws(fleet: Fleet, ...args: string[]): Promise<string> {
  const output = await new Deno.Command("aws", {
    args: ["--endpoint-url", fleet.server.endpoint, "s3", ...args],
    clearEnv: true,
    env: {
      ...plainEnvironment(),
      AWS_ACCESS_KEY_ID: "test",
      AWS_SECRET_ACCESS_KEY: "test",
      AWS_REGION: "us-east-1",
    },
    stdin: "null",
  }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  assert.ok(output.success, `aws s3 ${args.join(" ")}: ${text(output.stderr)}`);
  return text(output.stdout);
}

async function byHand(fleet: Fleet): Promise<void> {
  const run = "[ -e $FLEET_TEST_FOLDER/mended ] || exit 3";
  const file = fleet.path("spec.json");
  await Deno.writeTextFile(file, specText(run, "here"));
  await aws(fleet, "cp", file, "s3://fleet/fleet/pending/mended.json");
  fleet.submit("busy", { run: "gate go", poolId: "here" });
  const agent = fleet.agent("a", { POOL_ID: "here" });
  await fleet.untilRunning("busy");
  // With one slot, nothing else is claimed while the cell waits at its gate.
  await Deno.writeTextFile(file, specText("exit 0", "here"));
  await aws(fleet, "cp", file, "s3://fleet/fleet/pending/withdrawn.json");
  await aws(fleet, "rm", "s3://fleet/fleet/pending/withdrawn.json");
  fleet.open("go");
  await fleet.untilFiled("busy");
  const first = await fleet.untilFiled("mended", "failed");
  assert.match(await aws(fleet, "ls", "s3://fleet/fleet/failed/"), / mended\.json$/m);

  fleet.open("mended");
  await aws(
    fleet,
    "mv",
    "s3://fleet/fleet/failed/mended.json",
    "s3://fleet/fleet/pending/mended.json",
  );
  const second = await fleet.untilFiled("mended");
  assert.notEqual(second.claim, first.claim);
  assert.deepEqual([second.attempt, second.exitCode, second.attempts], [1, 0, []]);
  assert.deepEqual(second.earlierRuns.map(({ claim, exitCode }) => [claim, exitCode]), [
    [first.claim, 3],
  ]);
  assert.equal(fleet.object("failed", "mended"), undefined);
  await aws(fleet, "cp", "s3://fleet/fleet/completed/mended.json", `${file}.filed`);
  assert.equal(await Deno.readTextFile(`${file}.filed`), specText(run, "here"));
  agent.signal("SIGTERM");
  assert.equal(await agent.exitCode(), 0);
  assert.deepEqual(fleet.ledger.of("end").map(({ specId, detail }) => [specId, detail]).sort(), [
    ["busy", "0"],
    ["mended", "0"],
    ["mended", "3"],
  ]);
  fleet.judge();
}

async function onMoto(fleet: Fleet, path: string): Promise<void> {
  await using moto = await startMotoServer(path);
  // The agent's own store: the SDK's handler can hang on an old version of Deno.
  using store = createS3Store({
    bucket: "fleet",
    userAgent: "test",
    environment: {
      AWS_ENDPOINT_URL_S3: moto.endpoint,
      AWS_ACCESS_KEY_ID: "test",
      AWS_SECRET_ACCESS_KEY: "test",
    },
  });
  const keys = async (prefix: string) => {
    return (await store.list({ prefix })).objects.map(({ key }) => key);
  };
  const created = await fetch(`${moto.endpoint}/fleet`, { method: "PUT" });
  await created.body?.cancel();
  const ids = Array.from({ length: MOTO_SPECS }, (_, index) => `spec-${index}`);
  for (const [index, id] of ids.entries()) {
    await store.put(
      `fleet/pending/${id}.json`,
      new TextEncoder().encode(specText(`exit ${index % 2}`)),
      {},
    );
  }
  const environment = { AWS_ENDPOINT_URL_S3: moto.endpoint };
  const agents = ["a", "b"].map((node) =>
    fleet.agent(node, { CONCURRENCY: 4, EXIT_WHEN_IDLE_MS: 2_000 }, { environment })
  );
  for (const agent of agents) assert.equal(await agent.exitCode(), 0);
  await waitUntil("every run is in the ledger", () => {
    return fleet.ledger.of("end").length >= MOTO_SPECS;
  });
  assert.deepEqual([...await keys("fleet/pending/"), ...await keys("fleet/claimed/")], []);
  const started = fleet.ledger.of("start").map(({ specId }) => specId);
  assert.deepEqual(started.sort(), [...ids].sort(), "each spec was run exactly once");
  const filed = [...await keys("fleet/completed/"), ...await keys("fleet/failed/")];
  const expected = ids.map((id, index) => `fleet/${index % 2 ? "failed" : "completed"}/${id}.json`);
  assert.deepEqual(filed.sort(), expected.sort());
  for (const id of ids) {
    const got = await store.get(`fleet/results/${id}.json`, 1_000_000);
    const result = got.outcome === "found" ? decodeResult(got.object.body) : undefined;
    assert.deepEqual([result?.attempt, result?.earlierRuns], [1, []]);
  }
}

// Older versions of Deno keep a connection of an SDK client that was destroyed.
const unchecked = { sanitizeOps: false, sanitizeResources: false };

const withAws = hasAws();
Deno.test({
  name:
    "aws s3 cp, ls, mv and rm beside an agent: moved back from failed/ runs again, removed from " +
    `pending/ does not run${withAws ? "" : " (skipped: there is no aws)"}`,
  ignore: !withAws,
  ...unchecked,
  fn: () => runScenario({ name: "", run: byHand }),
});

const motoPath = motoServerPath();
Deno.test({
  name: `of ${MOTO_SPECS} specs on moto_server, two agents run each exactly once` +
    (motoPath === undefined ? " (skipped: there is no moto_server)" : ""),
  ignore: motoPath === undefined,
  ...unchecked,
  fn: () => runScenario({ name: "", run: (fleet) => onMoto(fleet, motoPath!) }),
});
