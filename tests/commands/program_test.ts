/** The operator's commands as real processes, beside real agents, against the embedded S3 server. */
import assert from "node:assert/strict";
import type { StatusReport } from "../../lib/commands/status_report.ts";
import { decodeResult } from "../../lib/core/result.ts";
import { Bench, until } from "./program.ts";

Deno.test("submit --wait follows a spec through an agent, to its exit code and its output", async () => {
  await using bench = new Bench();
  bench.start(["agent"], "null");
  const failed = await bench.run(["submit", "--id", "job", "--wait"], '{"spec":{"exit":7}}');
  assert.equal(failed.code, 7, failed.err);
  assert.match(
    failed.out,
    /^job\nfailed, exit code 7, on node-a, \d+ (ms|s)\nstdout, \d+ bytes:\n/,
  );
  assert.match(failed.out, /\n {2}job: done, exit code 7\n$/);
  const again = await bench.run(["submit", "--id", "job"], "{}");
  assert.deepEqual([again.code, again.out], [1, ""]);
  const completed = await bench.run(["submit", "--id", "job", "--again", "--wait"], '{"spec":{}}');
  assert.equal(completed.code, 0, completed.err);
  assert.match(completed.out, /^job\ncompleted, exit code 0, on node-a/);
});

Deno.test("a failed spec is requeued, run again, and keeps its history", async () => {
  await using bench = new Bench();
  bench.put("pending/job.json", '{"spec":{"exit":1}}');
  assert.equal((await bench.run(["agent", "--once"])).code, 0);
  assert.deepEqual(await bench.run(["requeue", "--all-failed"]), {
    code: 0,
    out: "job: requeued, had failed\n",
    err: "",
  });
  assert.equal((await bench.run(["agent", "--once"])).code, 0);
  const record = decodeResult(new TextEncoder().encode(bench.body("results/job.json")));
  assert.deepEqual([record?.exitCode, record?.earlierRuns.length], [1, 1]);
  assert.deepEqual(bench.keys(), ["failed/job.json", "results/job.json"]);
});

Deno.test("cancel --wait stops a running cell; cancel takes a pending spec out at once", async () => {
  await using bench = new Bench();
  bench.start(["agent"], "null");
  bench.put("pending/running.json", '{"spec":{"sleep":3600}}');
  await until("the spec is claimed", () => bench.body("claimed/running.json") !== undefined);
  bench.put("pending/waiting.json", '{"spec":{}}');
  const waiting = await bench.run(["cancel", "waiting"]);
  assert.deepEqual([waiting.code, waiting.out], [0, "waiting: cancelled, was pending\n"]);
  const running = await bench.run(["cancel", "--wait", "running"]);
  assert.deepEqual(running, {
    code: 0,
    out: "running: cancelled on node-a\n",
    err: "cellos-fleet: running: node-a was asked to stop it\n",
  });
  assert.equal(bench.body("failed/running.json"), '{"spec":{"sleep":3600}}');
});

Deno.test("status shows a live fleet, and --check tells what needs a person", async () => {
  await using bench = new Bench();
  bench.start(["agent"], "null");
  bench.put("pending/job.json", '{"spec":{"sleep":3600}}');
  await until("the spec is claimed", () => bench.body("claimed/job.json") !== undefined);
  await until("there is a node record", () => bench.body("nodes/node-a.json") !== undefined);
  const { code, out, err } = await bench.run(["status", "--json"]);
  assert.deepEqual([code, err], [0, ""]);
  const report: StatusReport = JSON.parse(out);
  assert.deepEqual(report.running.map(({ specId, node }) => [specId, node]), [["job", "node-a"]]);
  assert.deepEqual(report.nodes.map(({ node, silent }) => [node, silent]), [["node-a", false]]);
  // The Date header of the answer, not this host's clock.
  assert.match(report.at, /:\d\d\.000Z$/);
  bench.put("claimed/left.json", "{}");
  const check = await bench.run(["status", "--check"]);
  assert.equal(check.code, 1);
  assert.match(check.out, /Needs a person\n {2}left has been claimed without a lease/);
  assert.equal((await bench.run(["requeue", "--leaseless", "left"])).code, 0);
});

