/** Row 4: several agents on one queue. */
import { AgentProcess } from "../agent_process.ts";
import { BucketProcess, type BucketReport, spanMs } from "../bucket_process.ts";
import { type Figure, single } from "../figures.ts";
import { until } from "../line_process.ts";
import { NO_REQUESTS, total } from "../request_counts.ts";
import type { Setting } from "../setting.ts";
import { summary } from "../statistics.ts";

const AGENTS = [1, 4, 16];
const MOST_REFUSED = 0.05;
/** Without it, the agents would do nothing but wait for the processors. */
const DELAY_MS = 5;

/** What a number of agents made of one queue. */
export interface ContentionResult {
  readonly agents: number;
  readonly specs: number;
  readonly seconds: number;
  readonly refusedPerSpec: number;
  readonly requestsPerSpec: number;
  readonly exactlyOnce: boolean;
}

export async function contention(setting: Setting): Promise<ContentionResult[]> {
  const results: ContentionResult[] = [];
  const specs = setting.quick ? 100 : 1_000;
  for (const agents of AGENTS) {
    setting.progress(`contention: ${agents} agents`);
    results.push(await oneQueue(setting, agents, specs));
  }
  return results;
}

export function contentionFigures(results: readonly ContentionResult[]): Figure[] {
  const alone = results[0];
  return results.flatMap((result) => {
    const { agents, refusedPerSpec, requestsPerSpec, exactlyOnce } = result;
    const rate = result.specs / result.seconds;
    const aloneRate = alone.specs / alone.seconds;
    return [
      {
        row: 4,
        name: `specs a second, agents: ${agents}`,
        unit: "/s",
        value: single(rate),
        against: { name: "1 agent", value: single(aloneRate), ratio: single(rate / aloneRate) },
        aim: { text: "each spec once", met: exactlyOnce },
      },
      {
        row: 4,
        name: `claims refused for a spec, agents: ${agents}`,
        unit: "",
        value: summary([refusedPerSpec]),
        aim: { text: `under ${MOST_REFUSED}`, met: refusedPerSpec < MOST_REFUSED },
      },
      {
        row: 4,
        name: `requests for a spec with listings, agents: ${agents}`,
        unit: "",
        value: single(requestsPerSpec),
      },
    ];
  });
}

/** The agents are all up and idle when the specs arrive at once. */
async function oneQueue(
  setting: Setting,
  agents: number,
  specs: number,
): Promise<ContentionResult> {
  await using bucket = await BucketProcess.start(DELAY_MS);
  await using running = new AsyncDisposableStack();
  for (let index = 1; index <= agents; index++) {
    const agent = running.use(
      new AgentProcess({
        program: setting.program,
        endpoint: bucket.endpoint,
        node: `node-${index}`,
        readLog: true,
        settings: { CONCURRENCY: 1, POLL_INTERVAL_MS: 1_000 },
      }),
    );
    await agent.ready();
  }
  // The queue and the claims, and the queue again.
  await bucket.untilListed(3 * agents);
  await bucket.tell({ do: "reset" });
  await bucket.tell({ do: "seed", count: specs });
  let report = await bucket.report();
  await until("all specs are filed", 600_000, async () => {
    report = await bucket.report();
    return filed(report) >= specs;
  });
  return resultOf(agents, specs, await bucket.untilDone("delete lease", specs));
}

function filed({ counts }: BucketReport): number {
  return counts["create terminal object"]?.ok ?? 0;
}

/** Exactly once: as many claims, results and terminal objects as specs, and none of them twice. */
function resultOf(agents: number, specs: number, report: BucketReport): ContentionResult {
  const { counts } = report;
  const stored = (purpose: string) => (counts[purpose] ?? NO_REQUESTS).ok;
  const once = ["create claimed", "create result", "create terminal object"]
    .every((purpose) => stored(purpose) === specs && total(counts, purpose) === specs);
  return {
    agents,
    specs,
    seconds: spanMs(report) / 1_000,
    // Also a lease that was got and given up again: its spec was somebody else's by then.
    refusedPerSpec: (total(counts, "create lease") - specs) / specs,
    requestsPerSpec: total(counts) / specs,
    exactlyOnce: once && stored("replace result") === 0,
  };
}
