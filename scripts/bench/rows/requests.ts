/** Row 2: what one spec costs in S3 requests, by the server's own count. */
import { AgentProcess } from "../agent_process.ts";
import { BucketProcess } from "../bucket_process.ts";
import { type Figure, single } from "../figures.ts";
import { type RequestCounts, total } from "../request_counts.ts";
import type { Setting } from "../setting.ts";

const PLAIN_AIM = 8;

/** Requests for one spec by purpose, listings apart. */
export interface SpecCost {
  readonly name: string;
  readonly perSpec: readonly { readonly purpose: string; readonly requests: number }[];
}

/** The cost of a plain run, and of one on a node with a pool. */
export async function specCosts(setting: Setting): Promise<SpecCost[]> {
  return [
    { name: "no pool", perSpec: await perSpec(setting, undefined) },
    { name: "node and spec of one pool", perSpec: await perSpec(setting, "pool-1") },
  ];
}

export function requestFigures([plain, pooled]: readonly SpecCost[]): Figure[] {
  const sum = ({ perSpec }: SpecCost) => perSpec.reduce((all, { requests }) => all + requests, 0);
  const more = sum(pooled) - sum(plain);
  return [
    {
      row: 2,
      name: "requests for a spec",
      unit: "",
      value: single(sum(plain)),
      aim: { text: `${PLAIN_AIM}`, met: sum(plain) <= PLAIN_AIM },
    },
    ...plain.perSpec.map(({ purpose, requests }) => ({
      row: 2,
      name: `of these: ${purpose}`,
      unit: "",
      value: single(requests),
    })),
    {
      row: 2,
      name: "more of them with a pool",
      unit: "",
      value: single(more),
      // A hair is for the sum of nine quotients.
      aim: { text: "at most 1", met: more <= 1 + 1e-9 },
    },
  ];
}

/** The agent is there first and has nothing to do, so that its start is not counted. */
async function perSpec(
  setting: Setting,
  poolId: string | undefined,
): Promise<SpecCost["perSpec"]> {
  const specs = setting.quick ? 20 : 200;
  setting.progress(`requests for a spec, ${poolId === undefined ? "no pool" : "with a pool"}`);
  await using bucket = await BucketProcess.start();
  await using agent = new AgentProcess({
    program: setting.program,
    endpoint: bucket.endpoint,
    readLog: true,
    settings: { CONCURRENCY: 4, POLL_INTERVAL_MS: 200, POOL_ID: poolId ?? "" },
  });
  // One of the queue and one of the claims after the start, and one that shows the queue idle.
  await agent.ready();
  await bucket.untilListed(4);
  await bucket.tell({ do: "reset" });
  await bucket.tell({ do: "seed", count: specs, poolId });
  const { counts } = await bucket.untilDone("delete lease", specs);
  return inOrder(counts).map((purpose) => ({
    purpose,
    requests: total(counts, purpose) / specs,
  }));
}

/** The purposes as the server met them first, which is the order of the protocol. */
function inOrder(counts: RequestCounts): string[] {
  return Object.keys(counts).filter((purpose) => purpose !== "list");
}
