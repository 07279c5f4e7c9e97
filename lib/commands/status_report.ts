/**
 * What `status` knows of a queue. It only lists and reads, and only so much of each kind, so that it
 * is as cheap in front of a million specs as in front of ten.
 *
 * Ages are differences of the store's own times: of an object's LastModified and of the clock the
 * store answered with. Where it does not tell that, this host's clock stands in, or the newest
 * LastModified that was seen if that is later.
 */
import type { Lease } from "../core/lease.ts";
import { decodeNodeRecord, type NodeRecord } from "../core/node_record.ts";
import { REASONS, RESULT_METADATA_PREFIX } from "../core/result.ts";
import type { ListedObject } from "../ports.ts";
import { formatDuration } from "./duration.ts";
import { leaseOf, listFolder, type Listing, mapBounded, type Queue } from "./queue.ts";

export const STATUS_SCHEMA = "dev.cellos.fleet.status.v1";

export const STATES = ["pending", "claimed", "completed", "failed"] as const;

export interface StateCount {
  readonly count: number;
  /** False: there are more, and the oldest may be among them. */
  readonly complete: boolean;
  readonly oldestAgeMs?: number;
}

export interface RunningSpec {
  readonly specId: string;
  /** `running`; `filing`: ended, and being filed; `releasing`: on its way back to pending. */
  readonly state: "running" | "filing" | "releasing" | "unreadable";
  readonly node?: string;
  readonly poolId?: string;
  readonly attempt?: number;
  /** By the clock of the node. */
  readonly claimedAt?: string;
  readonly leaseAgeMs: number;
}

export interface NodeStatus extends NodeRecord {
  readonly heartbeatAgeMs: number;
  /** Without a heartbeat for three intervals: it is gone, or cannot reach the bucket. */
  readonly silent: boolean;
}

export interface Failure {
  readonly specId: string;
  readonly ageMs: number;
  /** This and what follows is absent when an older agent filed it. */
  readonly reason?: string;
  readonly exitCode?: number;
  readonly signal?: string;
  readonly node?: string;
  readonly attempt?: number;
}

export interface Leaseless {
  readonly specId: string;
  readonly ageMs: number;
}

/** Something that needs a person. */
export interface Problem {
  readonly kind: "claim-without-lease" | "lease-unrenewed" | "pending-too-old";
  readonly specId: string;
  readonly ageMs: number;
  readonly text: string;
}

export interface StatusReport {
  readonly schema: typeof STATUS_SCHEMA;
  /** By the store's clock, where it tells. */
  readonly at: string;
  readonly bucket: string;
  readonly prefix: string;
  readonly queueName: string;
  readonly states: Readonly<Record<typeof STATES[number], StateCount>>;
  /** The least recently renewed first. */
  readonly running: readonly RunningSpec[];
  /** Claims beyond those that were read. */
  readonly runningOmitted: number;
  readonly nodes: readonly NodeStatus[];
  readonly nodesOmitted: number;
  readonly leaseless: readonly Leaseless[];
  /** The newest first. */
  readonly failures: readonly Failure[];
  /** False: there are more failed specs than were listed, and the newest may be among them. */
  readonly failuresComplete: boolean;
  readonly problems: readonly Problem[];
}

export interface ReportOptions {
  /** Count everything, however long that takes. */
  readonly exact: boolean;
  /** Look at every pending and claimed spec, so that no problem is overlooked. */
  readonly thorough: boolean;
  /** A pending spec that is older is a problem; undefined: none is. */
  readonly maxAgeMs: number | undefined;
}

const READS_AT_ONCE = 16;
const LEASES_READ = 200;
const NODES_READ = 200;
const FAILURES_READ = 10;
const LEASELESS_CHECKED = 200;
const MAX_NODE_BYTES = 1024 * 1024;
const SILENT_INTERVALS = 3;
/** The times of objects are of whole seconds, and a record takes a moment to be stored. */
const SILENT_ALLOWANCE_MS = 5_000;
/** Leases are renewed each third of their lifetime, and taken over after one. */
const UNRENEWED_LIFETIMES = 2;

