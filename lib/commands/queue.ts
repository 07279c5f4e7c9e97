/** A queue as commands see it: the settings of the environment, and the bucket that they name. */
import { escapeControls } from "../core/escape_controls.ts";
import { QueueKeys } from "../core/keys.ts";
import { decodeLease, type Lease } from "../core/lease.ts";
import { leaseTiming } from "../core/lease_timing.ts";
import { StoreError } from "../core/store_error.ts";
import { type Config, readConfig } from "../config.ts";
import { describe } from "../event_text.ts";
import type { ClaimContext } from "../claim_context.ts";
import { ClaimLost } from "../held_lease.ts";
import type { ListedObject, Store, Terminal } from "../ports.ts";
import { Vitals } from "../vitals.ts";
import type { CommandPorts } from "./command.ts";
import { EXIT } from "./exit_code.ts";

export interface Queue {
  readonly ports: CommandPorts;
  readonly config: Config;
  readonly store: Store;
  readonly keys: QueueKeys;
}

/**
 * Runs `act` on the queue that the environment names, and says on standard error what kept it from
 * that: a wrong configuration, or a bucket that cannot be used.
 */
export async function withQueue(
  ports: CommandPorts,
  act: (queue: Queue) => Promise<number>,
): Promise<number> {
  const { terminal, environment } = ports;
  const read = readConfig(environment);
  for (const text of read.warnings) await complain(terminal, `Warning: ${text}`);
  if ("problems" in read) {
    for (const text of read.problems) await complain(terminal, text);
    return EXIT.configuration;
  }
  const { config } = read;
  try {
    using store = ports.openStore(config);
    const keys = new QueueKeys(config.prefix, config.queueName);
    return await act({ ports, config, store, keys });
  } catch (error) {
    if (ports.interrupted.aborted && error instanceof ClaimLost) return EXIT.interrupted;
    if (!(error instanceof StoreError)) throw error;
    await complain(terminal, error.message);
    return error.kind === "permanent" ? EXIT.unavailable : EXIT.temporary;
  }
}

/** One line on standard error, under the program's name. */
export function complain(terminal: Terminal, text: string): Promise<void> {
  return terminal.note(`cellos-fleet: ${escapeControls(text)}\n`);
}

/**
 * What a person at a keyboard needs to take part in the claim protocol: like an agent of no pool,
 * which takes every spec, under a name of the form `user@host`. What the protocol has to wait for is
 * said on standard error.
 */
export async function claimContext({ ports, config, store, keys }: Queue): Promise<ClaimContext> {
  const { terminal, clock, entropy, environment, interrupted } = ports;
  // For people only: no reason to fail where the host does not tell its name.
  const host = config.nodeId ?? await ports.hostName().catch(() => "unknown-host");
  const node = `${environment["USER"] || "operator"}@${host}`;
  return {
    store,
    clock,
    entropy,
    keys,
    node,
    poolId: "",
    timing: leaseTiming(config.leaseTtlMs, config.killGraceMs),
    maxAttempts: config.maxAttempts,
    maxSpecBytes: config.maxSpecBytes,
    // Not probed for: a look before each delete, under the lease, does for the few that there are.
    conditionalDelete: false,
    vitals: new Vitals(clock, 1),
    giveUp: interrupted,
    throttled() {},
    log: {
      emit(event) {
        const { level, message, fields } = describe(event);
        // What became of a spec is said by the command itself.
        if (event.name === "spec-filed" || level !== "warn" && level !== "error") return;
        const spec = "spec_id" in fields ? `${fields["spec_id"]}: ` : "";
        // Nothing can be told to somebody who no longer listens.
        complain(terminal, `${spec}${message}`).catch(() => {});
      },
    },
  };
}

const MAX_LEASE_BYTES = 1024 * 1024;

/** A lease as its key shows it. */
export interface LeaseSeen {
  /** Undefined when it cannot be read as a lease of this version. */
  readonly lease: Lease | undefined;
  readonly lastModifiedMs: number;
}

/** Reads the lease of a spec; undefined when there is none. */
export async function leaseOf({ store, keys }: Queue, id: string): Promise<LeaseSeen | undefined> {
  const got = await store.get(keys.lease(id), MAX_LEASE_BYTES);
  if (got.outcome === "absent") return undefined;
  return got.outcome === "too-large"
    ? { lease: undefined, lastModifiedMs: got.head.lastModifiedMs }
    : { lease: decodeLease(got.object.body), lastModifiedMs: got.object.lastModifiedMs };
}

const PAGES_BY_DEFAULT = 10;

/** What a listing has shown. */
export interface Listing {
  readonly objects: readonly ListedObject[];
  /** False when there are more objects than were listed. */
  readonly complete: boolean;
  /** The store's clock at the last page, where it tells. */
  readonly servedAtMs: number | undefined;
}

/** Lists a folder: its first 10,000 objects, or all of them. */
export async function listFolder(
  { store, ports }: Queue,
  prefix: string,
  all: boolean,
): Promise<Listing> {
  const objects: ListedObject[] = [];
  let startAfter: string | undefined;
  for (let pages = 1;; pages++) {
    const page = await store.list({ prefix, startAfter });
    for (const object of page.objects) objects.push(object);
    startAfter = page.objects.at(-1)?.key;
    const { servedAtMs } = page;
    if (!page.truncated || startAfter === undefined) {
      return { objects, complete: true, servedAtMs };
    }
    if (ports.interrupted.aborted || !all && pages >= PAGES_BY_DEFAULT) {
      return { objects, complete: false, servedAtMs };
    }
  }
}

/** Applies `act` to every item, `width` at a time; results in the order of the items. */
export async function mapBounded<Item, Result>(
  items: readonly Item[],
  width: number,
  act: (item: Item, index: number) => Promise<Result>,
): Promise<Result[]> {
  const results = new Array<Result>(items.length);
  let next = 0;
  const worker = async () => {
    while (next < items.length) {
      const index = next++;
      results[index] = await act(items[index], index);
    }
  };
  await Promise.all(Array.from({ length: Math.min(width, items.length) }, worker));
  return results;
}
