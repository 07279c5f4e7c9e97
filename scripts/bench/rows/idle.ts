/** Row 3: what an agent asks for that has nothing to do. */
import { AgentProcess } from "../agent_process.ts";
import { BucketProcess, type BucketReport } from "../bucket_process.ts";
import { type Figure, single } from "../figures.ts";
import { total } from "../request_counts.ts";
import type { Setting } from "../setting.ts";

const POLL_INTERVAL_MS = 500;
const FOREIGN_SPECS = 10_000;

export async function idleRow(setting: Setting): Promise<Figure[]> {
  return [await emptyQueue(setting), ...await foreignQueue(setting)];
}

async function emptyQueue(setting: Setting): Promise<Figure> {
  setting.progress("idle: an empty queue");
  await using bucket = await BucketProcess.start();
  await using agent = startAgent(setting, bucket);
  const { polls, counts } = await watch(bucket, agent, setting);
  return {
    row: 3,
    name: "requests for a poll, empty queue",
    unit: "",
    value: single(total(counts) / polls),
    aim: { text: "1 listing", met: total(counts) === polls && total(counts, "list") === polls },
  };
}

async function foreignQueue(setting: Setting): Promise<Figure[]> {
  const specs = setting.quick ? 1_500 : FOREIGN_SPECS;
  setting.progress(`idle: ${specs} specs of another pool`);
  await using bucket = await BucketProcess.start();
  await bucket.tell({ do: "seed", count: specs, poolId: "pool-2" });
  await using agent = startAgent(setting, bucket);
  const first = await bucket.untilDone("get pending", specs);
  const { polls, counts } = await watch(bucket, agent, setting);
  const pages = Math.ceil(specs / 1_000);
  return [
    {
      row: 3,
      name: `reads in the first round, ${specs} foreign specs`,
      unit: "",
      value: single(total(first.counts, "get pending")),
      aim: { text: "one for each", met: total(first.counts, "get pending") === specs },
    },
    {
      row: 3,
      name: `requests for a poll after it`,
      unit: "",
      value: single(total(counts) / polls),
      aim: {
        text: `listings only, at most ${pages}`,
        met: total(counts) === total(counts, "list") && total(counts) <= pages * polls,
      },
    },
  ];
}

function startAgent(setting: Setting, bucket: BucketProcess): AgentProcess {
  return new AgentProcess({
    program: setting.program,
    endpoint: bucket.endpoint,
    readLog: true,
    settings: { POOL_ID: "pool-1", POLL_INTERVAL_MS, LOG_LEVEL: "debug" },
  });
}

/** Counts polls and requests from the end of one poll to the end of another. */
async function watch(
  bucket: BucketProcess,
  agent: AgentProcess,
  setting: Setting,
): Promise<{ polls: number; counts: BucketReport["counts"] }> {
  const polled = () => agent.times("polled").length;
  const before = polled() + 1;
  await agent.line("polled", before);
  await bucket.tell({ do: "reset" });
  const polls = setting.quick ? 3 : 20;
  await agent.line("polled", before + polls);
  const { counts } = await bucket.report();
  return { polls, counts };
}
