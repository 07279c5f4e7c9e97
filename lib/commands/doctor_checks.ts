/** The checks of `doctor`, one by one. Each finds out one thing and never throws for what it finds. */
import type { StateFolder } from "../core/keys.ts";
import { StoreError } from "../core/store_error.ts";
import { SupervisorError } from "../core/supervisor_error.ts";
import type { DeleteResult, Store, WriteResult } from "../ports.ts";
import { probeStore } from "../probe.ts";
import { formatDuration } from "./duration.ts";
import type { Queue } from "./queue.ts";
import { claimProblems } from "./status_report.ts";

/** What a check came to. */
export interface Finding {
  readonly outcome: "ok" | "warning" | "failed" | "skipped";
  /** What was found. */
  readonly detail: string;
  /** What to do about it. */
  readonly advice?: string;
}

export interface Check {
  readonly name: string;
  /** Without it, nothing that comes later can be found out. */
  readonly vital?: true;
  run(): Promise<Finding>;
}

/** Everything that takes a bucket, in the order in which one thing rests on the other. */
export function queueChecks(queue: Queue, probeKeys: ProbeKeys): Check[] {
  const { ports, config } = queue;
  return [
    { name: "credentials", vital: true, run: async () => ok(await ports.describeCredentials()) },
    { name: "bucket", vital: true, run: () => checkBucket(queue) },
    ...PERMISSIONS.map((permissions) => ({
      name: `permissions ${permissions.folder}/`,
      run: () => checkPermissions(queue, permissions),
    })),
    { name: "conditional writes", run: () => checkConditions(queue) },
    { name: "simultaneous writes", run: () => checkSimultaneous(queue, probeKeys) },
    { name: "clock", run: () => checkClock(queue, probeKeys) },
    { name: "supervisor", run: () => checkSupervisor(queue, config.supervisor) },
    { name: "claims", run: () => checkClaims(queue) },
    { name: "round trips", run: () => checkRoundTrips(queue, probeKeys) },
  ];
}

/** Fresh keys for objects of the checks' own, all remembered so that they can be removed. */
export class ProbeKeys {
  readonly #queue: Queue;
  readonly #keys: string[] = [];

  constructor(queue: Queue) {
    this.#queue = queue;
  }

  next(): string {
    const key = this.#queue.keys.probe(`doctor-${this.#queue.ports.entropy.nonce()}`);
    this.#keys.push(key);
    return key;
  }

  /** Removes every object that may be left; what cannot be removed is small, and named. */
  async removeAll(): Promise<string[]> {
    const left: string[] = [];
    for (const key of this.#keys) {
      try {
        const result = await this.#queue.store.delete(key, undefined);
        if (result.outcome !== "deleted") left.push(key);
      } catch (error) {
        if (!(error instanceof StoreError)) throw error;
        left.push(key);
      }
    }
    return left;
  }
}

function ok(detail: string): Finding {
  return { outcome: "ok", detail };
}

async function checkBucket({ store, keys, config }: Queue): Promise<Finding> {
  await store.list({ prefix: keys.folder("pending"), maxKeys: 1 });
  return ok(`${config.bucket} answers`);
}

const ALL_PERMISSIONS = ["list", "get", "put", "delete"] as const;

type Permission = (typeof ALL_PERMISSIONS)[number];

interface FolderPermissions {
  readonly folder: StateFolder;
  /** What an agent cannot do without. */
  readonly agent: readonly Permission[];
  /** What only these commands need on top: `status` lists and reads, `requeue` deletes. */
  readonly commands: readonly Permission[];
}

const PERMISSIONS: readonly FolderPermissions[] = [
  { folder: "pending", agent: ["list", "get", "put", "delete"], commands: [] },
  { folder: "claimed", agent: ["list", "get", "put", "delete"], commands: [] },
  { folder: "completed", agent: ["get", "put"], commands: ["list"] },
  { folder: "failed", agent: ["get", "put"], commands: ["list", "delete"] },
  { folder: "results", agent: ["get", "put"], commands: [] },
  { folder: "nodes", agent: ["list", "put", "delete"], commands: ["get"] },
  { folder: "probe", agent: ["get", "put", "delete"], commands: [] },
];

