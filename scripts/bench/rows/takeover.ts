/** Row 8: from the SIGKILL of an agent to the start of its spec on another node. */
import { AgentProcess } from "../agent_process.ts";
import { BucketProcess } from "../bucket_process.ts";
import { type Figure, single } from "../figures.ts";
import { pause } from "../line_process.ts";
import type { Setting } from "../setting.ts";
import { summary } from "../statistics.ts";

const LEASE_TTL_MS = 3_000;
const KILL_GRACE_MS = 500;
/** Of the lease's lifetime, as guaranteed. */
const MOST_LIFETIMES = 2;

export async function takeoverRow(setting: Setting): Promise<Figure[]> {
  const times: number[] = [];
  for (let round = 1; round <= setting.rounds; round++) {
    setting.progress(`takeover, round ${round} of ${setting.rounds}`);
    times.push(await oneTakeover(setting));
  }
  const value = summary(times);
  return [{
    row: 8,
    name: "SIGKILL to the start elsewhere",
    unit: "ms",
    value,
    against: {
      name: "a lease's lifetime",
      value: single(LEASE_TTL_MS),
      ratio: summary(times.map((ms) => ms / LEASE_TTL_MS)),
    },
    aim: {
      text: `at most ${MOST_LIFETIMES}, always`,
      met: value.max <= MOST_LIFETIMES * LEASE_TTL_MS,
    },
  }];
}

async function oneTakeover(setting: Setting): Promise<number> {
  await using bucket = await BucketProcess.start();
  // `/dev/stdin` is what a supervisor gets as its argument; `tail -f` of it never ends.
  const settings = {
    SUPERVISOR: "tail",
    SUPERVISOR_ARGS: "-f /dev/null",
    LEASE_TTL_MS,
    KILL_GRACE_MS,
    POLL_INTERVAL_MS: 300,
  };
  const start = (node: string) =>
    new AgentProcess({
      program: setting.program,
      endpoint: bucket.endpoint,
      node,
      settings,
      readLog: true,
    });
  await using holder = start("node-1");
  await bucket.tell({ do: "seed", count: 1 });
  await holder.line("running cell");
  await using other = start("node-2");
  await other.ready();
  // Anywhere between two renewals.
  await pause(LEASE_TTL_MS * (1 + Math.random() / 3));
  const killedMs = Date.now();
  holder.signal("SIGKILL");
  return await other.line("running cell") - killedMs;
}
