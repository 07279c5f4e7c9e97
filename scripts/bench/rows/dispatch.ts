/** Row 1: how many specs a second, against a bare loop with the same requests, and the old way. */
import { AgentProcess } from "../agent_process.ts";
import { BucketProcess, spanMs } from "../bucket_process.ts";
import { type Figure, single } from "../figures.ts";
import { fileURLToPath } from "node:url";
import { plainEnvironment } from "../line_process.ts";
import { awsCliVersion, oldWayRate } from "../old_way.ts";
import type { Setting } from "../setting.ts";
import { median, pairedRatios, summary } from "../statistics.ts";

interface Case {
  readonly name: string;
  readonly concurrency: number;
  readonly delayMs: number;
  readonly specs: number;
  /** Most of the floor's time that the agent may take. */
  readonly mostOfFloor: number;
}

const CASES: readonly Case[] = [
  { name: "concurrency 1", concurrency: 1, delayMs: 0, specs: 150, mostOfFloor: 1.15 },
  { name: "concurrency 16", concurrency: 16, delayMs: 0, specs: 500, mostOfFloor: 1.15 },
  {
    name: "concurrency 16, answers after 20 ms",
    concurrency: 16,
    delayMs: 20,
    specs: 500,
    mostOfFloor: 1.1,
  },
];
const LEAST_OF_OLD_WAY = 100;
const FLOOR = fileURLToPath(new URL("../floor.ts", import.meta.url));

export async function dispatchRow(setting: Setting): Promise<Figure[]> {
  const figures: Figure[] = [];
  const rates = new Map<Case, number>();
  for (const plan of CASES) {
    const specs = setting.quick ? 40 : plan.specs;
    const agent: number[] = [];
    const floor: number[] = [];
    for (let round = 1; round <= setting.rounds; round++) {
      setting.progress(`dispatch, ${plan.name}, round ${round} of ${setting.rounds}`);
      agent.push(await agentMs(setting, plan, specs) / specs);
      floor.push(await floorMs(plan, specs) / specs);
    }
    rates.set(plan, 1_000 / median(agent));
    const ratio = summary(pairedRatios(agent, floor));
    figures.push({
      row: 1,
      name: `time for a spec, ${plan.name}`,
      unit: "ms",
      value: summary(agent),
      against: { name: "the floor", value: summary(floor), ratio },
      aim: { text: `at most ${plan.mostOfFloor}`, met: ratio.median <= plan.mostOfFloor },
    });
  }
  return [...figures, ...await againstOldWay(setting, rates.get(CASES[0])!)];
}

async function againstOldWay(setting: Setting, agentRate: number): Promise<Figure[]> {
  const version = await awsCliVersion();
  if (version === undefined) {
    setting.progress("dispatch: no AWS CLI found, so nothing to compare the old way by");
    return [];
  }
  setting.progress(`dispatch, the old way by ${version}`);
  const oldRate = await oldWayRate(setting.quick ? 1 : 5);
  const ratio = agentRate / oldRate;
  return [{
    row: 1,
    name: "specs a second, concurrency 1",
    unit: "/s",
    value: single(agentRate),
    against: {
      name: `the old way (${version.split(" ")[0]})`,
      value: single(oldRate),
      ratio: single(ratio),
    },
    aim: { text: `at least ${LEAST_OF_OLD_WAY}`, met: ratio >= LEAST_OF_OLD_WAY },
  }];
}

/** From the first claim to the last lease given up, by the server's clock. */
async function agentMs(setting: Setting, plan: Case, specs: number): Promise<number> {
  await using bucket = await BucketProcess.start(plan.delayMs);
  await bucket.tell({ do: "seed", count: specs });
  await using _agent = new AgentProcess({
    program: setting.program,
    endpoint: bucket.endpoint,
    settings: { CONCURRENCY: plan.concurrency },
  });
  return spanMs(await bucket.untilDone("delete lease", specs));
}

async function floorMs(plan: Case, specs: number): Promise<number> {
  await using bucket = await BucketProcess.start(plan.delayMs);
  await bucket.tell({ do: "seed", count: specs });
  const { success } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--frozen", "-A", FLOOR, bucket.endpoint, String(plan.concurrency)],
    clearEnv: true,
    env: plainEnvironment(),
    stdin: "null",
    stdout: "inherit",
    stderr: "inherit",
  }).output();
  if (!success) throw new Error("The bare loop failed");
  return spanMs(await bucket.report());
}