/** Collects the report. Rejects with a `StoreError`. */
export async function collectStatus(queue: Queue, options: ReportOptions): Promise<StatusReport> {
  const { keys, config } = queue;
  const { exact, thorough, maxAgeMs } = options;
  const [pending, claimed, completed, failed, nodes] = await Promise.all([
    listFolder(queue, keys.folder("pending"), exact || thorough),
    listFolder(queue, keys.folder("claimed"), exact || thorough),
    listFolder(queue, keys.folder("completed"), exact),
    listFolder(queue, keys.folder("failed"), exact),
    listFolder(queue, keys.folder("nodes"), false),
  ]);
  const listings = { pending, claimed, completed, failed };
  const nowMs = storeNow(queue, [pending, claimed, completed, failed, nodes]);
  const leases = leasesOf(queue, claimed);
  const [running, nodeStatuses, leaseless, failures] = await Promise.all([
    readRunning(queue, leases.slice(0, LEASES_READ), nowMs),
    readNodes(queue, nodes, nowMs),
    findLeaseless(queue, claimed, leases, nowMs),
    readFailures(queue, failed, nowMs),
  ]);
  const states = Object.fromEntries(STATES.map((state) => {
    const specs = idsOf(listings[state], (key) => keys.specId(state, key));
    return [state, stateCount(specs, listings[state].complete, nowMs)];
  })) as unknown as StatusReport["states"];
  const pendingSpecs = idsOf(pending, (key) => keys.specId("pending", key));
  return {
    schema: STATUS_SCHEMA,
    at: new Date(nowMs).toISOString(),
    bucket: config.bucket,
    prefix: config.prefix,
    queueName: config.queueName,
    states,
    running,
    runningOmitted: Math.max(0, leases.length - LEASES_READ),
    ...nodeStatuses,
    leaseless,
    failures,
    failuresComplete: failed.complete,
    problems: [
      ...leaseless.map(leaselessProblem),
      ...unrenewedProblems(leases, config.leaseTtlMs, nowMs),
      ...tooOldProblems(pendingSpecs, maxAgeMs, nowMs),
    ],
  };
}

/** What needs a person among the claims, all of which are looked at. Rejects with a `StoreError`. */
export async function claimProblems(queue: Queue): Promise<Problem[]> {
  const claimed = await listFolder(queue, queue.keys.folder("claimed"), true);
  const nowMs = storeNow(queue, [claimed]);
  const leases = leasesOf(queue, claimed);
  const leaseless = await findLeaseless(queue, claimed, leases, nowMs);
  return [
    ...leaseless.map(leaselessProblem),
    ...unrenewedProblems(leases, queue.config.leaseTtlMs, nowMs),
  ];
}

interface Listed extends ListedObject {
  readonly id: string;
}

function idsOf({ objects }: Listing, idOf: (key: string) => string | undefined): Listed[] {
  const found: Listed[] = [];
  for (const object of objects) {
    const id = idOf(object.key);
    if (id !== undefined) found.push({ ...object, id });
  }
  return found;
}

/** The least recently renewed first. */
function leasesOf({ keys }: Queue, claimed: Listing): Listed[] {
  return idsOf(claimed, (key) => {
    const found = keys.claimedKey(key);
    return found.kind === "lease" ? found.id : undefined;
  }).sort(byAge);
}

function byAge(a: Listed, b: Listed): number {
  return a.lastModifiedMs - b.lastModifiedMs || (a.key < b.key ? -1 : 1);
}

function storeNow({ ports }: Queue, listings: readonly Listing[]): number {
  const told = listings.map(({ servedAtMs }) => servedAtMs).filter((ms) => ms !== undefined);
  let nowMs = told.length > 0 ? Math.max(...told) : ports.clock.now();
  for (const { objects } of listings) {
    for (const { lastModifiedMs } of objects) nowMs = Math.max(nowMs, lastModifiedMs);
  }
  return nowMs;
}

function stateCount(specs: readonly Listed[], complete: boolean, nowMs: number): StateCount {
  const oldestMs = specs.reduce((ms, { lastModifiedMs }) => Math.min(ms, lastModifiedMs), Infinity);
  const count = specs.length;
  return count === 0 ? { count, complete } : { count, complete, oldestAgeMs: nowMs - oldestMs };
}

const SHOWN_STATES: Readonly<Record<Lease["state"], RunningSpec["state"]>> = {
  claimed: "running",
  exited: "filing",
  releasing: "releasing",
};

async function readRunning(
  queue: Queue,
  leases: readonly Listed[],
  nowMs: number,
): Promise<RunningSpec[]> {
  const read = await mapBounded(leases, READS_AT_ONCE, async ({ id, lastModifiedMs }) => {
    const seen = await leaseOf(queue, id);
    // Ended since the listing.
    if (seen === undefined) return undefined;
    const newestMs = Math.max(lastModifiedMs, seen.lastModifiedMs);
    const leaseAgeMs = Math.max(0, nowMs - newestMs);
    if (seen.lease === undefined) return { specId: id, state: "unreadable" as const, leaseAgeMs };
    const { node, poolId, attempt, claimedAt, state } = seen.lease;
    return { specId: id, state: SHOWN_STATES[state], node, poolId, attempt, claimedAt, leaseAgeMs };
  });
  return read.filter((spec) => spec !== undefined);
}

