/** Runs the ranges of seeds it is sent, and sends back what they add up to. */
import { drawScenario } from "./draw.ts";
import { simulate } from "./simulation.ts";
import { count, newTally } from "./tally.ts";

/** What a worker is told to do. */
export interface SeedRange {
  readonly from: number;
  readonly seeds: number;
}

const scope = self as unknown as {
  onmessage: ((event: MessageEvent<SeedRange>) => void) | null;
  postMessage(message: unknown): void;
};

scope.onmessage = async ({ data: { from, seeds } }) => {
  const tally = newTally();
  for (let seed = from; seed < from + seeds; seed++) {
    count(tally, seed, await simulate(drawScenario(seed)));
  }
  scope.postMessage(tally);
};
