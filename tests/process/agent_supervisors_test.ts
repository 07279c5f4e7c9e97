/** Supervisors that misbehave, or are not there: nothing of theirs holds up anything else. */
import assert from "node:assert/strict";
import { type Fleet, scenarios, SUPERVISOR } from "./fleet.ts";
import { processTable } from "./process_table.ts";
import { waitUntil } from "./wait_until.ts";

const FLOOD_PIECES = 10;
const FLOOD_PIECE_BYTES = 20_000_000;
/** An agent needs about 100 MB; one that kept the output would need twice the flood and more. */
const MEMORY_BOUND_KB = 400_000;

async function memoryKb(pid: number): Promise<number> {
  const { stdout } = await new Deno.Command("ps", { args: ["-o", "rss=", "-p", `${pid}`] })
    .output();
  return Number(new TextDecoder().decode(stdout));
}

/** The flood goes on, 200 MB at least, until everything else has been seen to go on beside it. */
async function flood(fleet: Fleet): Promise<void> {
  const piece = `head -c ${FLOOD_PIECE_BYTES} /dev/zero | tr '[:cntrl:]' x`;
  fleet.submit("flood", {
    run: `n=0; until [ $n -ge ${FLOOD_PIECES} -a -e $FLEET_TEST_FOLDER/go ]; do ${piece}; ` +
      `n=$((n + 1)); done`,
  });
  const agent = fleet.agent("a", { CONCURRENCY: 2 });
  await fleet.untilRunning("flood");
  let mostKb = 0;
  const watch = setInterval(async () => mostKb = Math.max(mostKb, await memoryKb(agent.pid)), 100);
  try {
    for (let index = 0; index < 3; index++) {
      fleet.submit(`beside-${index}`, { run: "exit 0" });
      await fleet.untilFiled(`beside-${index}`);
    }
    await agent.untilBeats(5);
    assert.deepEqual(fleet.ledger.of("end", "flood"), []);
    fleet.open("go");
    await fleet.untilFiled("flood");
  } finally {
    clearInterval(watch);
  }
  const { stdout } = fleet.result("flood");
  assert.ok(stdout.bytes >= FLOOD_PIECES * FLOOD_PIECE_BYTES, `${stdout.bytes} bytes were written`);
  assert.equal(stdout.tail, "x".repeat(8192));
  const beats = agent.logged("heartbeat").map(({ timestamp }) => Date.parse(timestamp));
  const longestMs = Math.max(...beats.slice(1).map((at, index) => at - beats[index]));
  const figures = `${stdout.bytes} bytes without a line's end: at most ${mostKb} kB of memory, ` +
    `heartbeats every 200 ms at most ${longestMs} ms apart`;
  console.log(figures);
  assert.ok(mostKb > 0 && mostKb < MEMORY_BOUND_KB, figures);
  assert.ok(longestMs < 5_000, figures);
  fleet.judgeRunOnce("flood");
  fleet.judge();
}

/** A daemon holds the pipes of a cell that is over. */
async function daemon(fleet: Fleet): Promise<void> {
  fleet.submit("daemon", {
    run: "setsid sleep 1000 & note daemon $!; " +
      "until [ $(ps -o sid= -p $!) = $! ]; do sleep 0.05; done; exit 4",
  });
  fleet.submit("next", { run: "exit 0" });
  const agent = fleet.agent("a");
  await fleet.untilFiled("daemon", "failed");
  await fleet.untilFiled("next");
  const noted = fleet.ledger.entries().find(({ event }) => String(event) === "daemon");
  const pid = Number(noted?.detail);
  const left = (await processTable()).find((entry) => entry.pid === pid);
  assert.equal(left?.command, "sleep 1000");
  Deno.kill(pid, "SIGKILL");
  agent.signal("SIGTERM");
  assert.equal(await agent.exitCode(), 0);
  assert.equal(fleet.result("daemon").exitCode, 4);
  fleet.judgeRunOnce("next");
  fleet.judge();
}

async function timeout(fleet: Fleet): Promise<void> {
  fleet.submit("deaf", { run: "trap '' TERM; sleep 1000 & sleep 1000; sleep 1000" });
  fleet.submit("heard", { run: "gate never" });
  fleet.agent("a", { CELL_TIMEOUT_MS: 1_000, CONCURRENCY: 2 });
  const [deaf, heard] = await Promise.all([
    fleet.untilFiled("deaf", "failed"),
    fleet.untilFiled("heard", "failed"),
  ]);
  assert.deepEqual([deaf.reason, deaf.signal, deaf.attempt], ["timeout", "SIGKILL", 1]);
  assert.deepEqual([heard.reason, heard.exitCode, heard.attempt], ["timeout", 143, 1]);
  assert.equal(fleet.ledger.of("start").length, 2);
  const groups = new Set(fleet.ledger.of("start").map(({ pid }) => pid));
  const left = (await processTable()).filter(({ group }) => groups.has(group));
  assert.deepEqual(left, []);
  fleet.judge();
}

async function missing(fleet: Fleet): Promise<void> {
  fleet.submit("patient", { run: "exit 0" });
  const path = fleet.path("supervisor");
  const agent = fleet.agent("a", { SUPERVISOR: path });
  const [line] = await agent.untilLogged(/^supervisor cannot be started: /, 2);
  assert.equal(line.level, "ERROR");
  assert.match(line.fields.message, /Could not start the supervisor .*: .*No such file/);
  await waitUntil("the heartbeat says that the node backs off", () => {
    return agent.logged("heartbeat").at(-1)?.fields.state === "backing-off";
  });
  assert.deepEqual(fleet.object("pending", "patient")?.metadata, {});
  assert.deepEqual(fleet.keys("fleet/claimed/"), []);
  assert.equal(agent.logged("spec claimed").length, 1, "no further claim is made in vain");

  await Deno.symlink(SUPERVISOR, path);
  await fleet.untilFiled("patient");
  await agent.untilLogged("supervisor can be started again");
  const { fields } = await agent.untilBeats(2);
  assert.equal(fields.state, "idle");
  fleet.judgeRunOnce("patient");
  fleet.judge();
}

scenarios("a supervisor", [
  {
    name: "that writes 200 MB without a line's end: memory is bounded, other cells and the " +
      "heartbeat go on",
    run: flood,
  },
  {
    name: "that leaves a daemon holding its pipes: the cell is filed, the next one run",
    run: daemon,
  },
  {
    name: "that is deaf to SIGTERM at its timeout is killed with all it started; one that hears " +
      "it ends by itself",
    run: timeout,
  },
  {
    name: "that is not there: the node says so and backs off, the spec stays pending, and is run " +
      "once when it is",
    run: missing,
  },
]);