/** An ETag that no object has. */
const NO_ETAG = '"00000000000000000000000000000000"';
/** No spec, so that agents leave it alone should a store create it in spite of its condition. */
const PERMISSION_PROBE = "doctor-permission-";

/**
 * Tries each permission without changing anything: a store says that access is denied before it looks
 * at a condition, so a write or delete that cannot take place tells whether it would have been allowed.
 */
async function checkPermissions(
  queue: Queue,
  { folder, agent, commands }: FolderPermissions,
): Promise<Finding> {
  const prefix = queue.keys.folder(folder);
  const ofAgent = await denialsAmong(queue, folder, agent);
  const ofCommands = await denialsAmong(queue, folder, commands);
  const detail = [...ofAgent, ...ofCommands].join("; ");
  if (ofAgent.length > 0) {
    const advice = `an agent needs to ${agent.join(", ")} ${prefix}*: see the bucket policy in ` +
      "the README";
    return { outcome: "failed", detail, advice };
  }
  if (ofCommands.length > 0) {
    const advice = "agents do without it; the commands status and requeue need it";
    return { outcome: "warning", detail, advice };
  }
  return ok(ALL_PERMISSIONS.filter((each) => [...agent, ...commands].includes(each)).join(", "));
}

async function denialsAmong(
  { store, keys, ports }: Queue,
  folder: StateFolder,
  permissions: readonly Permission[],
): Promise<string[]> {
  const prefix = keys.folder(folder);
  const key = `${prefix}${PERMISSION_PROBE}${ports.entropy.nonce()}`;
  const tries: Readonly<Record<Permission, () => Promise<unknown>>> = {
    list: () => store.list({ prefix, maxKeys: 1 }),
    get: () => store.get(key, 0),
    put: () => replaceNothing(store, key),
    delete: () => store.delete(key, NO_ETAG),
  };
  const denials: string[] = [];
  for (const permission of permissions) {
    try {
      const result = await tries[permission]() as Partial<WriteResult & { cause: string }>;
      if (result.outcome === "unknown") denials.push(`${permission}: ${result.cause}`);
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      denials.push(`${permission}: ${error.message}`);
    }
  }
  return denials;
}

async function replaceNothing(store: Store, key: string): Promise<WriteResult> {
  const result = await store.replace(key, NO_ETAG, new Uint8Array(), {});
  // A store that ignores the condition has just created it; that is another check's finding.
  if (result.outcome === "stored") await store.delete(key, undefined);
  return result;
}

async function checkConditions({ store, keys, ports }: Queue): Promise<Finding> {
  const traits = await probeStore({ store, keys, clock: ports.clock, entropy: ports.entropy });
  return traits.conditionalDelete ? ok("create, replace and delete are honoured") : {
    outcome: "warning",
    detail: "create and replace are honoured, conditional delete is not",
    advice: "nothing has to be done: agents look at an object before they delete it",
  };
}

const SIMULTANEOUS = 16;
const ROUNDS = 3;

/** Of so many writers at once, one must be let through; each round on an object of its own. */
async function checkSimultaneous(queue: Queue, probeKeys: ProbeKeys): Promise<Finding> {
  const { store } = queue;
  for (let round = 0; round < ROUNDS; round++) {
    const key = probeKeys.next();
    const creates = await raceOf(queue, key, (body) => store.create(key, body, {}));
    if (creates !== undefined) return broken("create", creates);
    const head = await store.head(key);
    if (head === undefined) return unclear();
    const { etag } = head;
    const replaces = await raceOf(queue, key, (body) => store.replace(key, etag, body, {}));
    if (replaces !== undefined) return broken("replace", replaces);
  }
  return ok(`of ${SIMULTANEOUS} creates, and of ${SIMULTANEOUS} replaces, one was let through`);
}

/** How many writers were let through; undefined if it was the one whose write is there. */
async function raceOf(
  { store, ports }: Queue,
  key: string,
  write: (body: Uint8Array) => Promise<WriteResult>,
): Promise<number | undefined> {
  const bodies = Array.from({ length: SIMULTANEOUS }, () => ports.entropy.nonce());
  const results = await Promise.all(bodies.map((text) => write(new TextEncoder().encode(text))));
  const got = await store.get(key, 1_024);
  const text = got.outcome === "found" ? new TextDecoder().decode(got.object.body) : "";
  // One that got no clear answer may have been let through: what is stored tells.
  const stored = bodies.filter((_, index) => results[index].outcome === "stored");
  const seen = bodies.filter((body, index) =>
    results[index].outcome === "unknown" && body === text && !stored.includes(body)
  );
  const winners = [...stored, ...seen];
  if (winners.length === 1 && winners[0] === text) return undefined;
  if (winners.length === 0) {
    throw new StoreError(
      "transient",
      "The bucket answered none of the simultaneous writes clearly",
    );
  }
  return winners.length;
}

