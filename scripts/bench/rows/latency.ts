/** Row 6: from a spec's arrival in an idle queue to the start of its supervisor. */
import { AgentProcess } from "../agent_process.ts";
import { BucketProcess } from "../bucket_process.ts";
import type { Figure } from "../figures.ts";
import { pause } from "../line_process.ts";
import type { Setting } from "../setting.ts";
import { median, quantile, summary } from "../statistics.ts";

const POLL_INTERVAL_MS = 500;
const SHARES = [0.1, 0.5, 0.9];

export async function latencyRow(setting: Setting): Promise<Figure[]> {
  const specs = setting.quick ? 5 : 40;
  setting.progress(`latency: ${specs} specs, one at a time`);
  await using bucket = await BucketProcess.start();
  await using agent = new AgentProcess({
    program: setting.program,
    endpoint: bucket.endpoint,
    readLog: true,
    settings: { POLL_INTERVAL_MS },
  });
  await bucket.untilListed(4);
  const waits: number[] = [];
  for (let spec = 1; spec <= specs; spec++) {
    const arrivedMs = Date.now();
    await bucket.tell({ do: "seed", count: 1 });
    waits.push(await agent.line("running cell", spec) - arrivedMs);
    await bucket.untilDone("delete lease", spec);
    // Any moment of the interval is as likely as any other for the next arrival.
    await pause(POLL_INTERVAL_MS * (1 + Math.random()));
  }
  const claiming = agent.times("claiming spec");
  const claimMs = median(agent.times("running cell").map((atMs, spec) => atMs - claiming[spec]));
  return SHARES.map((share) => {
    const ideal = share * POLL_INTERVAL_MS + claimMs;
    const value = quantile(waits, share);
    return {
      row: 6,
      name: `arrival to start at ${POLL_INTERVAL_MS} ms polls, ${share * 100} % of specs within`,
      unit: "ms",
      value: { ...summary(waits), median: value },
      against: {
        name: `uniform and a claim of ${Math.round(claimMs)} ms`,
        value: summary([ideal]),
        ratio: summary([value / ideal]),
      },
    };
  });
}
