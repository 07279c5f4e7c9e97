import assert from "node:assert/strict";
import {
  LIVES,
  pointsOf,
  REQUEST_FATES,
  runWithCrashes,
  runWithFate,
  TTL_MS,
} from "./crash_points.ts";

/** A lease may have been written at the moment of death, and requests take their time. */
const STARTED_AGAIN_WITHIN_MS = 2 * TTL_MS;

for (const life of LIVES) {
  Deno.test(`a spec that ${life.name} comes to its end wherever its node dies`, async () => {
    const { report, requests: [requests] } = await runWithCrashes(life, []);
    assert.deepEqual(report.violations, []);
    const points = pointsOf(requests);
    for (const point of points) {
      const run = await runWithCrashes(life, [point]);
      const where = `death ${point.moment} request ${point.request}`;
      assert.ok(run.reached, where);
      assert.deepEqual(run.report.violations, [], where);
      const { startedAgainAfterMs } = run;
      assert.ok(
        startedAgainAfterMs === undefined || startedAgainAfterMs <= STARTED_AGAIN_WITHIN_MS,
        `${where}: started again after ${startedAgainAfterMs} ms`,
      );
    }
    assert.ok(points.length > 10);
    console.log(`    ${points.length} crash points`);
  });
}

Deno.test("a spec is run once whatever befalls a single request of its claim", async () => {
  let runs = 0;
  for (const life of LIVES) {
    const { report: undisturbed, requests: [requests] } = await runWithCrashes(life, []);
    const plain = life.people.length === 1 && life.interruptedAtMs === undefined;
    for (let request = 1; request <= requests; request++) {
      for (const { name, passage } of REQUEST_FATES) {
        const report = await runWithFate(life, request, passage);
        const where = `${life.name}: request ${request} ${name}`;
        assert.deepEqual(report.violations, [], where);
        if (plain) assert.equal(report.cellStarts, undisturbed.cellStarts, where);
        runs++;
      }
    }
  }
  console.log(`    ${runs} runs with one faulty request`);
});

/** All pairs take half a minute; each run of the tests takes one in so many. */
const PAIR_STRIDE = Deno.env.get("CELLOS_FLEET_TEST_ALL_PAIRS") === "1" ? 1 : 8;

Deno.test("a spec comes to its end wherever its node dies, and then the node that took it over", async () => {
  let pairs = 0;
  let seen = 0;
  for (const life of LIVES) {
    const { requests: [requests] } = await runWithCrashes(life, []);
    for (const first of pointsOf(requests)) {
      const { requests: [, second] } = await runWithCrashes(life, [first]);
      for (const then of pointsOf(second)) {
        if (seen++ % PAIR_STRIDE !== 0) continue;
        const run = await runWithCrashes(life, [first, then]);
        const where = `${life.name}: death ${first.moment} request ${first.request}, then ` +
          `${then.moment} request ${then.request}`;
        assert.deepEqual(run.report.violations, [], where);
        if (run.reached) pairs++;
      }
    }
  }
  assert.ok(pairs > 5_000 / PAIR_STRIDE);
  console.log(`    ${pairs} pairs of crash points, of ${seen}`);
});
