/**
 * Draws a scenario from a seed. Each seed first draws which kinds of trouble it has at all, since a
 * run with every kind at once seldom gets far enough into any (swarm testing: Groce et al., 2012).
 */
import { Random } from "./random.ts";
import {
  type CellPlan,
  type FleetPlan,
  type Incident,
  NO_REQUEST_FAULTS,
  type NodePlan,
  type PersonAct,
  PLAIN_NODE,
  type RequestFaults,
  type Scenario,
  type StorePlan,
} from "./scenario.ts";

/** What kind of scenario a seed gives: the kinds take turns, so that each can be searched alone. */
export const FAMILIES = ["strain", "steady", "hands", "medley"] as const;

export type Family = (typeof FAMILIES)[number];

export function familyOf(seed: number): Family {
  return FAMILIES[seed % FAMILIES.length];
}

/** The scenario of a seed. */
export function drawScenario(seed: number): Scenario {
  const random = new Random(seed, "scenario");
  const family = familyOf(seed);
  if (family === "strain") return drawStrain(seed, random);
  const medley = drawMedley(seed, random, family);
  return family === "hands" ? withManyHands(medley, random) : medley;
}

/** Any mixture of everything; a steady one leaves every lease that can be renewed in time. */
function drawMedley(seed: number, random: Random, family: Family): Scenario {
  const fleet = drawFleet(random);
  const { ttlMs } = fleet;
  const faultsEndMs = ttlMs * random.between(3, 9);
  const leasesHold = family === "steady";
  const nodes = drawNodes(random, ttlMs, faultsEndMs);
  return {
    seed,
    store: drawStore(random, ttlMs),
    fleet,
    nodes,
    requestFaults: drawRequestFaults(random, leasesHold),
    incidents: drawIncidents(random, nodes.length, ttlMs, faultsEndMs, leasesHold),
    people: drawPeople(random, nodes, fleet, faultsEndMs),
    cells: drawCells(random, ttlMs),
    faultsEndMs,
    leasesHold,
  };
}

/** Many people at one or two ids, while requests are repeated and land late. */
function withManyHands(medley: Scenario, random: Random): Scenario {
  const { fleet, faultsEndMs } = medley;
  const ids = IDS.slice(0, random.whole(1, 2));
  const people: PersonAct[] = ids.map((id) => ({
    atMs: random.between(0, fleet.ttlMs / 2),
    id,
    kind: "submit",
    spec: `{"version":"first of ${id}"}`,
  }));
  for (let version = 1; version <= random.whole(4, 16); version++) {
    // Often at the same moment as something else, when it matters.
    const near = random.pick(people).atMs + random.between(0, fleet.ttlMs / 4);
    const atMs = random.chance(0.6) ? Math.min(near, faultsEndMs) : random.between(0, faultsEndMs);
    people.push({ ...drawHand(random, fleet.ttlMs, version), atMs, id: random.pick(ids) });
  }
  const rate = () => random.pick([0, 0.03, 0.1]);
  return {
    ...medley,
    store: { ...medley.store, conditionalDelete: random.chance(0.5) },
    requestFaults: {
      ...medley.requestFaults,
      replyLost: rate(),
      late: rate(),
      twice: rate(),
      brokenQuickly: 0.8,
    },
    people: people.sort((a, b) => a.atMs - b.atMs),
    cells: { ...medley.cells, maxDurationMs: fleet.ttlMs, short: 0.5 },
  };
}

/** An act without its time and id. */
type Hand = PersonAct extends infer Act ? Act extends PersonAct ? Omit<Act, "atMs" | "id"> : never
  : never;

function drawHand(random: Random, ttlMs: number, version: number): Hand {
  switch (random.whole(1, 10)) {
    case 1:
    case 2:
    case 3:
      return { kind: "submit", spec: JSON.stringify({ version }) };
    case 4:
    case 5:
      return { kind: "resubmit" };
    case 6:
      return { kind: "cancel" };
    case 7:
      return { kind: "retry-failed", deleteAfterMs: random.between(1, ttlMs / 10) };
    case 8:
      return { kind: "command", command: random.pick(["requeue", "requeue-leaseless"]) };
    default: {
      const diesAfterMs = random.chance(0.2) ? random.between(0, ttlMs / 4) : undefined;
      return { kind: "command", command: "cancel", diesAfterMs };
    }
  }
}

