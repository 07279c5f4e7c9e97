/** Row 5: a very long queue against a short one that never ends. */
import { AgentProcess, type Memory } from "../agent_process.ts";
import { BucketProcess } from "../bucket_process.ts";
import { type Figure, single } from "../figures.ts";
import { pause, until } from "../line_process.ts";
import type { Setting } from "../setting.ts";
import { pairedRatios, summary } from "../statistics.ts";

const LONG = 100_000;
const SHORT = 100;
const CONCURRENCY = 16;
const LEAST_OF_SHORT = 0.9;
const MOST_MEMORY_MB = 150;
/** A round takes minutes: one for so many of the other rows. */
const ROUNDS_OF_OTHERS = 5;

interface Run {
  /** From the start of the process. */
  readonly firstClaimMs: number;
  readonly perSecond: number;
  readonly memory: Memory;
}

export async function backlogRow(setting: Setting): Promise<Figure[]> {
  const long: Run[] = [];
  const short: Run[] = [];
  const size = setting.quick ? 3_000 : LONG;
  const rounds = Math.ceil(setting.rounds / ROUNDS_OF_OTHERS);
  for (let round = 1; round <= rounds; round++) {
    setting.progress(`backlog, round ${round} of ${rounds}`);
    short.push(await oneRun(setting, SHORT, true));
    long.push(await oneRun(setting, size, false));
  }
  const rate = summary(pairedRatios(perSecond(long), perSecond(short)));
  const peakMb = summary(long.map(({ memory }) => memory.peakMb));
  const firstClaim = (runs: readonly Run[]) => runs.map(({ firstClaimMs }) => firstClaimMs);
  return [
    {
      row: 5,
      name: `specs a second, backlog of ${size}`,
      unit: "/s",
      value: summary(perSecond(long)),
      against: { name: `backlog of ${SHORT}`, value: summary(perSecond(short)), ratio: rate },
      aim: { text: `at least ${LEAST_OF_SHORT}`, met: rate.median >= LEAST_OF_SHORT },
    },
    {
      row: 5,
      name: `start to first claim, backlog of ${size}`,
      unit: "ms",
      value: summary(firstClaim(long)),
      against: {
        name: `backlog of ${SHORT}`,
        value: summary(firstClaim(short)),
        ratio: summary(pairedRatios(firstClaim(long), firstClaim(short))),
      },
    },
    {
      row: 5,
      name: `memory at its peak, backlog of ${size}`,
      unit: "MB",
      value: peakMb,
      against: {
        name: `backlog of ${SHORT}`,
        value: summary(short.map(({ memory }) => memory.peakMb)),
        ratio: single(peakMb.median / summary(short.map(({ memory }) => memory.peakMb)).median),
      },
      aim: { text: `below ${MOST_MEMORY_MB} MB`, met: peakMb.max < MOST_MEMORY_MB },
    },
  ];
}

function perSecond(runs: readonly Run[]): number[] {
  return runs.map((run) => run.perSecond);
}

/** With `topUp` the queue gets a spec for each one that is claimed, and so stays as long. */
async function oneRun(setting: Setting, count: number, topUp: boolean): Promise<Run> {
  await using bucket = await BucketProcess.start();
  await bucket.tell({ do: "seed", count, topUp });
  await using agent = new AgentProcess({
    program: setting.program,
    endpoint: bucket.endpoint,
    settings: { CONCURRENCY, POLL_INTERVAL_MS: 5_000 },
  });
  let firstClaimMs: number | undefined;
  await until("the first claim", 120_000, async () => {
    firstClaimMs = (await bucket.report()).firstClaimMs;
    return firstClaimMs !== undefined;
  });
  await pause(setting.quick ? 3_000 : 60_000);
  const { counts, lastFiledMs } = await bucket.report();
  const filed = counts["delete lease"]?.ok ?? 0;
  return {
    firstClaimMs: firstClaimMs! - agent.startedMs,
    perSecond: filed / (lastFiledMs! - firstClaimMs!) * 1_000,
    memory: await agent.memory(),
  };
}
