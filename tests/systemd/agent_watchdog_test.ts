/** An agent under systemd, of which the tests play the part: notify socket, watchdog and all. */
import assert from "node:assert/strict";
import { type Fleet, scenarios } from "../process/fleet.ts";
import { processTable } from "../process/process_table.ts";
import { waitUntil } from "../process/wait_until.ts";
import { NotifySocket } from "./notify_socket.ts";

const WATCHDOG_MS = 3_000;
/** On node a a cell that never ends by itself, with a child of its own; elsewhere one that succeeds. */
const ENDLESS_ON_A = "[ $CELLOS_FLEET_NODE_ID = a ] || exit 0; sleep 1000 & sleep 1000";

const installed = await new Deno.Command("sh", { args: ["-c", "command -v systemd-notify"] })
  .output().then(({ success }) => success);

function environmentOf(socket: NotifySocket): Record<string, string> {
  return { NOTIFY_SOCKET: socket.path, WATCHDOG_USEC: String(WATCHDOG_MS * 1_000) };
}

/** What systemd does with `WatchdogSignal=SIGKILL`. */
async function killWhenPingsStop(pid: number, socket: NotifySocket): Promise<void> {
  await waitUntil("the watchdog's time is over", () => {
    return performance.now() - socket.lastPingMs > WATCHDOG_MS;
  });
  Deno.kill(pid, "SIGKILL");
}

async function frozenAgent(fleet: Fleet): Promise<void> {
  await using socket = await NotifySocket.open(fleet.path("notify"));
  // A multiple of what the watchdog and the kill grace take.
  const settings = { LEASE_TTL_MS: 15_000, KILL_GRACE_MS: 500 };
  fleet.submit("interrupted", { run: ENDLESS_ON_A });
  const a = fleet.agent("a", settings, { environment: environmentOf(socket) });
  const group = await fleet.untilRunning("interrupted");
  await socket.untilTold("READY=1");
  await socket.untilTold("WATCHDOG=1");
  await socket.untilTold("STATUS=busy, 1 of 1 slots in use");
  assert.deepEqual(a.logged(/^watchdog of /), []);
  const b = fleet.agent("b", settings);
  await b.untilLogged("polled");

  a.signal("SIGSTOP");
  await killWhenPingsStop(a.pid, socket);
  await waitUntil("the frozen agent's cell is gone", async () => {
    return (await processTable()).every((entry) => entry.group !== group);
  });
  assert.equal(fleet.ledger.of("start").length, 1, "gone before another node starts the spec");
  const result = await fleet.untilFiled("interrupted");
  assert.deepEqual([result.node, result.attempt], ["b", 2]);
  fleet.judge();
}

async function orderlyLife(fleet: Fleet): Promise<void> {
  await using socket = await NotifySocket.open(fleet.path("notify"));
  fleet.submit("short", { run: "[ -z ${NOTIFY_SOCKET}${WATCHDOG_USEC} ] || exit 9; gate go" });
  const agent = fleet.agent("a", {}, { environment: environmentOf(socket) });
  await fleet.untilRunning("short");
  await socket.untilTold("WATCHDOG=1");
  assert.ok(!socket.assignments.includes("STOPPING=1"));
  agent.signal("SIGTERM");
  await socket.untilTold("STOPPING=1");
  await socket.untilTold("STATUS=draining, 1 of 1 slots in use");
  const pings = () => socket.assignments.filter((told) => told === "WATCHDOG=1").length;
  const before = pings();
  await waitUntil("pings go on while the agent drains", () => pings() > before);
  fleet.open("go");
  assert.equal(await agent.exitCode(), 0);
  assert.equal(fleet.result("short").exitCode, 0, "cells are not told of the notify socket");
  const lifeCycle = socket.assignments.filter((told) => /^(READY|STOPPING)=/.test(told));
  assert.deepEqual(lifeCycle, ["READY=1", "STOPPING=1"]);
  assert.deepEqual(agent.logged(/systemd/), []);
}

async function longWatchdog(fleet: Fleet): Promise<void> {
  await using socket = await NotifySocket.open(fleet.path("notify"));
  const environment = { NOTIFY_SOCKET: socket.path, WATCHDOG_USEC: "300000000" };
  const agent = fleet.agent("a", { LEASE_TTL_MS: 60_000, KILL_GRACE_MS: 500 }, { environment });
  const [line] = await agent.untilLogged(/^watchdog of /);
  assert.deepEqual([line.level, line.fields.message], [
    "WARN",
    "watchdog of 300000 ms does not end a frozen agent before another node starts its specs: set " +
    "WatchdogSec to at most 36500 ms",
  ]);
}

scenarios(`an agent under systemd${installed ? "" : " (not tested: no systemd-notify here)"}`, [
  {
    name:
      "is frozen: the watchdog kills it, its guard ends its cell, and only then another agent " +
      "starts the spec",
    ignore: !installed,
    run: frozenAgent,
  },
  {
    name: "tells when it is ready and stopping, goes on pinging while it drains, and keeps the " +
      "socket from its cells",
    ignore: !installed,
    run: orderlyLife,
  },
  { name: "warns of a watchdog that is longer than its leases allow", run: longWatchdog },
]);
