/** A bucket that loses answers, hangs, dies and comes back, and what becomes of the specs. */
import assert from "node:assert/strict";
import type { FaultRule } from "../../scripts/s3/faults.ts";
import type { RequestLogEntry } from "../../scripts/s3/statistics.ts";
import { type Fleet, scenarios } from "./fleet.ts";
import { waitUntil } from "./wait_until.ts";

/** What may become of a write: done or not, with an answer that misleads or with none. */
const LOST_ANSWERS: Readonly<Record<string, FaultRule>> = {
  "drop-reply": { action: "drop-reply" },
  "lose-request": { action: "lose-request" },
  "hang-stored": { action: "hang", stored: true },
  "error-stored": { action: "status", status: 500, stored: true },
  "conflict": { action: "status", status: 409 },
};

function isConditional({ ifMatch, ifNoneMatch }: RequestLogEntry): boolean {
  return ifMatch !== undefined || ifNoneMatch !== undefined;
}

/** Counts the conditional writes on keys that hold `part`, and lets a fault strike the nth. */
function strike(fleet: Fleet, part: string, nth: number, fault: FaultRule): { seen: number } {
  const count = { seen: 0 };
  const arm = () => {
    if (count.seen !== nth - 1) return;
    fleet.server.faults.add({
      ...fault,
      times: 1,
      match: { conditional: true, keyContains: part },
    });
  };
  const others = fleet.onRequest;
  fleet.onRequest = (entry) => {
    others(entry);
    if (!entry.key.includes(part) || !isConditional(entry)) return;
    count.seen++;
    arm();
  };
  arm();
  return count;
}

async function lostAnswers(fleet: Fleet): Promise<void> {
  const plain = strike(fleet, "/plain.", Infinity, { action: "drop-reply" });
  fleet.submit("plain", { run: "exit 0" });
  const settings = { LEASE_TTL_MS: 9_000, CONCURRENCY: 32 };
  fleet.agent("a", settings);
  await fleet.untilFiled("plain");
  // Lease, claimed, pending's delete, commit, result, terminal, claimed's delete, lease's delete.
  assert.equal(plain.seen, 8, "conditional writes of a claim");

  const struck: { id: string; nth: number; count: { seen: number } }[] = [];
  for (const [name, fault] of Object.entries(LOST_ANSWERS)) {
    for (let nth = 1; nth <= plain.seen; nth++) {
      const id = `${name}-${nth}`;
      struck.push({ id, nth, count: strike(fleet, `/${id}.`, nth, fault) });
    }
  }
  for (const { id } of struck) fleet.submit(id, { run: "exit 0" });
  fleet.agent("b", settings);
  await fleet.untilEmpty();
  fleet.judge();
  for (const { id, nth, count } of struck) {
    fleet.judgeRunOnce(id);
    assert.ok(count.seen >= nth, `write ${nth} of ${id} was struck`);
  }
  assert.deepEqual(fleet.server.faults.rules, []);
}

async function lostAnswersOfProbe(fleet: Fleet): Promise<void> {
  const plain = strike(fleet, "/probe/", Infinity, { action: "drop-reply" });
  const once = () => fleet.agent("a", {}, { args: ["--once"] }).exitCode();
  assert.equal(await once(), 0);
  const writes = plain.seen;
  assert.ok(writes >= 5, `the probe makes ${writes} conditional writes`);
  for (let nth = 1; nth <= writes; nth++) {
    strike(fleet, "/probe/", nth, { action: "drop-reply" });
    fleet.submit(`after-${nth}`, { run: "exit 0" });
    assert.equal(await once(), 0, `the agent starts although answer ${nth} was lost`);
    fleet.judgeRunOnce(`after-${nth}`);
    fleet.onRequest = () => {};
  }
  assert.deepEqual(fleet.server.faults.rules, []);
}

/** The bucket hangs for node a only; node b reaches it by another server. */
async function hungForOne(fleet: Fleet): Promise<void> {
  const settings = { LEASE_TTL_MS: 3_000 };
  fleet.submit("held", { run: "[ $CELLOS_FLEET_NODE_ID = a ] || exit 0; sleep 1000 & sleep 1000" });
  const a = fleet.agent("a", settings);
  await fleet.untilRunning("held");
  const b = fleet.agent("b", settings, { server: fleet.startServer() });
  await b.untilLogged("polled");
  fleet.server.faults.add({ action: "hang" });
  const result = await fleet.untilFiled("held");
  assert.deepEqual([result.node, result.attempt], ["b", 2]);
  const events = fleet.ledger.entries().map(({ event, node }) => `${event} on ${node}`);
  assert.deepEqual(events, [
    "start on a",
    "running on a",
    "term on a",
    "end on a",
    "start on b",
    "running on b",
    "end on b",
  ]);
  b.signal("SIGTERM");
  assert.equal(await b.exitCode(), 0);

  // What hangs would hang on; a restart cuts it.
  await fleet.server.close();
  fleet.server = fleet.startServer(fleet.server.port);
  fleet.submit("next", { run: "exit 0" });
  await fleet.untilFiled("next");
  a.signal("SIGTERM");
  assert.equal(await a.exitCode(), 0);
  fleet.judgeRunOnce("next");
  assert.deepEqual(fleet.result("held"), result, "node a has filed nothing more");
  assert.equal(fleet.filings.get("held"), 1);
  fleet.judge();
}