async function readNodes(
  { store, keys }: Queue,
  listing: Listing,
  nowMs: number,
): Promise<{ nodes: NodeStatus[]; nodesOmitted: number }> {
  // The newest first, so that those left out are the ones long gone.
  const listed = idsOf(listing, (key) => keys.specId("nodes", key)).sort((a, b) => byAge(b, a));
  const read = await mapBounded(
    listed.slice(0, NODES_READ),
    READS_AT_ONCE,
    async ({ key }): Promise<NodeStatus | undefined> => {
      const got = await store.get(key, MAX_NODE_BYTES);
      const record = got.outcome === "found" ? decodeNodeRecord(got.object.body) : undefined;
      if (got.outcome !== "found" || record === undefined) return undefined;
      const heartbeatAgeMs = Math.max(0, nowMs - got.object.lastModifiedMs);
      const silent = heartbeatAgeMs >
        SILENT_INTERVALS * record.heartbeatIntervalMs + SILENT_ALLOWANCE_MS;
      return { ...record, heartbeatAgeMs, silent };
    },
  );
  const nodes = read.filter((node) => node !== undefined)
    .sort((a, b) => a.node < b.node ? -1 : a.node > b.node ? 1 : 0);
  return { nodes, nodesOmitted: Math.max(0, listed.length - NODES_READ) };
}

/**
 * Claimed specs without a lease. Each is looked at once more: a listing of several pages is not a
 * snapshot, and the spec may have been filed between the pages.
 */
async function findLeaseless(
  { store, keys }: Queue,
  claimed: Listing,
  leases: readonly Listed[],
  nowMs: number,
): Promise<Leaseless[]> {
  const leased = new Set(leases.map(({ id }) => id));
  const suspects = idsOf(claimed, (key) => keys.specId("claimed", key))
    .filter(({ id }) => !leased.has(id)).sort(byAge).slice(0, LEASELESS_CHECKED);
  const checked = await mapBounded(suspects, READS_AT_ONCE, async ({ id, key, etag }) => {
    if (await store.head(keys.lease(id)) !== undefined) return undefined;
    const head = await store.head(key);
    if (head === undefined || head.etag !== etag) return undefined;
    return { specId: id, ageMs: Math.max(0, nowMs - head.lastModifiedMs) };
  });
  return checked.filter((spec) => spec !== undefined);
}

async function readFailures(
  { store, keys }: Queue,
  failed: Listing,
  nowMs: number,
): Promise<Failure[]> {
  const newest = idsOf(failed, (key) => keys.specId("failed", key))
    .sort((a, b) => byAge(b, a)).slice(0, FAILURES_READ);
  const read = await mapBounded(newest, READS_AT_ONCE, async ({ id, key, lastModifiedMs }) => {
    const head = await store.head(key);
    if (head === undefined) return undefined;
    return { specId: id, ageMs: nowMs - lastModifiedMs, ...failureFacts(head.metadata) };
  });
  return read.filter((failure) => failure !== undefined);
}

/** What the user metadata of a terminal object says of the run. */
function failureFacts(
  metadata: Readonly<Record<string, string>>,
): Omit<Failure, "specId" | "ageMs"> {
  const text = (name: string) => metadata[RESULT_METADATA_PREFIX + name];
  const number = (name: string) => {
    const value = text(name);
    return value !== undefined && /^\d{1,9}$/.test(value) ? Number(value) : undefined;
  };
  return {
    reason: REASONS.find((reason) => reason === text("reason")),
    exitCode: number("exit-code"),
    signal: text("signal"),
    node: text("node"),
    attempt: number("attempt"),
  };
}

function leaselessProblem({ specId, ageMs }: Leaseless): Problem {
  const age = formatDuration(ageMs);
  return {
    kind: "claim-without-lease",
    specId,
    ageMs,
    text:
      `${specId} has been claimed without a lease for ${age}: it is an older agent's; if none ` +
      `runs it, give it back with: cellos-fleet requeue --leaseless ${shellWord(specId)}`,
  };
}

function unrenewedProblems(leases: readonly Listed[], ttlMs: number, nowMs: number): Problem[] {
  return leases.filter(({ lastModifiedMs }) => nowMs - lastModifiedMs > UNRENEWED_LIFETIMES * ttlMs)
    .map(({ id: specId, lastModifiedMs }) => {
      const ageMs = nowMs - lastModifiedMs;
      return {
        kind: "lease-unrenewed",
        specId,
        ageMs,
        text:
          `the lease of ${specId} has not been renewed for ${formatDuration(ageMs)}, more than ` +
          `${UNRENEWED_LIFETIMES} lifetimes of ${
            formatDuration(ttlMs)
          }: no agent that may take it ` +
          "over is alive, or has a slot free",
      };
    });
}

function tooOldProblems(
  specs: readonly Listed[],
  maxAgeMs: number | undefined,
  nowMs: number,
): Problem[] {
  if (maxAgeMs === undefined) return [];
  return specs.filter(({ lastModifiedMs }) => nowMs - lastModifiedMs > maxAgeMs).sort(byAge)
    .map(({ id: specId, lastModifiedMs }) => {
      const ageMs = nowMs - lastModifiedMs;
      const text = `${specId} has been pending for ${formatDuration(ageMs)}, more than ` +
        formatDuration(maxAgeMs);
      return { kind: "pending-too-old", specId, ageMs, text };
    });
}

/** The text as one word of a shell's command line. */
function shellWord(text: string): string {
  return /^[\w@%+=:,./][\w@%+=:,./-]*$/.test(text) ? text : `-- '${text.replaceAll("'", "'\\''")}'`;
}
