import assert from "node:assert/strict";
import { Fleet } from "./fleet.ts";

/** Requests of a claim's life: no listings, and nothing of the probe or the node record. */
function claimRequests(fleet: Fleet): string[] {
  return fleet.requests
    .filter(({ operation, key }) => operation !== "list" && !/\/(probe|nodes)\//.test(key))
    .map(({ operation, key }) => `${operation} ${key}`);
}

Deno.test("a pending spec is claimed, run and filed as completed", async () => {
  const fleet = new Fleet();
  fleet.submit("a", '{"hello": 1}');
  fleet.cell = () => ({ durationMs: 1_500, stdout: "done\n" });
  fleet.node("node-1", { once: true, poolId: "gpu" });
  await fleet.run();
  assert.deepEqual(fleet.bucketKeys, ["fleet/completed/a.json", "fleet/results/a.json"]);
  assert.equal(fleet.text("fleet/completed/a.json"), '{"hello": 1}');
  const { status, reason, exitCode, attempt, stdout, node, poolId, durationMs } = fleet.result(
    "a",
  )!;
  assert.deepEqual(
    { status, reason, exitCode, attempt, stdout, node, poolId },
    {
      status: "completed",
      reason: "exit",
      exitCode: 0,
      attempt: 1,
      stdout: { bytes: 5, tail: "done\n" },
      node: "node-1",
      poolId: "gpu",
    },
  );
  assert.equal(durationMs, 1_500);
  assert.equal(fleet.object("fleet/completed/a.json")?.metadata["cellos-exit-code"], "0");
  assert.deepEqual(fleet.starts.map(({ specId, attempt }) => [specId, attempt]), [["a", 1]]);
});

Deno.test("a plain run takes nine requests, in the order that keeps the spec safe", async () => {
  const fleet = new Fleet();
  fleet.submit("a");
  fleet.node("node-1", { once: true });
  await fleet.run();
  assert.deepEqual(claimRequests(fleet), [
    "create fleet/claimed/a.lease",
    "get fleet/pending/a.json",
    "create fleet/claimed/a.json",
    "delete fleet/pending/a.json",
    "replace fleet/claimed/a.lease",
    "create fleet/results/a.json",
    "create fleet/completed/a.json",
    "delete fleet/claimed/a.json",
    "delete fleet/claimed/a.lease",
  ]);
});

Deno.test("a store without conditional deletes is looked at before each delete", async () => {
  const fleet = new Fleet({ conditionalDelete: false });
  fleet.submit("a");
  fleet.node("node-1", { once: true });
  await fleet.run();
  assert.deepEqual(fleet.bucketKeys, ["fleet/completed/a.json", "fleet/results/a.json"]);
  const requests = claimRequests(fleet);
  for (const [index, request] of requests.entries()) {
    if (request.startsWith("delete")) {
      assert.equal(requests[index - 1], request.replace("delete", "head"));
    }
  }
  assert.equal(requests.length, 12);
});

Deno.test("a spec whose supervisor exits with 3 is filed as failed, with the exit code", async () => {
  const fleet = new Fleet();
  fleet.submit("a", "x");
  fleet.cell = () => ({ exitCode: 3 });
  fleet.node("node-1", { once: true });
  await fleet.run();
  assert.deepEqual(fleet.bucketKeys, ["fleet/failed/a.json", "fleet/results/a.json"]);
  assert.equal(fleet.text("fleet/failed/a.json"), "x");
  assert.equal(fleet.object("fleet/failed/a.json")?.metadata["cellos-exit-code"], "3");
  assert.equal(fleet.result("a")?.exitCode, 3);
});

Deno.test("a cell that runs too long is stopped, and filed as failed, reason timeout", async () => {
  const fleet = new Fleet();
  fleet.submit("a");
  fleet.cell = () => ({ durationMs: 3_600_000, termMs: Infinity });
  fleet.node("node-1", { once: true, cellTimeoutMs: 10_000 });
  await fleet.run();
  assert.equal(fleet.result("a")?.reason, "timeout");
  const [{ signals, startedMs }] = fleet.starts;
  assert.deepEqual(signals.map(({ name }) => name), ["SIGTERM", "SIGKILL"]);
  const [term, kill] = signals;
  assert.ok(Math.abs(term.atMs - startedMs - 10_000) < 100);
  assert.ok(Math.abs(kill.atMs - term.atMs - 5_000) < 100);
});

Deno.test("what is filed is what was submitted, byte for byte", async () => {
  const bodies: Record<string, Uint8Array> = {
    empty: new Uint8Array(0),
    "no-json": new TextEncoder().encode("this is not JSON"),
    binary: Uint8Array.from({ length: 256 }, (_, index) => index),
    "odd-layout": new TextEncoder().encode('\ufeff{ "b":1,\r\n\t"a":  1.0e2 }\n\n'),
  };
  const fleet = new Fleet();
  for (const [id, body] of Object.entries(bodies)) fleet.submit(id, body);
  fleet.cell = ({ specId }) => ({ exitCode: specId === "binary" ? 1 : 0 });
  fleet.node("node-1", { once: true });
  await fleet.run();
  for (const [id, body] of Object.entries(bodies)) {
    const key = fleet.keys.terminal(id === "binary" ? "failed" : "completed", id);
    assert.deepEqual(fleet.object(key)?.body, body, id);
    assert.deepEqual(fleet.starts.find(({ specId }) => specId === id)?.spec, body, id);
    assert.equal(fleet.result(id)?.specBytes, body.length);
  }
});

Deno.test("odd keys keep their names on the way, and other names are left alone", async () => {
  const ids = [
    "a b",
    "grüße/日本語 🚀",
    "a.json",
    "a.json.json",
    "deep/er/est",
    "a.lease",
    "+%?#&",
  ];
  const others = ["fleet/pending/.json", "fleet/pending/notes.txt", "fleet/pending/a.lease"];
  const fleet = new Fleet();
  for (const id of ids) fleet.submit(id);
  for (const key of others) fleet.put(key, "x");
  fleet.node("node-1", { once: true });
  await fleet.run();
  const expected = [
    ...ids.flatMap((id) => [fleet.keys.terminal("completed", id), fleet.keys.result(id)]),
    ...others,
  ];
  assert.deepEqual(fleet.bucketKeys.sort(), expected.sort());
});

Deno.test("two nodes share a queue, and each spec is run once", async () => {
  const fleet = new Fleet();
  for (let number = 0; number < 40; number++) fleet.submit(`spec-${number}`);
  fleet.node("node-1", { once: true, concurrency: 4 });
  fleet.node("node-2", { once: true, concurrency: 4 });
  await fleet.run();
  assert.equal(new Set(fleet.starts.map(({ specId }) => specId)).size, 40);
  assert.equal(fleet.starts.length, 40);
  assert.equal(new Set(fleet.starts.map(({ node }) => node)).size, 2);
  assert.equal(fleet.bucketKeys.filter((key) => key.startsWith("fleet/completed/")).length, 40);
  assert.equal(fleet.bucketKeys.length, 80);
});

Deno.test("a spec moved back from failed/ to pending/ by hand runs again, with its history", async () => {
  const fleet = new Fleet();
  fleet.submit("a");
  fleet.cell = () => ({ exitCode: fleet.starts.length === 0 ? 7 : 0 });
  const node = fleet.node();
  fleet.at(20_000, () => {
    const { body } = fleet.object("fleet/failed/a.json")!;
    fleet.put("fleet/pending/a.json", body);
    fleet.remove("fleet/failed/a.json");
  });
  fleet.at(40_000, () => node.drain());
  await fleet.run();
  assert.deepEqual(fleet.bucketKeys, ["fleet/completed/a.json", "fleet/results/a.json"]);
  assert.equal(fleet.starts.length, 2);
  assert.deepEqual(fleet.result("a")?.earlierRuns.map(({ exitCode }) => exitCode), [7]);
});

Deno.test("a spec removed from pending/ by hand before it is claimed does not run", async () => {
  const fleet = new Fleet();
  fleet.submit("a");
  // Between the listing that shows it and the claim's own look.
  fleet.fault = ({ operation, key }) => {
    if (operation === "create" && key === "fleet/claimed/a.lease") {
      fleet.remove("fleet/pending/a.json");
    }
    return undefined;
  };
  fleet.node("node-1", { once: true });
  await fleet.run();
  assert.equal(fleet.starts.length, 0);
  assert.deepEqual(fleet.bucketKeys, []);
});