/** With nobody else about, a hung bucket costs a run under strict fencing, but no attempt. */
async function hungForAll(fleet: Fleet): Promise<void> {
  fleet.submit("held", { run: "gate go" });
  fleet.agent("a", { LEASE_TTL_MS: 3_000 });
  await fleet.untilRunning("held");
  fleet.server.faults.add({ action: "hang" });
  await waitUntil("the cell was ended", () => fleet.ledger.of("end").length === 1);
  fleet.server.faults.clear();
  await fleet.untilRunning("held", 2);
  fleet.open("go");
  const { attempt, earlierRuns } = await fleet.untilFiled("held");
  assert.deepEqual([attempt, earlierRuns], [1, []]);
  assert.equal(fleet.filings.get("held"), 1);
  fleet.judge();
}

async function confirmedFence(fleet: Fleet): Promise<void> {
  fleet.submit("held", { run: "gate go" });
  const agent = fleet.agent("a", { LEASE_TTL_MS: 3_000, FENCE: "confirmed" });
  await fleet.untilRunning("held");
  fleet.server.faults.add({ action: "hang" });
  await waitUntil("the lease could not be renewed for longer than it lasts", () => {
    return agent.logged(/^could not renew the lease/).some(({ fields }) =>
      Number(fields.trust_left_ms) < 0
    );
  });
  fleet.server.faults.clear();
  await agent.untilLogged("lease renewed", agent.logged("lease renewed").length + 1);
  fleet.open("go");
  await fleet.untilFiled("held");
  fleet.judgeRunOnce("held");
  fleet.judge();
}

/** A cell ends while the bucket is away; it comes back, and another node has been waiting too. */
async function endedInOutage(fleet: Fleet): Promise<void> {
  const settings = { LEASE_TTL_MS: 4_000, FENCE: "confirmed" };
  fleet.submit("held", { run: "gate go; exit 3" });
  const a = fleet.agent("a", settings);
  await fleet.untilRunning("held");
  const b = fleet.agent("b", settings);
  await b.untilLogged("polled");
  const { port } = fleet.server;
  await fleet.server.close();
  fleet.open("go");
  await waitUntil("the bucket has been away for longer than the lease lasts", () => {
    const tries = a.logged(/^could not change the lease/).map(({ timestamp }) => timestamp);
    return tries.length > 1 &&
      Date.parse(tries.at(-1)!) - Date.parse(tries[0]) > settings.LEASE_TTL_MS;
  });
  fleet.server = fleet.startServer(port);
  await fleet.untilFiled("held", "failed");
  fleet.judgeRunOnce("held", 3);
  fleet.judge();
}

async function restarts(fleet: Fleet): Promise<void> {
  const settings = { LEASE_TTL_MS: 5_000, CONCURRENCY: 3 };
  const agents = ["a", "b"].map((node) => fleet.agent(node, settings));
  const { port } = fleet.server;
  const long = ["long-1", "long-2"];
  for (const id of long) fleet.submit(id, { run: "gate go" });
  for (const id of long) await fleet.untilRunning(id);
  await fleet.server.close();
  await waitUntil("the long cells were ended", () => fleet.ledger.of("end").length === 2);
  fleet.server = fleet.startServer(port);
  for (const agent of agents) await agent.untilLogged("bucket usable again");
  fleet.open("go");

  const short = Array.from({ length: 40 }, (_, index) => `short-${index}`);
  for (const id of short) fleet.submit(id, { run: "sleep 0.1" });
  for (const filed of [5, 15, 25]) {
    await waitUntil(`${filed} specs are filed`, () => fleet.filings.size >= filed);
    await fleet.server.close();
    const failures = agents[0].logged(/^bucket not usable/).length;
    await agents[0].untilLogged(/^bucket not usable/, failures + 1);
    fleet.server = fleet.startServer(port);
  }
  await fleet.untilEmpty();
  for (const agent of agents) agent.signal("SIGTERM");
  for (const agent of agents) assert.equal(await agent.exitCode(), 0);
  fleet.judge();
  for (const id of [...long, ...short]) {
    const ended = fleet.ledger.of("end", id).filter(({ detail }) => detail === "0");
    assert.equal(ended.length, 1, `${id} came to its end once`);
    assert.equal(fleet.filings.get(id), 1, `${id} was filed once`);
    assert.equal(fleet.result(id).status, "completed");
  }
}

scenarios("a bucket", [
  {
    name: "whose answer is lost, at any conditional write of a claim: the spec is run exactly once",
    run: lostAnswers,
  },
  {
    name: "whose answer is lost, at any conditional write of the probe: the agent starts",
    run: lostAnswersOfProbe,
  },
  {
    name: "that hangs for one node: its cell is ended before another node starts the spec again",
    run: hungForOne,
  },
  {
    name: "that hangs for all: the cell is ended, and started again when it answers, at no attempt",
    run: hungForAll,
  },
  {
    name: "that hangs: with confirmed fencing, the cell goes on and is filed when it answers again",
    run: confirmedFence,
  },
  {
    name: "that is away while a cell ends: the outcome is filed, and the spec is not run again",
    run: endedInOutage,
  },
  {
    name: "that dies and comes back: agents recover by themselves, nothing is lost or doubled",
    run: restarts,
  },
]);
