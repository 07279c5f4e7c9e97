/**
 * Fleets too large for one machine, in virtual time: the agents are the production code, run by the
 * simulator of the tests, and every promise is checked on the way. What they ask of the bucket is
 * held against the arithmetic for the same fleet.
 */
import type { RequestFacts } from "../../tests/sim/network_store.ts";
import {
  cellsOf,
  NO_REQUEST_FAULTS,
  type PersonAct,
  PLAIN_NODE,
  PLAIN_STORE,
  type Scenario,
} from "../../tests/sim/scenario.ts";
import { simulate, type Simulation } from "../../tests/sim/simulation.ts";
import { markdown, short } from "./figures.ts";
import {
  DEFAULTS,
  FLEET_HEADINGS,
  type FleetLoad,
  fleetLoad,
  type FleetModel,
} from "./fleet_arithmetic.ts";

/** One lane of a fleet: lanes share nothing, so that one of a hundred stands for the others. */
export type LaneModel = Omit<FleetModel, "lanes">;

export interface SimulatedFleet {
  /** Requests a second once the fleet has started. */
  readonly load: FleetLoad;
  /** Specs that were started in all. */
  readonly started: number;
  /** Tries to create a lease that another node held, or for a spec that was done, for each start. */
  readonly refusedPerSpec: number;
  /** Share of the time after the warm-up that slots had a cell; undefined for an idle fleet. */
  readonly slotsInUse: number | undefined;
  /** Promises broken; none, or the rest means nothing. */
  readonly violations: readonly string[];
}

/** One way and back takes up to this. */
const LATENCY_MS = 40;
const WARM_UP_MS = 180_000;
/** Specs waiting for each node. */
const BACKLOG = 0.7;
const SEED = 7;

/**
 * Runs a lane for so many virtual minutes after a warm-up of three. Every slot of a busy one has work
 * all that time.
 */
export async function simulateLane(model: LaneModel, minutes: number): Promise<SimulatedFleet> {
  const endMs = WARM_UP_MS + minutes * 60_000;
  const counts = { writes: 0, deletes: 0, gets: 0, lists: 0 };
  let leaseTries = 0;
  let simulation: Simulation | undefined;
  const scenario = scenarioOf(model, endMs);
  const report = await simulate(scenario, {
    onStart: (started) => simulation = started,
    intercept: (request) => {
      const { nowMs } = simulation!.time;
      if (isLeaseTry(request)) leaseTries++;
      if (nowMs >= WARM_UP_MS && nowMs < endMs) counts[kindOf(request)]++;
      return undefined;
    },
  });
  const { entries } = simulation!.ledger;
  const seconds = minutes * 60;
  return {
    load: {
      writes: counts.writes / seconds,
      deletes: counts.deletes / seconds,
      gets: counts.gets / seconds,
      lists: counts.lists / seconds,
    },
    started: entries.length,
    refusedPerSpec: entries.length === 0 ? 0 : leaseTries / entries.length - 1,
    slotsInUse: entries.length === 0 ? undefined : inUse(simulation!, endMs, model.nodes),
    violations: report.violations.map(({ check, detail }) => `${check}: ${detail}`),
  };
}

/** Share of the slots that had a cell between the end of the warm-up and the end. */
function inUse({ ledger }: Simulation, endMs: number, slots: number): number {
  const busyMs = ledger.entries.reduce((sum, { startedMs, endedMs }) => {
    const fromMs = Math.max(startedMs, WARM_UP_MS);
    return sum + Math.max(0, Math.min(endedMs ?? endMs, endMs) - fromMs);
  }, 0);
  return busyMs / (slots * (endMs - WARM_UP_MS));
}

function isLeaseTry({ operation, key }: RequestFacts): boolean {
  return operation === "create" && key.endsWith(".lease");
}

function kindOf({ operation }: RequestFacts): keyof FleetLoad {
  switch (operation) {
    case "list":
      return "lists";
    case "get":
    case "head":
      return "gets";
    case "delete":
      return "deletes";
    default:
      return "writes";
  }
}

