/**
 * Every point at which a node can die in the life of a claim: before and after each single request
 * that it sends for it. The rest of the fleet has to bring the spec to its end from there.
 */
import type { Host } from "./host.ts";
import type { RequestFacts } from "./network_store.ts";
import type { Passage } from "./passage.ts";
import {
  cellsOf,
  NO_REQUEST_FAULTS,
  type NodePlan,
  type PersonAct,
  PLAIN_NODE,
  PLAIN_STORE,
  type Scenario,
} from "./scenario.ts";
import { type RunReport, simulate } from "./simulation.ts";

export const TTL_MS = 6_000;
const LATENCY_MS = 20;
const BROKEN = { kind: "broken", atMs: 18 } as const;
const SILENCE = { kind: "silence" } as const;

/** A life that a claim can have. Node 0 has the spec first; the others come a little later. */
export interface ClaimLife {
  readonly name: string;
  readonly people: readonly PersonAct[];
  readonly failing: number;
  readonly cellMs: number;
  readonly conditionalDelete: boolean;
  readonly etags: "content" | "unique";
  /** When node 0 is told to drain and to give its claims back. */
  readonly interruptedAtMs?: number;
}

const SUBMIT: PersonAct = { atMs: 0, id: "a", kind: "submit", spec: `{"version":1}` };
const RUNS: Omit<ClaimLife, "name"> = {
  people: [SUBMIT],
  failing: 0,
  cellMs: 1_000,
  conditionalDelete: true,
  etags: "content",
};

export const LIVES: readonly ClaimLife[] = [
  { ...RUNS, name: "completes" },
  { ...RUNS, name: "completes, without conditional deletes", conditionalDelete: false },
  { ...RUNS, name: "completes, with ETags that never repeat", etags: "unique" },
  { ...RUNS, name: "fails", failing: 1 },
  {
    ...RUNS,
    name: "is renewed several times",
    cellMs: 20_000,
  },
  {
    ...RUNS,
    name: "is submitted again, changed, while claimed",
    people: [SUBMIT, { atMs: 300, id: "a", kind: "submit", spec: `{"version":2}` }],
  },
  {
    ...RUNS,
    name: "is submitted again, the same, while claimed",
    people: [SUBMIT, { atMs: 300, id: "a", kind: "resubmit" }],
    conditionalDelete: false,
  },
  {
    ...RUNS,
    name: "is too large",
    people: [{ ...SUBMIT, spec: JSON.stringify({ filler: "x".repeat(500) }) }],
  },
  { ...RUNS, name: "is given back", cellMs: 60_000, interruptedAtMs: 2_000 },
  {
    ...RUNS,
    name: "is given back while another version waits",
    cellMs: 60_000,
    interruptedAtMs: 2_000,
    people: [SUBMIT, { atMs: 1_000, id: "a", kind: "submit", spec: `{"version":2}` }],
  },
];

/** When a node dies: as its request leaves, or once that has taken effect. */
export type Moment = "before" | "after";

/** The death of a node at one of its requests for the spec, counted from 1. */
export interface CrashPoint {
  readonly request: number;
  readonly moment: Moment;
}

function scenarioOf(life: ClaimLife): Scenario {
  const node = (index: number): NodePlan => ({
    ...PLAIN_NODE,
    name: `node-${index}`,
    startsAtMs: index === 0 ? 1 : 150 + index * 10,
  });
  const interruptedAtMs = life.interruptedAtMs;
  return {
    seed: 1,
    store: {
      ...PLAIN_STORE,
      conditionalDelete: life.conditionalDelete,
      etags: life.etags,
      latencyMs: LATENCY_MS,
    },
    fleet: {
      ttlMs: TTL_MS,
      killGraceMs: 1_000,
      maxAttempts: 3,
      maxSpecBytes: 400,
      pollIntervalMs: 1_000,
      heartbeatIntervalMs: 60_000,
    },
    nodes: [0, 1, 2].map(node),
    requestFaults: NO_REQUEST_FAULTS,
    incidents: interruptedAtMs === undefined
      ? []
      : [{ atMs: interruptedAtMs, kind: "drain", node: 0, interruptAfterMs: 10 }],
    people: life.people,
    cells: { ...cellsOf(life.cellMs), failing: life.failing },
    // Long after the others must have taken over, the dead come back.
    faultsEndMs: 6 * TTL_MS,
    leasesHold: false,
  };
}

