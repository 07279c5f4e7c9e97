/** Agents that are killed or frozen in the middle of a cell, and what the others make of it. */
import assert from "node:assert/strict";
import { type Fleet, scenarios } from "./fleet.ts";
import { guardsOf, processTable } from "./process_table.ts";
import { waitUntil } from "./wait_until.ts";

/** How often the measured times may exceed what they would be on a machine of their own. */
const SLACK = 5;

/** A cell that never ends by itself on node a, with a child of its own, and succeeds elsewhere. */
const ENDLESS_ON_A = "[ $CELLOS_FLEET_NODE_ID = a ] || exit 0; sleep 1000 & sleep 1000";

async function isGroupGone(group: number): Promise<boolean> {
  return (await processTable()).every((entry) => entry.group !== group);
}

async function killedAgent(fleet: Fleet): Promise<void> {
  const leaseTtlMs = 6_000;
  const settings = { LEASE_TTL_MS: leaseTtlMs, KILL_GRACE_MS: 1_000 };
  fleet.submit("interrupted", { run: ENDLESS_ON_A });
  const a = fleet.agent("a", settings);
  const group = await fleet.untilRunning("interrupted");
  const b = fleet.agent("b", settings);
  await b.untilLogged("polled");

  a.signal("SIGKILL");
  const killedMs = performance.now();
  await waitUntil("the cell's process group is gone", () => isGroupGone(group));
  const goneMs = performance.now() - killedMs;
  assert.equal(fleet.ledger.of("start", "interrupted").length, 1, "gone before the next start");
  await fleet.untilRunning("interrupted", 2);
  const againMs = performance.now() - killedMs;
  const figures =
    `cell gone after ${goneMs.toFixed()} ms, started again after ${againMs.toFixed()} ms with a lease of ${leaseTtlMs} ms`;
  console.log(figures);
  assert.ok(goneMs < SLACK * 1_000 && againMs < SLACK * 2 * leaseTtlMs, figures);

  const result = await fleet.untilFiled("interrupted");
  assert.deepEqual([result.attempt, result.node, result.exitCode], [2, "b", 0]);
  assert.deepEqual(result.attempts.map(({ attempt, node }) => [attempt, node]), [[1, "a"]]);
  assert.deepEqual(fleet.ledger.of("start").map(({ attempt, node }) => [attempt, node]), [
    [1, "a"],
    [2, "b"],
  ]);
  assert.equal(fleet.filings.get("interrupted"), 1);
  fleet.judge();
}

async function otherPool(fleet: Fleet): Promise<void> {
  const settings = { LEASE_TTL_MS: 3_000 };
  fleet.submit("blue-spec", { run: ENDLESS_ON_A, poolId: "blue" });
  const a = fleet.agent("a", { ...settings, POOL_ID: "blue" });
  await fleet.untilRunning("blue-spec");
  const green = fleet.agent("green", { ...settings, POOL_ID: "green" });
  await green.untilLogged("polled");
  a.signal("SIGKILL");
  await a.ended;
  const readsFrom = fleet.requests.length;
  await waitUntil("the other pool's agent has seen the lease dead, and looked at the spec", () => {
    return fleet.requests.slice(readsFrom).some(({ operation, key }) =>
      operation === "GetObject" && key === "fleet/claimed/blue-spec.json"
    );
  });
  const b = fleet.agent("b", { ...settings, POOL_ID: "blue" });
  const result = await fleet.untilFiled("blue-spec");
  assert.deepEqual([result.attempt, result.node], [2, "b"]);
  for (const agent of [green, b]) agent.signal("SIGTERM");
  assert.deepEqual([await green.exitCode(), await b.exitCode()], [0, 0]);
  assert.deepEqual(fleet.ledger.of("start").map(({ node }) => node), ["a", "b"]);
  assert.deepEqual(green.logged(/took the claim over/), []);
  fleet.judge();
}