/**
 * Leases at the edge of their lifetime: long cells that are deaf to SIGTERM, holders with slow clocks
 * that lose the bucket again and again, and idle watchers with fast ones.
 */
function drawStrain(seed: number, random: Random): Scenario {
  const ttlMs = random.pick([6_000, 30_000, 120_000]);
  const killGraceMs = ttlMs * random.pick([0.25, 0.5]);
  const fleet = { ...drawFleet(random), ttlMs, killGraceMs, pollIntervalMs: ttlMs * 0.2 };
  const faultsEndMs = ttlMs * random.between(4, 8);
  const apart = random.chance(0.7);
  const clearViews = random.chance(0.7);
  const nodes = Array.from({ length: random.pick([2, 2, 3]) }, (_, index): NodePlan => ({
    ...PLAIN_NODE,
    name: `node-${index}`,
    startsAtMs: index * 20,
    concurrency: random.pick([1, 2]),
    clockRate: apart ? (index === 0 ? 0.99 : 1.01) : random.between(0.99, 1.01),
    requestFaults: clearViews && index > 0 ? NO_REQUEST_FAULTS : undefined,
  }));
  const incidents: Incident[] = [];
  for (let atMs = 0;;) {
    atMs += ttlMs * random.between(0.2, 2);
    if (atMs > faultsEndMs) break;
    const node = random.chance(0.7) ? 0 : random.whole(0, nodes.length - 1);
    const forMs = ttlMs * random.between(0.3, 2.5);
    const answered = random.chance(0.5);
    incidents.push(
      random.chance(0.4)
        ? { atMs, kind: "ambush", node, forMs, answered }
        : { atMs, kind: "cut-off", node, forMs, manner: drawManner(random) },
    );
    if (random.chance(0.2)) {
      const diesMs = atMs + ttlMs * random.next();
      const restartAfterMs = ttlMs * random.next();
      incidents.push({ atMs: diesMs, kind: "crash", node, host: false, restartAfterMs });
    }
  }
  return {
    seed,
    store: { ...drawStore(random, ttlMs), latencyMs: random.pick([10, ttlMs / 60]) },
    fleet,
    nodes,
    requestFaults: {
      ...drawRequestFaults(random, false),
      ...(random.chance(0.4) ? { slow: 0.4 } : {}),
      ...(random.chance(0.3) ? { replyLost: 0.2, brokenQuickly: 0.2 } : {}),
    },
    incidents,
    people: IDS.slice(0, random.whole(1, 2)).map((id, index) => ({
      atMs: random.between(0, ttlMs),
      id,
      kind: "submit",
      spec: JSON.stringify({ version: index }),
    })),
    cells: { maxDurationMs: ttlMs * 5, short: 0, failing: 0.1, ignoresTerm: 0.8 },
    faultsEndMs,
    leasesHold: false,
  };
}

function drawManner(random: Random): "silent" | "broken" | "throttled" | "denied" {
  return random.pick(["silent", "silent", "broken", "broken", "throttled", "denied"]);
}

function drawFleet(random: Random): FleetPlan {
  const ttlMs = random.pick([6_000, 6_000, 12_000, 30_000, 120_000]);
  const killGraceMs = random.pick([
    Math.min(10_000, ttlMs / 4),
    Math.min(10_000, ttlMs / 4),
    ttlMs / 2,
    ttlMs / 10,
    200,
  ]);
  return {
    ttlMs,
    killGraceMs,
    maxAttempts: random.pick([1, 2, 3, 3]),
    maxSpecBytes: 400,
    pollIntervalMs: ttlMs * random.pick([0.1, 0.3, 0.8]),
    heartbeatIntervalMs: ttlMs * random.pick([0.5, 2]),
  };
}

