/** The way out: what an agent does about each signal while a cell runs. */
import assert from "node:assert/strict";
import type { FaultRule } from "../../scripts/s3/faults.ts";
import { type Fleet, scenarios } from "./fleet.ts";
import type { FleetAgent } from "./fleet_agent.ts";
import { waitUntil } from "./wait_until.ts";

const STOPPED = "cellos-fleet agent stopped (drain complete)";
/** Never ends by itself, neither at SIGTERM, on node a; succeeds elsewhere. */
const DEAF_ON_A = "[ $CELLOS_FLEET_NODE_ID = a ] || exit 0; trap : TERM; while :; do sleep 1; done";

/** An agent that has been told to drain, once, while the cell `current` runs. */
async function drainingAgent(
  fleet: Fleet,
  run: string,
  signal: (agent: FleetAgent) => void,
  settings: Record<string, string | number> = {},
): Promise<FleetAgent> {
  fleet.submit("current", { run });
  const agent = fleet.agent("a", { CONCURRENCY: 2, ...settings }, { ownGroup: true });
  await fleet.untilRunning("current");
  signal(agent);
  await agent.untilLogged(/ received — draining \(no new work accepted\)$/);
  return agent;
}

function firstSignal(name: "SIGTERM" | "SIGINT", send: (agent: FleetAgent) => void) {
  return async (fleet: Fleet) => {
    const agent = await drainingAgent(fleet, "gate go", send, { LEASE_TTL_MS: 3_000 });
    fleet.submit("late", { run: "exit 0" });
    const renewals = agent.logged("lease renewed").length;
    // By then the lease would have run out.
    await agent.untilLogged("lease renewed", renewals + 4);
    const { fields } = await agent.untilBeats(3);
    assert.deepEqual([fields.state, fields.in_flight], ["draining", 1]);
    assert.equal(fleet.ledger.of("start").length, 1, "nothing new is claimed");
    fleet.open("go");
    assert.equal(await agent.exitCode(), 0);
    assert.equal(agent.lines.at(-1)?.fields.message, STOPPED);
    assert.equal(agent.logged(`${name} received — draining (no new work accepted)`).length, 1);
    fleet.judgeRunOnce("current");
    assert.deepEqual(fleet.keys("fleet/pending/"), ["fleet/pending/late.json"]);
    assert.deepEqual(fleet.keys("fleet/nodes/"), []);
    fleet.judge();
  };
}

function secondSignal(name: "SIGTERM" | "SIGINT", run: string, heard: boolean) {
  return async (fleet: Fleet) => {
    const agent = await drainingAgent(fleet, run, (agent) => agent.signal(name));
    agent.signal(name);
    assert.equal(await agent.exitCode(), 0);
    assert.equal(
      agent.logged(`second signal, ${name}, received — stopping running cells`).length,
      1,
    );
    const events = fleet.ledger.entries().map(({ event }) => event);
    assert.deepEqual(events, ["start", "running", ...(heard ? ["term", "end"] : [])]);
    assert.deepEqual(fleet.keys("fleet/claimed/"), []);
    const object = fleet.object("pending", "current");
    assert.deepEqual(object?.metadata, {}, "it is as it was submitted");
    fleet.judge();

    fleet.open("go");
    fleet.agent("b");
    const { attempt, node } = await fleet.untilFiled("current");
    assert.deepEqual([attempt, node], [1, "b"]);
    fleet.judge();
  };
}

function thirdSignal(name: "SIGTERM" | "SIGINT", exitCode: number) {
  return async (fleet: Fleet) => {
    const settings = { LEASE_TTL_MS: 4_000, KILL_GRACE_MS: 2_000 };
    const agent = await drainingAgent(fleet, DEAF_ON_A, (agent) => agent.signal(name), settings);
    agent.signal(name);
    await agent.untilLogged(/ — stopping running cells$/);
    agent.signal(name);
    assert.equal(await agent.exitCode(), exitCode);
    assert.deepEqual(agent.logged(STOPPED), []);
    assert.ok(fleet.object("claimed", "current"), "the claim is left to its lease");

    fleet.agent("b", settings);
    const result = await fleet.untilFiled("current");
    assert.deepEqual([result.attempt, result.node], [2, "b"]);
    assert.equal(fleet.filings.get("current"), 1);
    fleet.judge();
  };
}

async function drainTimeout(fleet: Fleet): Promise<void> {
  const agent = await drainingAgent(fleet, "gate never", (agent) => agent.signal("SIGTERM"), {
    DRAIN_TIMEOUT_MS: 500,
  });
  assert.equal(await agent.exitCode(), 0);
  assert.equal(agent.logged("drain timeout of 500 ms passed — stopping running cells").length, 1);
  assert.deepEqual(fleet.object("pending", "current")?.metadata, {});
  assert.deepEqual(fleet.keys("fleet/claimed/"), []);
  fleet.judge();
}

/** By a signal alone: neither an answer nor the end of a wait lets it go. */
function beforeStart(fault: FaultRule) {
  return async (fleet: Fleet) => {
    fleet.server.faults.add(fault);
    const agent = fleet.agent("a");
    await waitUntil("the bucket was asked", () => fleet.requests.length > 0);
    const signalledMs = performance.now();
    agent.signal("SIGTERM");
    assert.equal(await agent.exitCode(), 0);
    const tookMs = performance.now() - signalledMs;
    // The requests that hang would be given up after 15 s each.
    assert.ok(tookMs < 15_000, `the agent ended ${tookMs.toFixed()} ms after SIGTERM`);
  };
}

scenarios("told to stop in the middle of a cell", [
  {
    name: "SIGTERM: nothing new is claimed, heartbeat and renewals go on, the cell ends and is " +
      "filed, exit code 0",
    run: firstSignal("SIGTERM", (agent) => agent.signal("SIGTERM")),
  },
  {
    name:
      "Ctrl-C: SIGINT to the whole foreground process group drains, and does not reach the cell",
    run: firstSignal("SIGINT", (agent) => agent.signalGroup("SIGINT")),
  },
  {
    name: "second SIGTERM: the cell gets SIGTERM, and the spec is pending again as it was",
    run: secondSignal("SIGTERM", "gate go", true),
  },
  {
    name: "second SIGINT: a cell deaf to SIGTERM gets SIGKILL, and the spec is pending again",
    run: secondSignal("SIGINT", DEAF_ON_A, false),
  },
  {
    name:
      "third SIGTERM: exit code 143 at once; another agent takes over when the lease has run out",
    run: thirdSignal("SIGTERM", 143),
  },
  { name: "third SIGINT: the same with exit code 130", run: thirdSignal("SIGINT", 130) },
  { name: "the drain timeout stops the cell as a second signal would", run: drainTimeout },
  {
    name: "an agent whose bucket has answered with nothing but errors yet ends at once",
    run: beforeStart({ action: "status", status: 503 }),
  },
  {
    name: "an agent whose bucket has not answered yet ends at once",
    run: beforeStart({ action: "hang" }),
  },
]);
