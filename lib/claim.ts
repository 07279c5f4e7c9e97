/**
 * Claims a pending spec, or takes over the claim of a dead node, up to the point where the cell can
 * be started. The order of requests, and why it is safe, is told in `core/lease.ts`.
 */
import {
  afterTakeover,
  type Commit,
  isOrigin,
  type Lease,
  lostAttemptsOf,
  newLease,
  nextAttempt,
  type SpecFacts,
  specMetadata,
  takenOver,
} from "./core/lease.ts";
import { cancels, decodeCancelMark } from "./core/cancel_mark.ts";
import { mayRun, readPlacement } from "./core/spec.ts";
import type { ClaimContext } from "./claim_context.ts";
import { type FoundLease, readLease } from "./read_lease.ts";
import { acquireLease } from "./acquire_lease.ts";
import type { HeldLease } from "./held_lease.ts";
import type { GetResult, ObjectHead, StoredObject } from "./ports.ts";

/** More than any mark this program writes. */
export const MAX_MARK_BYTES = 64 * 1024;

/** A claim that stands at the start of its cell: the bytes are in `claimed/` and nowhere else. */
export interface ClaimedSpec {
  readonly held: HeldLease;
  readonly spec: Uint8Array;
  /** Of the object in `claimed/`. */
  readonly specEtag: string;
}

export type ClaimResult =
  | {
    readonly kind: "ready";
    readonly claimed: ClaimedSpec;
    /** When the spec was submitted, by the store's clock; undefined for one that was claimed before. */
    readonly pendingSinceMs?: number;
  }
  /** Too large to be read: to be filed as failed from where it lies. */
  | {
    readonly kind: "too-large";
    readonly held: HeldLease;
    readonly source: Commit["source"];
    readonly head: ObjectHead;
  }
  /** Another node has the lease. */
  | { readonly kind: "held" }
  /** The spec is no longer pending; the lease is gone again. */
  | { readonly kind: "gone" }
  /** It is placed in another pool by now. */
  | { readonly kind: "foreign" }
  /** The store did not let on whether the lease was stored. */
  | { readonly kind: "unknown" };

export type TakeoverResult =
  | ClaimResult
  | { readonly kind: "finish-filing"; readonly held: HeldLease; readonly commit: Commit }
  | {
    readonly kind: "finish-release";
    readonly held: HeldLease;
    readonly spec: Uint8Array;
    readonly specEtag: string;
    readonly attempt: number;
  }
  /** Started as often as allowed: to be filed as failed. */
  | { readonly kind: "lost"; readonly claimed: ClaimedSpec }
  /** Its holder was asked to cancel it, and died before it did. */
  | { readonly kind: "cancelled"; readonly claimed: ClaimedSpec };

/**
 * Claims a pending spec. Rejects with `ClaimLost` when the lease went to another node on the way,
 * and with a `StoreError` when the store will not have it; the lease then runs out by itself.
 */
export async function claimPending(context: ClaimContext, id: string): Promise<ClaimResult> {
  const lease = newLease(leaseStart(context, id));
  const { store, keys, timing } = context;
  const held = await acquireLease(
    context,
    lease,
    (body) => store.create(keys.lease(id), body, {}, { timeoutMs: timing.requestTimeoutMs }),
  );
  if (held === "refused") return { kind: "held" };
  if (held === "unknown") return { kind: "unknown" };
  return await secure(context, held);
}

/**
 * Takes over the claim whose lease was found dead with ETag `found.etag`. What the old holder left
 * is read again under the new lease: it may have done more before its trust ran out.
 */
export async function takeOver(
  context: ClaimContext,
  id: string,
  found: FoundLease,
): Promise<TakeoverResult> {
  const { store, keys, timing } = context;
  const held = await acquireLease(
    context,
    takenOver(found.lease, leaseStart(context, id)),
    (body) =>
      store.replace(keys.lease(id), found.etag, body, {}, { timeoutMs: timing.requestTimeoutMs }),
  );
  if (held === "refused") return { kind: "held" };
  if (held === "unknown") return { kind: "unknown" };
  return await goOn(context, held, found.lease);
}

/**
 * Whether this node may take a dead claim over to run it: by the spec's own placement, since the
 * lease may be older than what it says, or unreadable.
 */
export async function mayTakeOver(context: ClaimContext, id: string): Promise<boolean> {
  if (context.poolId === "") return true;
  const { store, keys, maxSpecBytes, timing } = context;
  for (const key of [keys.claimed(id), keys.pending(id)]) {
    const got = await store.get(key, maxSpecBytes, { timeoutMs: timing.requestTimeoutMs });
    if (got.outcome === "found") return mayRun(readPlacement(got.object.body), context.poolId);
    if (got.outcome === "too-large") return true;
  }
  return true;
}

/** Reads a dead lease once more before it is taken over; undefined when it has changed or gone. */
export async function inspectDead(
  context: ClaimContext,
  id: string,
  etag: string,
): Promise<FoundLease | undefined> {
  const found = await readLease(context, id);
  return found?.etag === etag ? found : undefined;
}