/** What became of one run with deaths in it. */
export interface CrashRun {
  readonly report: RunReport;
  /** Whether every death came to pass. */
  readonly reached: boolean;
  /** From the last death to the next start of a cell, if there was one. */
  readonly startedAgainAfterMs: number | undefined;
  /** Requests for the spec that each node sent; for one that died, until then. */
  readonly requests: readonly number[];
}

/** Lets nodes 0, 1, … die at the points given, each after the one before. */
export async function runWithCrashes(
  life: ClaimLife,
  points: readonly CrashPoint[],
  readable = false,
): Promise<CrashRun> {
  const requests = [0, 0, 0];
  let deaths = 0;
  let diedMs = 0;
  let startedAgainMs: number | undefined;
  let nowMs = () => 0;
  const die = (host: Host) => {
    host.crash(false);
    deaths++;
    diedMs = nowMs();
    startedAgainMs = undefined;
  };
  const isDue = (host: Host, moment: Moment) => {
    const point = points[host.index];
    return host.index === deaths && point?.moment === moment &&
      point.request === requests[host.index];
  };
  const report = await simulate(scenarioOf(life), {
    readable,
    intercept: (request, host): Passage | undefined => {
      if (
        host === undefined || !isForSpec(request) || host.index > deaths ||
        host.process?.incarnation !== 0
      ) return;
      requests[host.index]++;
      if (!isDue(host, "before")) return;
      die(host);
      return { fault: "died", effectsAtMs: [], reply: { kind: "silence" }, outlivesHost: false };
    },
    onEffect: (host, request) => {
      if (isForSpec(request) && isDue(host, "after")) die(host);
    },
    onStart: ({ time, ledger }) => {
      nowMs = () => time.nowMs;
      ledger.observe({
        started: () => startedAgainMs ??= time.nowMs,
        ended: () => {},
        resumed: () => {},
      });
    },
  });
  const startedAgainAfterMs = startedAgainMs === undefined ? undefined : startedAgainMs - diedMs;
  return { report, reached: deaths === points.length, startedAgainAfterMs, requests };
}

/** What can befall a single request, at the worst of times. */
export const REQUEST_FATES: readonly { readonly name: string; readonly passage: Passage }[] = [
  fate("lost, the connection breaks", [], BROKEN),
  fate("lost, nothing is heard", [], SILENCE),
  fate("done, the connection breaks", [5], BROKEN),
  fate("done, nothing is heard", [5], SILENCE),
  // A sixth of the lease's lifetime until it is given up, and a third until it lands or never does.
  fate("done as late as can be", [TTL_MS * (1 / 6 + 1 / 3) - 1], SILENCE),
  fate("done twice", [5, 15], { kind: "answer", atMs: 18 }),
  fate("refused with 409", [], { kind: "error", atMs: 18, status: 409 }),
  fate("done, answered by 500", [5], { kind: "error", atMs: 18, status: 500 }),
  fate("not done, answered by 503", [], { kind: "error", atMs: 18, status: 503 }),
];

function fate(name: string, effectsAtMs: readonly number[], reply: Passage["reply"]) {
  return { name, passage: { fault: name, effectsAtMs, reply, outlivesHost: true } };
}

/** Lets one request of node 0 for the spec meet its fate; nobody dies. */
export async function runWithFate(
  life: ClaimLife,
  request: number,
  passage: Passage,
): Promise<RunReport> {
  let requests = 0;
  return await simulate(scenarioOf(life), {
    intercept: (facts, host) =>
      host?.index === 0 && isForSpec(facts) && ++requests === request ? passage : undefined,
  });
}

/** Whether a request is one of a claim's, and not of a loop that would have sent it anyway. */
function isForSpec({ operation, key }: RequestFacts): boolean {
  return operation !== "list" && !key.startsWith("fleet/nodes/") && !key.startsWith("fleet/probe/");
}

/** The points of a node that sends so many requests. */
export function pointsOf(requests: number): CrashPoint[] {
  return Array.from({ length: requests }, (_, index) => index + 1)
    .flatMap((request) => [{ request, moment: "before" }, { request, moment: "after" }] as const);
}
