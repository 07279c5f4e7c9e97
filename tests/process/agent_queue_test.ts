/** Many specs, many foreign specs: what agents do with a queue. */
import assert from "node:assert/strict";
import { type Fleet, scenarios } from "./fleet.ts";
import { waitUntil } from "./wait_until.ts";

const SPECS = 200;
const FOREIGN_SPECS = 5_000;

async function sharedQueue(fleet: Fleet): Promise<void> {
  const ids = Array.from({ length: SPECS }, (_, index) => `lot-${index % 7}/spec-${index}`);
  ids.forEach((id, index) => fleet.submit(id, { run: `exit ${index % 3}` }));
  const agents = ["a", "b"].map((node) => fleet.agent(node, { CONCURRENCY: 4 }));
  await fleet.untilEmpty();
  for (const agent of agents) agent.signal("SIGTERM");
  for (const agent of agents) assert.equal(await agent.exitCode(), 0);
  fleet.judge();
  ids.forEach((id, index) => fleet.judgeRunOnce(id, index % 3));
  const nodes = new Set(fleet.ledger.of("start").map(({ node }) => node));
  assert.deepEqual([...nodes].sort(), ["a", "b"]);
  assert.deepEqual(fleet.keys("fleet/nodes/"), []);
  assert.deepEqual(fleet.keys("fleet/probe/"), []);
}

async function foreignQueue(fleet: Fleet): Promise<void> {
  for (let index = 0; index < FOREIGN_SPECS; index++) {
    fleet.submit(`foreign-${index}`, { run: "exit 0", poolId: "elsewhere" });
  }
  fleet.submit("the-one", { run: "exit 0", poolId: "here" });
  const agent = fleet.agent("a", { POOL_ID: "here", POLL_INTERVAL_MS: 500 });
  await fleet.untilFiled("the-one");
  const claimed = agent.lines.findIndex(({ fields }) => fields.message === "claiming spec");
  const polls = agent.lines.slice(0, claimed).filter(({ fields }) => fields.message === "polled");
  assert.equal(polls.length, 1, "it is claimed after the first poll");

  // A few that stood ahead of it may be left for the second poll.
  await agent.untilLogged(/^skipping spec foreign-/, FOREIGN_SPECS);
  const before = agent.logged("polled").length;
  await agent.untilLogged("polled", before + 3);
  agent.signal("SIGTERM");
  assert.equal(await agent.exitCode(), 0);
  for (const { fields } of agent.logged("polled").slice(before)) {
    assert.deepEqual([fields.listed, fields.runnable], [FOREIGN_SPECS, 0]);
  }
  const reads = new Map<string, number>();
  for (const { operation, key } of fleet.requests) {
    if (operation === "GetObject" && key.includes("/pending/foreign-")) {
      reads.set(key, (reads.get(key) ?? 0) + 1);
    }
  }
  assert.equal(reads.size, FOREIGN_SPECS);
  assert.deepEqual([...reads].filter(([, count]) => count !== 1), []);
  assert.equal(agent.logged(/^skipping spec foreign-/).length, FOREIGN_SPECS);
  fleet.judge();
  fleet.judgeRunOnce("the-one");
}

let time = Date.UTC(2026, 0, 1);

scenarios("a queue", [
  {
    name: "of 200 specs, two agents run each exactly once, and file all of them",
    run: sharedQueue,
  },
  {
    name: "with 5,000 specs for another pool ahead: the one for this pool is claimed after the " +
      "first poll, and no spec is read twice",
    now: () => time += 1_000,
    run: foreignQueue,
  },
  {
    name: "in a bucket that takes longer to list than the poll interval is worked off all the same",
    async run(fleet) {
      fleet.server.faults.add({
        action: "slow",
        delayMs: 400,
        match: { operation: "ListObjectsV2" },
      });
      fleet.submit("only", { run: "exit 0" });
      fleet.agent("a", { POLL_INTERVAL_MS: 100 });
      await fleet.untilFiled("only");
      fleet.judgeRunOnce("only");
    },
  },
  {
    name: "that stays empty ends an agent that is told to, with exit code 0, once it has waited",
    async run(fleet) {
      fleet.submit("only", { run: "exit 0" });
      const agent = fleet.agent("a", { EXIT_WHEN_IDLE_MS: 300 });
      assert.equal(await agent.exitCode(), 0);
      assert.equal(agent.logged(/^no work for 300 ms — draining/).length, 1);
      fleet.judgeRunOnce("only");
    },
  },
  {
    name: "is worked off by --once, failures included, to exit code 0",
    async run(fleet) {
      fleet.submit("good", { run: "exit 0" });
      fleet.submit("bad", { run: "exit 3" });
      fleet.submit("foreign", { run: "exit 0", poolId: "elsewhere" });
      const agent = fleet.agent("a", { POOL_ID: "here" }, { args: ["--once"] });
      assert.equal(await agent.exitCode(), 0);
      await waitUntil("both are filed", () => fleet.filings.size === 2);
      fleet.judgeRunOnce("good");
      fleet.judgeRunOnce("bad", 3);
      assert.notEqual(fleet.object("pending", "foreign"), undefined);
      fleet.judge();
    },
  },
]);