/** Moves the bytes of a pending spec under a lease that is held: from `pending/` to `claimed/`. */
async function secure(context: ClaimContext, held: HeldLease): Promise<ClaimResult> {
  const { keys, maxSpecBytes } = context;
  const { id } = held;
  // Read under the lease: the listing, and whatever was read before, may be of another submission.
  const pending = await held.readObject(keys.pending(id), maxSpecBytes);
  if (pending.outcome === "absent") return await withdraw(held, "gone");
  if (pending.outcome === "too-large") {
    return { kind: "too-large", held, source: "pending", head: pending.head };
  }
  if (!mayRun(readPlacement(pending.object.body), context.poolId)) {
    return await withdraw(held, "foreign");
  }
  const lostAttempts = lostAttemptsOf(pending.object.metadata);
  const created = await held.createObject(
    keys.claimed(id),
    pending.object.body,
    specMetadata(lostAttempts),
  );
  if (created.outcome === "stored") {
    await held.deleteObject(keys.pending(id), pending.object.etag);
    const { body, lastModifiedMs: pendingSinceMs } = pending.object;
    return { ...await ready(held, body, created.etag, lostAttempts + 1), pendingSinceMs };
  }
  return await secureExisting(context, held, pending.object);
}

/**
 * `claimed/<id>.json` was there before: it is the authority, and is what runs. A pending object of
 * other bytes, or a newer one, is a submission of its own and waits.
 */
async function secureExisting(
  context: ClaimContext,
  held: HeldLease,
  pending: StoredObject,
): Promise<ClaimResult> {
  const { keys, maxSpecBytes } = context;
  const claimed = await held.readObject(keys.claimed(held.id), maxSpecBytes);
  // Somebody moved it away by hand just now: begin again.
  if (claimed.outcome === "absent") return await secure(context, held);
  if (claimed.outcome === "too-large") {
    return { kind: "too-large", held, source: "claimed", head: claimed.head };
  }
  if (!mayRun(readPlacement(claimed.object.body), context.poolId)) {
    return await withdraw(held, "foreign");
  }
  const facts = specFacts(claimed)!;
  const same = equalBytes(pending.body, claimed.object.body);
  if (isOrigin(specFacts({ outcome: "found", object: pending }), facts, same)) {
    await held.deleteObject(keys.pending(held.id), pending.etag);
  }
  return await ready(held, claimed.object.body, claimed.object.etag, facts.lostAttempts + 1);
}

/** Goes on under a lease taken over from a dead node. */
async function goOn(
  context: ClaimContext,
  held: HeldLease,
  before: Lease | undefined,
): Promise<TakeoverResult> {
  const { keys, maxSpecBytes, maxAttempts } = context;
  if (before?.commit !== undefined) {
    return { kind: "finish-filing", held, commit: before.commit };
  }
  const claimed = await held.readObject(keys.claimed(held.id), maxSpecBytes);
  const pending = await held.readObject(keys.pending(held.id), maxSpecBytes);
  if (claimed.outcome === "too-large") {
    return { kind: "too-large", held, source: "claimed", head: claimed.head };
  }
  const sameBytes = claimed.outcome === "found" && pending.outcome === "found" &&
    equalBytes(claimed.object.body, pending.object.body);
  const next = afterTakeover({
    before,
    claimed: specFacts(claimed),
    pending: specFacts(pending),
    sameBytes,
    maxAttempts,
  });
  if (next.step === "remove-lease") return await withdraw(held, "gone");
  if (next.step === "claim-pending") return await secure(context, held);
  if (next.step === "finish-filing") {
    return { kind: "finish-filing", held, commit: next.commit };
  }
  const { body: spec, etag: specEtag } = found(claimed);
  // It may be pending again already: cancelled here, it would still run from there.
  if (next.step === "finish-release") {
    return { kind: "finish-release", held, spec, specEtag, attempt: next.attempt };
  }
  if (next.step === "resume" && next.pendingEtag !== undefined) {
    await held.deleteObject(keys.pending(held.id), next.pendingEtag);
  }
  const mark = await held.readObject(keys.cancelMark(held.id), MAX_MARK_BYTES);
  if (mark.outcome === "found" && cancels(decodeCancelMark(mark.object.body), before)) {
    return { kind: "cancelled", claimed: { held, spec, specEtag } };
  }
  const prepared = await ready(held, spec, specEtag, next.attempt, before);
  return next.step === "file-as-lost" ? { ...prepared, kind: "lost" } : prepared;
}

/**
 * The claim is complete. A count of attempts that differs from the one in the lease is stored there
 * before the cell can start, so that no start goes uncounted.
 */
async function ready(
  held: HeldLease,
  spec: Uint8Array,
  specEtag: string,
  attempt: number,
  before?: Lease,
): Promise<Extract<ClaimResult, { kind: "ready" }>> {
  if (held.lease.attempt !== attempt || held.lease.state !== "claimed") {
    await held.change((lease) => ({
      ...nextAttempt(lease, attempt > (before?.attempt ?? attempt) ? before : undefined, attempt),
      state: "claimed",
    }));
  }
  return { kind: "ready", claimed: { held, spec, specEtag } };
}

/** Gives up a lease under which nothing was done. */
async function withdraw<Kind extends "gone" | "foreign">(
  held: HeldLease,
  kind: Kind,
): Promise<{ kind: Kind }> {
  await held.removeLease();
  return { kind };
}

function leaseStart(context: ClaimContext, id: string) {
  const { entropy, node, poolId, clock, timing } = context;
  const at = new Date(clock.now()).toISOString();
  return { specId: id, nonce: entropy.nonce(), node, poolId, ttlMs: timing.ttlMs, at };
}

function specFacts(got: GetResult): SpecFacts | undefined {
  if (got.outcome === "absent") return undefined;
  const { etag, lastModifiedMs, metadata } = got.outcome === "found" ? got.object : got.head;
  return { etag, lastModifiedMs, lostAttempts: lostAttemptsOf(metadata) };
}

function found(got: GetResult): StoredObject {
  if (got.outcome !== "found") throw new Error(`Expected the claimed spec, got ${got.outcome}`);
  return got.object;
}

/** Whether two specs are the same to the byte. */
export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, index) => byte === b[index]);
}
