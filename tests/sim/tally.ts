/** Sums over many runs. */
import type { RunReport } from "./simulation.ts";

/** A run that broke a promise. */
export interface FailedSeed {
  readonly seed: number;
  readonly check: string;
  readonly detail: string;
}

/** What runs add up to; plain data, so that workers can send it. */
export interface Tally {
  seeds: number;
  virtualMs: number;
  requests: number;
  cellStarts: number;
  outcomes: number;
  longestSettleMs: number;
  faults: Record<string, number>;
  relaxed: Record<string, number>;
  failed: FailedSeed[];
}

export function newTally(): Tally {
  return {
    seeds: 0,
    virtualMs: 0,
    requests: 0,
    cellStarts: 0,
    outcomes: 0,
    longestSettleMs: 0,
    faults: {},
    relaxed: {},
    failed: [],
  };
}

/** Adds one run. */
export function count(tally: Tally, seed: number, report: RunReport): void {
  tally.seeds++;
  tally.virtualMs += report.virtualMs;
  tally.requests += report.requests;
  tally.cellStarts += report.cellStarts;
  tally.outcomes += report.outcomes;
  tally.longestSettleMs = Math.max(tally.longestSettleMs, report.settledAfterMs ?? 0);
  for (const [kind, times] of report.faults) addTo(tally.faults, kind, times);
  for (const [kind, times] of report.relaxed) addTo(tally.relaxed, kind, times);
  const [violation] = report.violations;
  if (violation !== undefined) {
    tally.failed.push({ seed, check: violation.check, detail: violation.detail });
  }
}

/** Adds one tally to another. */
export function merge(into: Tally, other: Tally): void {
  into.seeds += other.seeds;
  into.virtualMs += other.virtualMs;
  into.requests += other.requests;
  into.cellStarts += other.cellStarts;
  into.outcomes += other.outcomes;
  into.longestSettleMs = Math.max(into.longestSettleMs, other.longestSettleMs);
  for (const [kind, times] of Object.entries(other.faults)) addTo(into.faults, kind, times);
  for (const [kind, times] of Object.entries(other.relaxed)) addTo(into.relaxed, kind, times);
  into.failed.push(...other.failed);
}

function addTo(counts: Record<string, number>, kind: string, times: number): void {
  counts[kind] = (counts[kind] ?? 0) + times;
}