async function lostTooOften(fleet: Fleet): Promise<void> {
  const settings = { LEASE_TTL_MS: 2_000, MAX_ATTEMPTS: 2 };
  fleet.submit("deadly", { run: "sleep 1000" });
  for (const node of ["a", "b"]) {
    const agent = fleet.agent(node, settings);
    await fleet.untilRunning("deadly", node === "a" ? 1 : 2);
    agent.signal("SIGKILL");
  }
  fleet.agent("c", settings);
  const result = await fleet.untilFiled("deadly", "failed");
  assert.deepEqual([result.reason, result.attempt, result.exitCode], ["lost", 2, undefined]);
  assert.equal(fleet.ledger.of("start").length, 2);
  fleet.judge();
}

/**
 * An agent is frozen while its host and its cells go on: the one case in which two runs may overlap.
 * What happens in the meantime is up to `whileFrozen`.
 */
async function frozenAgent(
  fleet: Fleet,
  whileFrozen: (fleet: Fleet) => Promise<void>,
): Promise<void> {
  const settings = { LEASE_TTL_MS: 3_000 };
  fleet.submit("contested", { run: "[ $CELLOS_FLEET_NODE_ID = a ] || exit 0; gate go; exit 7" });
  const a = fleet.agent("a", settings);
  const group = await fleet.untilRunning("contested");
  a.signal("SIGSTOP");
  const b = fleet.agent("b", settings);
  const result = await fleet.untilFiled("contested");
  b.signal("SIGTERM");
  assert.equal(await b.exitCode(), 0);
  await whileFrozen(fleet);

  a.signal("SIGCONT");
  await waitUntil("the first run's process group is gone", () => isGroupGone(group));
  fleet.submit("next", { run: "exit 0" });
  await fleet.untilFiled("next");
  a.signal("SIGTERM");
  assert.equal(await a.exitCode(), 0);
  assert.deepEqual([result.node, result.attempt, result.exitCode], ["b", 2, 0]);
  assert.deepEqual(fleet.result("contested"), result);
  assert.equal(fleet.filings.get("contested"), 1);
  assert.equal(fleet.result("next").node, "a");
  fleet.judge({ mayOverlap: true });
  assert.deepEqual(fleet.keys("fleet/claimed/"), []);
}

async function killedGuard(fleet: Fleet): Promise<void> {
  fleet.submit("guarded", { run: "sleep 1000 & sleep 1000" });
  const agent = fleet.agent("a");
  const group = await fleet.untilRunning("guarded");
  const [guard] = await guardsOf(agent.pid);
  Deno.kill(guard.pid, "SIGKILL");
  const [line] = await agent.untilLogged(/^guard process ended, starting another/);
  assert.equal(line.level, "ERROR");
  await waitUntil("there is another guard", async () => {
    const guards = await guardsOf(agent.pid);
    return guards.length === 1 && guards[0].pid !== guard.pid;
  });
  assert.equal(await isGroupGone(group), false, "the cell goes on");
  agent.signal("SIGKILL");
  await agent.ended;
  await waitUntil("the new guard has ended the cell", () => isGroupGone(group));
  assert.deepEqual(fleet.ledger.of("end"), []);
  fleet.judge();
}

scenarios("an agent in the middle of a cell", [
  {
    name: "is killed: its cell is gone within the grace, another agent starts the spec again as " +
      "attempt 2, and it is filed once",
    run: killedAgent,
  },
  { name: "is killed: an agent of another pool leaves the spec alone", run: otherPool },
  {
    name: "is killed, and so is the next one: after the last attempt the spec is failed as lost",
    run: lostTooOften,
  },
  {
    name: "is stopped for longer than its lease: when it is continued it ends its cell, files " +
      "nothing, and goes on with other specs",
    run: (fleet) => frozenAgent(fleet, () => Promise.resolve()),
  },
  {
    name: "is stopped for longer than its lease, and its cell ends meanwhile: the other agent's " +
      "outcome stands",
    run: (fleet) =>
      frozenAgent(fleet, async () => {
        fleet.open("go");
        await waitUntil("the first run has ended", () => fleet.ledger.of("end").length === 2);
      }),
  },
  { name: "loses its guard: another one takes over and ends the cell with it", run: killedGuard },
]);