function drawStore(random: Random, ttlMs: number): StorePlan {
  return {
    conditionalDelete: random.chance(0.8),
    etags: random.chance(0.7) ? "content" : "unique",
    deleteOfAbsent: random.pick(["deleted", "deleted", "refused"]),
    pageKeys: random.pick([1, 2, 5, 1000, 1000]),
    latencyMs: random.pick([20, 100, ttlMs / 60]),
  };
}

function drawNodes(random: Random, ttlMs: number, faultsEndMs: number): NodePlan[] {
  const count = random.pick([1, 2, 2, 3, 3, 4]);
  const fence = random.chance(0.85) ? "strict" : "confirmed";
  const pools = random.chance(0.4);
  const lifetimesDiffer = random.chance(0.1);
  const cellTimeoutMs = random.chance(0.3) ? ttlMs * random.between(0.2, 2) : 0;
  return Array.from({ length: count }, (_, index) => ({
    name: `node-${index}`,
    startsAtMs: random.chance(0.7) ? random.between(0, 50) : random.between(0, faultsEndMs / 2),
    // The first takes everything, so that nothing is left without a node.
    poolId: pools && index > 0 ? random.pick(["a", "b", ""]) : "",
    concurrency: random.pick([1, 1, 2, 3]),
    fence,
    ttlMs: lifetimesDiffer ? ttlMs * random.pick([1, 2, 4]) : undefined,
    cellTimeoutMs,
    drainTimeoutMs: random.chance(0.4) ? ttlMs * random.between(0.1, 2) : 0,
    // The first stays, to see that leases die.
    exitWhenIdleMs: random.chance(0.1) && index > 0 ? ttlMs * random.between(0.2, 2) : 0,
    wallOffsetMs: random.chance(0.5) ? 0 : random.between(-600_000, 600_000),
    clockRate: random.chance(0.3) ? 1 : random.pick([0.99, 1.01, random.between(0.99, 1.01)]),
  }));
}

function drawRequestFaults(random: Random, leasesHold: boolean): RequestFaults {
  if (random.chance(0.2)) return NO_REQUEST_FAULTS;
  // Where requests fail quickly or not at all, even many failures in a row leave time to renew.
  const scale = leasesHold ? 0.1 : random.pick([0.01, 0.03, 0.1]);
  const rate = () => random.chance(0.5) ? scale * random.next() : 0;
  const faults = {
    lost: rate(),
    replyLost: rate(),
    late: rate(),
    twice: rate(),
    answeredWithError: rate(),
    slow: rate(),
    brokenQuickly: random.next(),
  };
  return leasesHold ? { ...faults, slow: 0, brokenQuickly: 1 } : faults;
}

function drawIncidents(
  random: Random,
  nodes: number,
  ttlMs: number,
  endMs: number,
  leasesHold: boolean,
): Incident[] {
  const incidents: Incident[] = [];
  const draw = (
    probability: number,
    most: number,
    one: (atMs: number, node: number) => Incident,
  ) => {
    if (!random.chance(probability)) return;
    const count = random.whole(1, most);
    for (let n = 0; n < count; n++) {
      incidents.push(one(random.between(0, endMs), random.whole(0, nodes - 1)));
    }
  };
  const duration = (most: number) => ttlMs * most * random.next() ** 2;
  draw(0.4, 6, (atMs, node) => {
    const host = random.chance(0.3);
    return { atMs, kind: "crash", node, host, restartAfterMs: duration(3) };
  });
  draw(0.25, 3, (atMs, node) => ({
    atMs,
    kind: "drain",
    node,
    interruptAfterMs: random.chance(0.5) ? duration(2) : undefined,
  }));
  draw(0.15, 2, (atMs, node) => ({ atMs, kind: "no-supervisor", node, forMs: duration(3) }));
  if (leasesHold) return incidents;
  draw(0.3, 4, (atMs, node) => ({
    atMs,
    kind: "freeze",
    node,
    what: random.pick(["host", "watchdog", "agent"]),
    forMs: duration(4),
    watchdogMs: ttlMs / 4,
  }));
  if (random.chance(0.15)) incidents.push(...drawDeathOutOfReach(random, nodes, ttlMs, endMs));
  draw(0.3, 3, (atMs, node) => ({
    atMs,
    kind: "cut-off",
    node: random.chance(0.6) ? node : undefined,
    forMs: duration(3),
    manner: drawManner(random),
  }));
  return incidents;
}