function broken(condition: string, winners: number): Finding {
  return {
    outcome: "failed",
    detail: `${winners} of ${SIMULTANEOUS} simultaneous conditional writes (${condition}) were ` +
      "let through",
    advice: "do not use this store: two nodes could run one spec",
  };
}

function unclear(): Finding {
  return { outcome: "failed", detail: "an object was gone at once", advice: "try again" };
}

const SKEW_WARNED_MS = 5_000;

/** LastModified has whole seconds, so up to one second of difference cannot be told from none. */
async function checkClock({ store, ports }: Queue, probeKeys: ProbeKeys): Promise<Finding> {
  const { clock } = ports;
  const key = probeKeys.next();
  const beforeMs = clock.now();
  await store.put(key, new TextEncoder().encode("clock"), {});
  const afterMs = clock.now();
  const head = await store.head(key);
  if (head === undefined) return unclear();
  const aheadMs = beforeMs - (head.lastModifiedMs + 1_000);
  const behindMs = head.lastModifiedMs - afterMs;
  const skewMs = Math.max(0, aheadMs, behindMs);
  if (skewMs <= SKEW_WARNED_MS) return ok("in step with the bucket's, within a few seconds");
  return {
    outcome: "warning",
    detail: `${formatDuration(skewMs)} ${aheadMs > 0 ? "ahead of" : "behind"} the bucket's`,
    advice: "set it by NTP: claims do not rest on it, but logs do, and a store refuses requests " +
      "whose signature is minutes off",
  };
}

async function checkSupervisor({ ports }: Queue, program: string): Promise<Finding> {
  try {
    await ports.checkSupervisor(program);
    return ok(`${program} is executable`);
  } catch (error) {
    if (!(error instanceof SupervisorError)) throw error;
    return {
      outcome: "failed",
      detail: error.message,
      advice: "install it, or set CELLOS_FLEET_SUPERVISOR to its path; nothing has to be done " +
        "where no agent is to run",
    };
  }
}

async function checkClaims(queue: Queue): Promise<Finding> {
  const [first, ...others] = await claimProblems(queue);
  if (first === undefined) return ok("none without a lease, none unrenewed");
  const more = others.length === 0 ? "" : ` (and ${others.length} more of such kinds)`;
  const advice = "see cellos-fleet status";
  return { outcome: "warning", detail: `${first.text}${more}`, advice };
}

const ROUND_TRIPS = 5;

async function checkRoundTrips(queue: Queue, probeKeys: ProbeKeys): Promise<Finding> {
  const { store, keys, ports: { clock } } = queue;
  const samples = new Map<string, number[]>();
  const time = async <Result>(name: string, request: () => Promise<Result>): Promise<Result> => {
    const startedMs = clock.monotonic();
    const result = await request();
    samples.set(name, [...samples.get(name) ?? [], clock.monotonic() - startedMs]);
    return result;
  };
  const body = new TextEncoder().encode("round trip");
  for (let round = 0; round < ROUND_TRIPS; round++) {
    const key = probeKeys.next();
    await time("list", () => store.list({ prefix: keys.folder("pending"), maxKeys: 1 }));
    const created = await time("create", () => store.create(key, body, {}));
    const etag = created.outcome === "stored" ? created.etag : NO_ETAG;
    await time("head", () => store.head(key));
    await time("get", () => store.get(key, 1_024));
    await time<WriteResult>("replace", () => store.replace(key, etag, body, {}));
    await time<DeleteResult>("delete", () => store.delete(key, undefined));
  }
  const medians = [...samples].map(([name, times]) => `${name} ${milliseconds(median(times))}`);
  return ok(medians.join(", "));
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];
}

function milliseconds(ms: number): string {
  return `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`;
}
