import assert from "node:assert/strict";
import { drawScenario } from "./draw.ts";
import { simulate } from "./simulation.ts";

const SEEDS = 400;
const REPLAYED_SEEDS = 40;

Deno.test(`in ${SEEDS} fleets with faults drawn by seed, every promise is kept`, async () => {
  let virtualMs = 0;
  let outcomes = 0;
  for (let seed = 1; seed <= SEEDS; seed++) {
    const report = await simulate(drawScenario(seed));
    assert.deepEqual(
      report.violations,
      [],
      `seed ${seed}: deno run -A scripts/soak.ts --replay ${seed}`,
    );
    virtualMs += report.virtualMs;
    outcomes += report.outcomes;
  }
  // A fleet that does nothing keeps every promise.
  assert.ok(outcomes > SEEDS, `only ${outcomes} outcomes`);
  console.log(`    ${(virtualMs / 3_600_000).toFixed(1)} virtual hours, ${outcomes} outcomes`);
});

Deno.test("a seed replays its run exactly, event for event", async () => {
  const hashes = new Set<string>();
  for (let seed = 1; seed <= REPLAYED_SEEDS; seed++) {
    const first = await simulate(drawScenario(seed));
    const second = await simulate(drawScenario(seed));
    assert.equal(second.traceHash, first.traceHash, `seed ${seed}`);
    hashes.add(first.traceHash);
  }
  assert.equal(hashes.size, REPLAYED_SEEDS, "different seeds gave the same run");
});

Deno.test("reading a run's trace does not change the run", async () => {
  const seed = 7;
  const plain = await simulate(drawScenario(seed));
  const readable = await simulate(drawScenario(seed), { readable: true });
  assert.equal(readable.virtualMs, plain.virtualMs);
  assert.equal(readable.requests, plain.requests);
  assert.equal(readable.cellStarts, plain.cellStarts);
  assert.ok(readable.trace.length > 50);
});

Deno.test("every kind of fault is drawn, and strikes", async () => {
  const struck = new Set<string>();
  for (let seed = 1; seed <= SEEDS; seed++) {
    for (const kind of (await simulate(drawScenario(seed))).faults.keys()) struck.add(kind);
  }
  const wanted = [
    "lost",
    "reply lost",
    "late",
    "twice",
    "slow",
    "agent killed",
    "host crash",
    "drain",
    "no supervisor",
    "ambush (late answer)",
    "ambush (no answer)",
    "person: submit",
    "person: resubmit",
    "person: cancel",
    "person: retry-failed",
    "person: delete-lease",
    "person: put-claimed",
    "person: command",
    ...[409, 429, 500, 503].flatMap((status) => [
      `${status} with effect`,
      `${status} without effect`,
    ]),
    ...["host", "watchdog", "agent"].map((what) => `freeze (${what})`),
    ...["silent", "broken", "throttled", "denied"].flatMap((manner) => [
      `outage (${manner})`,
      `node cut off (${manner})`,
    ]),
  ];
  assert.deepEqual(wanted.filter((kind) => !struck.has(kind)), []);
});