/** An agent that cannot renew its leases any more, and dies about when it has to stop its cells. */
function drawDeathOutOfReach(
  random: Random,
  nodes: number,
  ttlMs: number,
  endMs: number,
): Incident[] {
  const atMs = random.between(0, endMs);
  const node = random.whole(0, nodes - 1);
  return [
    { atMs, kind: "cut-off", node, forMs: 3 * ttlMs, manner: random.pick(["silent", "broken"]) },
    {
      atMs: atMs + ttlMs * random.between(0.1, 1),
      kind: "crash",
      node,
      host: false,
      restartAfterMs: ttlMs * random.next(),
    },
  ];
}

const IDS = ["a", "b", "c", "d", "deep/er/e", "f.json", "g h", "ü", "i", "j"];

function drawPeople(
  random: Random,
  nodes: readonly NodePlan[],
  { ttlMs }: FleetPlan,
  endMs: number,
): PersonAct[] {
  const acts: PersonAct[] = [];
  const ids = IDS.slice(0, random.pick([1, 2, 4, 10]));
  const pools = nodes.some(({ poolId }) => poolId !== "") ? ["a", "b", undefined] : [undefined];
  let version = 0;
  const spec = () => {
    version++;
    if (random.chance(0.04)) return JSON.stringify({ version, filler: "x".repeat(500) });
    if (random.chance(0.04)) return `not JSON ${version}`;
    const poolId = random.pick(pools);
    return JSON.stringify({ version, spec: poolId === undefined ? {} : { placement: { poolId } } });
  };
  for (const id of ids) {
    acts.push({ atMs: random.between(0, endMs * 0.5), id, kind: "submit", spec: spec() });
  }
  const meddling = random.chance(0.5) ? random.whole(1, 6) : 0;
  for (let n = 0; n < meddling; n++) {
    const id = random.pick(ids);
    const atMs = random.between(0, endMs);
    const kind = random.pick(["submit", "submit", "resubmit", "cancel", "retry-failed"] as const);
    if (kind === "submit") acts.push({ atMs, id, kind, spec: spec() });
    else if (kind === "retry-failed") {
      acts.push({ atMs, id, kind, deleteAfterMs: random.between(1, ttlMs / 10) });
    } else acts.push({ atMs, id, kind });
  }
  const commands = random.chance(0.25) ? random.whole(1, 5) : 0;
  for (let n = 0; n < commands; n++) {
    const command = random.pick(["cancel", "cancel", "requeue", "requeue-leaseless"] as const);
    const diesAfterMs = random.chance(0.3) ? random.between(0, ttlMs / 4) : undefined;
    const atMs = random.between(0, endMs);
    acts.push({ atMs, id: random.pick(ids), kind: "command", command, diesAfterMs });
  }
  if (random.chance(0.03)) {
    acts.push({ atMs: random.between(0, endMs), id: random.pick(ids), kind: "delete-lease" });
  }
  if (random.chance(0.1)) {
    const atMs = random.between(0, endMs);
    acts.push({ atMs, id: "foreign", kind: "put-claimed", spec: spec() });
    if (random.chance(0.3)) {
      const laterMs = random.between(atMs, endMs);
      acts.push({ atMs: laterMs, id: "foreign", kind: "submit", spec: spec() });
    }
  }
  return acts.sort((a, b) => a.atMs - b.atMs);
}

function drawCells(random: Random, ttlMs: number): CellPlan {
  return {
    maxDurationMs: ttlMs * random.pick([0.3, 1, 3]),
    short: random.pick([0, 0.3, 1]),
    failing: random.pick([0, 0.3]),
    ignoresTerm: random.pick([0, 0.5]),
  };
}
