/**
 * Runs the deterministic simulation over many seeds, on all cores:
 *
 *     deno run -A scripts/soak.ts --seeds N [--from S] [--workers W]
 *     deno run -A scripts/soak.ts --replay SEED
 *
 * The first prints progress, a summary, and the command that replays each seed that broke a promise;
 * it exits with 1 if there is one. The second prints the scenario of a seed and everything that
 * happens in its run: requests in order of effect, cells, faults and log events.
 */
import { parseArgs } from "node:util";
import { drawScenario } from "../tests/sim/draw.ts";
import { simulate } from "../tests/sim/simulation.ts";
import type { SeedRange } from "../tests/sim/soak_worker.ts";
import { type FailedSeed, merge, newTally, type Tally } from "../tests/sim/tally.ts";

const CHUNK_SEEDS = 250;
const PROGRESS_EVERY_MS = 5_000;
const FAILURES_SHOWN = 20;

/** Replays one seed; returns whether every promise was kept. */
export async function replay(seed: number, print: (line: string) => void): Promise<boolean> {
  const scenario = drawScenario(seed);
  print(JSON.stringify(scenario, undefined, 1));
  const report = await simulate(scenario, { readable: true });
  for (const line of report.trace) print(line);
  for (const { check, detail } of report.violations) print(`VIOLATION  ${check}: ${detail}`);
  print(`trace ${report.traceHash}, ${report.violations.length} violations`);
  return report.violations.length === 0;
}

/** Runs `seeds` seeds from `from` on, in `workers` workers. */
export async function soak(
  from: number,
  seeds: number,
  workers: number,
  progress: (tally: Tally) => void,
  onFailure: (failed: FailedSeed) => void,
): Promise<Tally> {
  const total = newTally();
  let next = from;
  let shownMs = performance.now();
  const nextRange = (): SeedRange | undefined => {
    if (next >= from + seeds) return undefined;
    const range = { from: next, seeds: Math.min(CHUNK_SEEDS, from + seeds - next) };
    next += range.seeds;
    return range;
  };
  const runWorker = async () => {
    const worker = new Worker(new URL("../tests/sim/soak_worker.ts", import.meta.url), {
      type: "module",
    });
    try {
      for (let range = nextRange(); range !== undefined; range = nextRange()) {
        const part = await ask(worker, range);
        merge(total, part);
        for (const failed of part.failed) onFailure(failed);
        if (performance.now() - shownMs < PROGRESS_EVERY_MS) continue;
        shownMs = performance.now();
        progress(total);
      }
    } finally {
      worker.terminate();
    }
  };
  await Promise.all(Array.from({ length: workers }, runWorker));
  return total;
}

function ask(worker: Worker, range: SeedRange): Promise<Tally> {
  return new Promise((resolve, reject) => {
    worker.onmessage = (event: MessageEvent<Tally>) => resolve(event.data);
    worker.onerror = (event) => {
      event.preventDefault();
      reject(new Error(`Seeds ${range.from} and following failed: ${event.message}`));
    };
    worker.postMessage(range);
  });
}

/** The sums of a soak, as lines for people. */
export function summary(tally: Tally, seconds: number): string[] {
  const hours = (tally.virtualMs / 3_600_000).toFixed(0);
  const counts = (title: string, record: Record<string, number>) => [
    `${title}:`,
    ...Object.entries(record).sort(([a], [b]) => a < b ? -1 : 1)
      .map(([kind, times]) => `  ${String(times).padStart(10)}  ${kind}`),
  ];
  return [
    `${tally.seeds} seeds in ${seconds.toFixed(0)} s, ${hours} virtual hours`,
    `${tally.requests} requests, ${tally.cellStarts} cells started, ${tally.outcomes} outcomes`,
    `settled at the latest ${(tally.longestSettleMs / 1000).toFixed(0)} s after the faults' end`,
    ...counts("faults injected", tally.faults),
    ...counts("checks relaxed", tally.relaxed),
    `${tally.failed.length} violations`,
    ...tally.failed.slice(0, FAILURES_SHOWN).map(describeFailure),
  ];
}

function describeFailure({ seed, check, detail }: FailedSeed): string {
  return `  seed ${seed}, ${check}: ${detail}\n    deno run -A scripts/soak.ts --replay ${seed}`;
}

async function main(args: string[]): Promise<number> {
  const { values } = parseArgs({
    args,
    options: {
      seeds: { type: "string", default: "10000" },
      from: { type: "string", default: "1" },
      workers: { type: "string", default: String(navigator.hardwareConcurrency) },
      replay: { type: "string" },
    },
  });
  if (values.replay !== undefined) {
    return await replay(whole("replay", values.replay), console.log) ? 0 : 1;
  }
  const seeds = whole("seeds", values.seeds);
  const startedMs = performance.now();
  const seconds = () => (performance.now() - startedMs) / 1000;
  const tally = await soak(
    whole("from", values.from),
    seeds,
    whole("workers", values.workers),
    (now) => {
      const rate = (now.seeds / seconds()).toFixed(0);
      console.log(
        `${now.seeds} of ${seeds} seeds, ${rate} a second, ${now.failed.length} violations`,
      );
    },
    (failed) => console.log(describeFailure(failed)),
  );
  for (const line of summary(tally, seconds())) console.log(line);
  return tally.failed.length === 0 ? 0 : 1;
}

function whole(name: string, text: string): number {
  const value = Number(text);
  if (!/^[0-9]+$/.test(text) || !Number.isSafeInteger(value) || value < 1) {
    throw new Error(`--${name} is "${text}": it must be a whole number of at least 1`);
  }
  return value;
}

if (import.meta.main) Deno.exit(await main(Deno.args));
