/**
 * What all checkers look at: the bucket's changes, read as what they mean for specs and leases, and
 * the cells' ledger. Nothing here comes from an agent's own account.
 */
import type { QueueKeys } from "../../../lib/core/keys.ts";
import { decodeLease, type Lease } from "../../../lib/core/lease.ts";
import type { CellLedger } from "../cells.ts";
import type { AuthoredChange, History } from "../history.ts";
import { hashBytes } from "../random.ts";
import type { Scenario } from "../scenario.ts";
import type { VirtualTime } from "../virtual_time.ts";

export const SPEC_FOLDERS = ["pending", "claimed", "completed", "failed"] as const;
export type SpecFolder = (typeof SPEC_FOLDERS)[number];

/** What a key is for. */
export type KeyMeaning =
  | { readonly kind: SpecFolder | "lease" | "result"; readonly id: string }
  | { readonly kind: "other" };

export interface Evidence {
  readonly scenario: Scenario;
  readonly time: VirtualTime;
  readonly keys: QueueKeys;
  readonly history: History;
  readonly ledger: CellLedger;
  /** Ids whose lease a person has deleted: what rests on the lease no longer holds for them. */
  readonly meddled: ReadonlySet<string>;
  /** Something was promised and not kept. */
  violation(check: string, detail: string): void;
}

export function meaningOf(keys: QueueKeys, key: string): KeyMeaning {
  const claimed = keys.claimedKey(key);
  if (claimed.kind === "spec") return { kind: "claimed", id: claimed.id };
  if (claimed.kind === "lease") return { kind: "lease", id: claimed.id };
  for (const kind of ["pending", "completed", "failed"] as const) {
    const id = keys.specId(kind, key);
    if (id !== undefined) return { kind, id };
  }
  const id = keys.specId("results", key);
  return id === undefined ? { kind: "other" } : { kind: "result", id };
}

export function keyOf(keys: QueueKeys, folder: SpecFolder, id: string): string {
  return folder === "completed" || folder === "failed"
    ? keys.terminal(folder, id)
    : keys[folder](id);
}

const fingerprints = new WeakMap<Uint8Array, string>();

/** The same for the same bytes. */
export function fingerprint(bytes: Uint8Array): string {
  let known = fingerprints.get(bytes);
  if (known === undefined) {
    known = `${hashBytes(bytes)}.${hashBytes(bytes, 0x2545f491)}.${bytes.length}`;
    fingerprints.set(bytes, known);
  }
  return known;
}

const leases = new WeakMap<Uint8Array, { lease: Lease | undefined }>();

/** The lease in a body; undefined when it is none. */
export function leaseIn(body: Uint8Array): Lease | undefined {
  let known = leases.get(body);
  if (known === undefined) {
    known = { lease: decodeLease(body) };
    leases.set(body, known);
  }
  return known.lease;
}

/** The lease that is stored for a spec now. */
export function leaseOf({ history, keys }: Evidence, id: string): Lease | undefined {
  const object = history.get(keys.lease(id));
  return object === undefined ? undefined : leaseIn(object.body);
}

/** Whether a lease is one that this process wrote: its nonces begin with its name. */
export function isOf(lease: Lease | undefined, process: string): boolean {
  return lease !== undefined && lease.nonce.startsWith(`${process}#`);
}

/** For messages. */
export function told(change: AuthoredChange): string {
  const author = change.author.kind === "agent" ? change.author.process : "a person";
  return `${author}'s ${change.kind} of ${change.key}`;
}
