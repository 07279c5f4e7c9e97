/**
 * What fleets too large for any one machine ask of S3, by arithmetic: from the requests that the
 * other rows have counted, S3's prices (us-east-1), and what one prefix of a bucket takes.
 */
import { PEERS_REFRESH_MS } from "../../lib/peers.ts";
import { markdown, short } from "./figures.ts";

/** Dollars for one request. Deletes are free. */
const PRICE = { write: 0.005 / 1_000, list: 0.005 / 1_000, get: 0.0004 / 1_000 };
/** Requests a second that S3 takes for one prefix; deletes count as writes, listings as reads. */
export const PREFIX_LIMIT = { writes: 3_500, reads: 5_500 };
/** For one spec without a pool, as row 2 counts them. */
const PER_SPEC = { writes: 5, deletes: 3, gets: 1 };
const PAGE_KEYS = 1_000;
/** A claim is a spec and a lease under `claimed/`. */
const KEYS_PER_CLAIM = 2;
const SECONDS_PER_DAY = 86_400;

/** A fleet of which every node is alike: idle, or busy with one cell after the other. */
export interface FleetModel {
  readonly nodes: number;
  /** Queues that the nodes are divided between. */
  readonly lanes: number;
  readonly pollSeconds: number;
  readonly leaseTtlSeconds: number;
  readonly heartbeatSeconds: number;
  /** How long a cell runs; undefined for an idle fleet. */
  readonly cellSeconds: number | undefined;
}

/** Requests a second by what S3 charges and limits them as. */
export interface FleetLoad {
  readonly writes: number;
  readonly deletes: number;
  readonly gets: number;
  readonly lists: number;
}

/** What the first columns of a table of fleets have. */
export const FLEET_HEADINGS = [
  "fleet",
  "nodes",
  "writes /s",
  "deletes /s",
  "reads /s",
  "listings /s",
];

/** The settings that an agent has by default. */
export const DEFAULTS = {
  lanes: 1,
  pollSeconds: 5,
  leaseTtlSeconds: 120,
  heartbeatSeconds: 30,
} as const;

/**
 * The load of all lanes together. A busy node lists the queue once for each spec, one page: what it
 * had at hand before the cell is out of date after it. The nodes it lists along with that, one page.
 */
export function fleetLoad(model: FleetModel): FleetLoad {
  const { nodes, lanes, pollSeconds, leaseTtlSeconds, heartbeatSeconds, cellSeconds } = model;
  const busy = cellSeconds !== undefined;
  const specs = busy ? nodes / cellSeconds : 0;
  const claimPages = busy ? Math.max(1, Math.ceil(nodes / lanes * KEYS_PER_CLAIM / PAGE_KEYS)) : 1;
  const scansEachSecond = nodes / (leaseTtlSeconds / 3);
  const polls = busy ? specs : nodes / pollSeconds;
  const peerLists = busy ? Math.min(specs, nodes / (PEERS_REFRESH_MS / 1_000)) : 0;
  const renewals = busy ? specs * Math.floor(cellSeconds / (leaseTtlSeconds / 3)) : 0;
  return {
    writes: specs * PER_SPEC.writes + renewals + nodes / heartbeatSeconds,
    deletes: specs * PER_SPEC.deletes,
    gets: specs * PER_SPEC.gets,
    lists: polls + peerLists + scansEachSecond * claimPages,
  };
}

export function dollarsPerDay({ writes, gets, lists }: FleetLoad): number {
  return (writes * PRICE.write + gets * PRICE.get + lists * PRICE.list) * SECONDS_PER_DAY;
}

/** What a million specs cost beside the cost of the nodes that wait for them. */
export function dollarsPerMillionSpecs(): number {
  return (PER_SPEC.writes * PRICE.write + PER_SPEC.gets * PRICE.get) * 1e6;
}

/** The share of one prefix's limits that the fleet needs in each lane; over 1 is too much. */
export function shareOfLimit(model: FleetModel): number {
  const { writes, deletes, gets, lists } = fleetLoad(model);
  const share = Math.max(
    (writes + deletes) / PREFIX_LIMIT.writes,
    (gets + lists) / PREFIX_LIMIT.reads,
  );
  return share / model.lanes;
}

/** The most nodes that one lane carries. */
export function mostNodes(model: Omit<FleetModel, "nodes">): number {
  let fits = 0;
  for (let step = 2 ** 20; step >= 1; step /= 2) {
    if (shareOfLimit({ ...model, nodes: fits + step }) <= 1) fits += step;
  }
  return fits;
}

/** The tables of the performance page, in Markdown. */
export function arithmeticTables(): string {
  const busy = { ...DEFAULTS, cellSeconds: 60 };
  const idle = { ...DEFAULTS, cellSeconds: undefined };
  const lanes = {
    ...busy,
    lanes: 100,
    pollSeconds: 30,
    leaseTtlSeconds: 300,
    heartbeatSeconds: 300,
  };
  const rows: [string, Omit<FleetModel, "nodes">, readonly number[]][] = [
    ["idle, default settings", idle, [10, 1_000, 100_000]],
    ["busy with cells of 60 s, default settings", busy, [10, 1_000, 100_000]],
    ["idle, 100 lanes, poll 30 s, lease 300 s, heartbeat 300 s", {
      ...lanes,
      cellSeconds: undefined,
    }, [100_000]],
    ["busy, 100 lanes, poll 30 s, lease 300 s, heartbeat 300 s", lanes, [100_000]],
  ];
  const lines = rows.flatMap(([name, model, sizes]) =>
    sizes.map((nodes) => {
      const load = fleetLoad({ ...model, nodes });
      const { writes, deletes, gets, lists } = load;
      const figures = [writes, deletes, gets, lists, dollarsPerDay(load)].map(short);
      const share = `${short(shareOfLimit({ ...model, nodes }) * 100)} %`;
      return [name, nodes.toLocaleString("en-US"), ...figures, share];
    })
  );
  return markdown([...FLEET_HEADINGS, "$ a day", "of a lane's limit"], lines) + [
    "",
    `A million specs cost $${short(dollarsPerMillionSpecs())}, whatever the fleet.`,
    `One lane carries ${mostNodes(idle).toLocaleString("en-US")} idle nodes, or ` +
    `${mostNodes(busy).toLocaleString("en-US")} nodes busy with cells of 60 s.`,
    "",
  ].join("\n");
}