Deno.test("many lines are submitted by one process, each under an id of its own", async () => {
  await using bench = new Bench();
  const lines = Array.from({ length: 500 }, (_, index) => `{"n":${index}}\n`).join("");
  const { code, out, err } = await bench.run(["submit", "--lines"], lines);
  assert.deepEqual([code, err], [0, "cellos-fleet: Submitted 500 of 500 specs\n"]);
  const ids = out.trimEnd().split("\n");
  assert.deepEqual(bench.keys(), ids.map((id) => `pending/${id}.json`));
  assert.deepEqual(ids.map((id) => bench.body(`pending/${id}.json`)), lines.trim().split("\n"));
});

Deno.test("doctor finds nothing wrong on a sound node, and leaves nothing behind", async () => {
  await using bench = new Bench();
  const { code, out, err } = await bench.run(["doctor"]);
  assert.deepEqual([code, err], [0, ""], out);
  assert.ok(out.trimEnd().split("\n").every((line) => line.startsWith("ok ")), out);
  assert.deepEqual(bench.keys(), []);
});

Deno.test("doctor names credentials that are refused, a missing supervisor, and an unsafe store", async () => {
  await using refused = new Bench({ CELLOS_FLEET_SUPERVISOR: "/nonexistent" }, {
    denyAccessKeys: ["test"],
  });
  const first = await refused.run(["doctor"]);
  assert.equal(first.code, 1);
  assert.match(first.out, /^failed {3}bucket .*credentials are not valid \(InvalidAccessKeyId/m);
  assert.match(first.out, /^skipped {2}round trips +needs: bucket$/m);
  assert.match(first.out, /^failed {3}supervisor +Could not find the supervisor \/nonexistent\n/m);
  await using unsafe = new Bench({}, {
    conditions: { create: false, replace: true, delete: true },
  });
  const second = await unsafe.run(["doctor"]);
  assert.equal(second.code, 1);
  assert.match(second.out, /^failed {3}conditional writes .*does not honour conditional writes/m);
  assert.match(second.out, /^failed {3}simultaneous writes .*16 of 16 simultaneous/m);
  assert.deepEqual(unsafe.keys(), []);
});

Deno.test("commands end with 69 where the bucket cannot be used, with 75 where it does not answer", async () => {
  await using bench = new Bench({ CELLOS_FLEET_BUCKET: "nowhere" });
  const missing = await bench.run(["status"]);
  assert.deepEqual([missing.code, missing.out], [69, ""]);
  assert.match(missing.err, /^cellos-fleet: Cannot list .*there is no such bucket/);
  await bench.server.close();
  const silent = await bench.run(["submit"], "{}");
  assert.deepEqual([silent.code, silent.out], [75, ""]);
  assert.match(
    silent.err,
    /did not say whether [0-9a-f-]{36} is stored: .*refused; submit it again/,
  );
});

Deno.test("a wrong configuration ends every command with 78, and completions need none", async () => {
  await using bench = new Bench({ CELLOS_FLEET_BUCKET: "" });
  const { code, err } = await bench.run(["status"]);
  assert.equal(code, 78);
  assert.match(err, /CELLOS_FLEET_BUCKET is not set/);
  assert.equal((await bench.run(["completions", "bash"])).code, 0);
});

Deno.test("Ctrl-C ends the waiting with 130, and not the spec", async () => {
  await using bench = new Bench();
  const child = bench.start(["submit", "--id", "job", "--wait"]);
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode("{}"));
  await writer.close();
  await until("the spec is pending", () => bench.body("pending/job.json") !== undefined);
  child.kill("SIGINT");
  const { code, stderr } = await child.output();
  assert.equal(code, 130);
  assert.match(new TextDecoder().decode(stderr), /No longer waiting for job, which goes on/);
  assert.deepEqual(bench.keys(), ["pending/job.json"]);
});

Deno.test("a reader that goes away ends a command quietly", async () => {
  await using bench = new Bench();
  const { err } = await bench.bash('{ $PROGRAM status </dev/null; echo "code $?" >&2; } | true');
  assert.equal(err, "code 141\n");
});