function scenarioOf(model: LaneModel, endMs: number): Scenario {
  const { nodes, pollSeconds, leaseTtlSeconds, heartbeatSeconds, cellSeconds } = model;
  const pollIntervalMs = pollSeconds * 1_000;
  // Enough for every slot until the end, and a little more.
  const specs = cellSeconds === undefined
    ? 0
    : Math.ceil(nodes * endMs / (cellSeconds * 1_000) + nodes);
  const people: PersonAct[] = Array.from({ length: specs }, (_, index) => ({
    // A backlog at first, of less than a page for a thousand nodes; then as much as is run.
    atMs: Math.max(0, (index / nodes - BACKLOG) * (cellSeconds ?? 0) * 1_000),
    id: `spec-${String(index).padStart(7, "0")}`,
    kind: "submit",
    spec: "{}",
  }));
  return {
    seed: SEED,
    store: { ...PLAIN_STORE, latencyMs: LATENCY_MS },
    fleet: {
      ttlMs: leaseTtlSeconds * 1_000,
      killGraceMs: 10_000,
      maxAttempts: 3,
      maxSpecBytes: 1_048_576,
      pollIntervalMs,
      heartbeatIntervalMs: heartbeatSeconds * 1_000,
    },
    nodes: Array.from({ length: nodes }, (_, index) => ({
      ...PLAIN_NODE,
      name: `node-${index}`,
      // Nodes that started at the same moment would stay in step for a while.
      startsAtMs: Math.round(60_000 * index / nodes),
    })),
    requestFaults: NO_REQUEST_FAULTS,
    incidents: [],
    people,
    cells: cellsOf((cellSeconds ?? 0) * 1_000),
    faultsEndMs: endMs,
    leasesHold: true,
  };
}

/** A fleet of the performance page, or one lane of it. */
export interface NamedLane {
  readonly name: string;
  readonly model: LaneModel;
}

const LONG_INTERVALS = { pollSeconds: 30, leaseTtlSeconds: 300, heartbeatSeconds: 300 };
const IDLE = { cellSeconds: undefined };
const BUSY = { cellSeconds: 60 };
const SIZES = [10, 100, 1_000];

/** What the arithmetic says of these fleets is held against a simulation. */
export const FLEETS: readonly NamedLane[] = [
  ...lanes("idle, default settings", { ...DEFAULTS, ...IDLE }, SIZES),
  ...lanes("busy with cells of 60 s, default settings", { ...DEFAULTS, ...BUSY }, SIZES),
  ...lanes("idle, poll 30 s, lease 300 s, heartbeat 300 s", { ...LONG_INTERVALS, ...IDLE }, [
    1_000,
  ]),
  ...lanes("busy, poll 30 s, lease 300 s, heartbeat 300 s", { ...LONG_INTERVALS, ...BUSY }, [
    1_000,
  ]),
];

function lanes(
  name: string,
  model: Omit<LaneModel, "nodes">,
  sizes: readonly number[],
): NamedLane[] {
  return sizes.map((nodes) => ({ name, model: { ...model, nodes } }));
}

/** A table of fleets, simulated for so many minutes each, in Markdown. Rejects on a broken promise. */
export async function simulationTable(
  fleets: readonly NamedLane[],
  minutes: number,
  progress: (text: string) => void,
): Promise<string> {
  const lines: string[][] = [];
  for (const { name, model } of fleets) {
    progress(`simulation: ${model.nodes} nodes, ${name}`);
    const result = await simulateLane(model, minutes);
    if (result.violations.length > 0) throw new Error(result.violations.join("; "));
    const computed = fleetLoad({ ...model, lanes: 1 });
    const loads = (["writes", "deletes", "gets", "lists"] as const).map((kind) =>
      computed[kind] === 0 && result.load[kind] === 0
        ? "0"
        : `${short(result.load[kind])} (${short(result.load[kind] / computed[kind])})`
    );
    const rest = result.slotsInUse === undefined
      ? ["", ""]
      : [short(result.refusedPerSpec), `${short(result.slotsInUse * 100)} %`];
    lines.push([name, model.nodes.toLocaleString("en-US"), ...loads, ...rest]);
  }
  return markdown([...FLEET_HEADINGS, "refused for a spec", "slots in use"], lines);
}
