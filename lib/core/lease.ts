/**
 * The lease: the one object that says who holds a claim, and every decision about it.
 *
 * ## Why it is safe
 *
 * `claimed/<id>.lease` is the only authority. It is changed by two operations, *create* (only when
 * absent) and *replace* (only from the ETag last seen), which the store carries out one at a time.
 * Each lease written has a nonce of its holder and a sequence number, so no ETag ever comes back.
 *
 * 1. **One holder.** Of two nodes that create, or that replace the same ETag, the store lets one
 *    through. A holder that has been replaced finds out at its next write, which is refused.
 * 2. **One runner.** A holder relies on its lease for a TTL from the *start* of the write that last
 *    renewed it, less an allowance for clocks, and has its cell dead by then (`lease_timing.ts`).
 *    Everybody else waits a whole TTL from the moment they have *seen* that write, which is later
 *    (`lease_watch.ts`), and the holder's own TTL where that is longer. Hence the new holder starts
 *    after the old one's cell is gone.
 * 3. **One outcome.** An outcome exists once a *replace* to state `exited` is stored. A holder that
 *    was replaced cannot store it, and files nothing without it. Once stored, anyone who takes the
 *    lease over finds the outcome in it and can only finish that filing.
 * 4. **Nothing is lost.** The spec's bytes go `pending` → `claimed` → terminal, each written before
 *    the one before it is deleted, and each deleted only by the ETag that was copied. All of it
 *    happens under the lease: a holder sends no write and no delete unless its trust outlasts the
 *    request, including one that is given up and lands late (`trustForWriteMs`). After a request
 *    without an answer the holder keeps the claim until that time has passed, and looks again.
 * 5. **Progress.** Wherever a holder dies, the objects it left tell the next one where to go on:
 *    `afterTakeover` below has every case.
 *
 * A reply that says "refused" may be the reply to a second delivery of one's own write, and no reply
 * may mean "stored": neither is believed before the object has been read and its nonce compared
 * (`compareLease`). Only a first try to create a lease is: should it be one's own after all, nobody
 * holds it, and it runs out.
 *
 * What is left: an agent process that is frozen (SIGSTOP, a paused container) between deciding to
 * write and writing, or while its cell goes on. Its guard cannot know; a watchdog that kills a frozen
 * agent, set shorter than the lease, closes that.
 */
import type { EarlierAttempt, ResultRecord } from "./result.ts";
import { isEarlierAttempt, isResultRecord } from "./result.ts";

export const LEASE_SCHEMA = "dev.cellos.fleet.lease.v1";

/** Where the bytes of the claimed spec are. */
export type SpecSource = "claimed" | "pending";

/** What an `exited` lease holds: the outcome, and which bytes it is the outcome of. */
export interface Commit {
  readonly result: ResultRecord;
  readonly source: SpecSource;
  readonly specEtag: string;
}

/** Times are ISO 8601, for people; no decision reads them. */
export interface Lease {
  readonly schema: typeof LEASE_SCHEMA;
  readonly specId: string;
  /** Of the present holder's claim; fresh at each claim and each takeover. */
  readonly nonce: string;
  /** The nonce that the claim began with, before any takeover. */
  readonly origin: string;
  readonly node: string;
  /** Which start of the spec this claim is for, from 1. */
  readonly attempt: number;
  /** Grows with every write of this holder. */
  readonly sequence: number;
  /**
   * `claimed`: being prepared or run. `releasing`: being given back to `pending/`. `exited`: the
   * outcome is committed, and being filed.
   */
  readonly state: "claimed" | "releasing" | "exited";
  /** The holder's pool, when it has one. */
  readonly poolId?: string;
  /** Lifetime that the holder relies on, in milliseconds. Others wait for at least as long. */
  readonly ttlMs: number;
  readonly claimedAt: string;
  readonly renewedAt: string;
  /** Attempts of this claim that came to no end of their own, oldest first. */
  readonly attempts: readonly EarlierAttempt[];
  /** Present exactly when the state is `exited`. */
  readonly commit?: Commit;
}

export interface LeaseStart {
  readonly specId: string;
  readonly nonce: string;
  readonly node: string;
  /** The node's pool; empty for none. */
  readonly poolId: string;
  readonly ttlMs: number;
  readonly at: string;
}

/** The lease that a fresh claim starts with. */
export function newLease({ specId, nonce, node, poolId, ttlMs, at }: LeaseStart): Lease {
  return {
    schema: LEASE_SCHEMA,
    specId,
    nonce,
    origin: nonce,
    node,
    attempt: 1,
    sequence: 0,
    state: "claimed",
    ...(poolId === "" ? {} : { poolId }),
    ttlMs,
    claimedAt: at,
    renewedAt: at,
    attempts: [],
  };
}

/** The lease of a takeover. `before` is undefined when the old one could not be read. */
export function takenOver(before: Lease | undefined, start: LeaseStart): Lease {
  if (before === undefined) return newLease(start);
  return {
    ...before,
    nonce: start.nonce,
    node: start.node,
    poolId: start.poolId === "" ? undefined : start.poolId,
    ttlMs: start.ttlMs,
    sequence: before.sequence + 1,
    claimedAt: start.at,
    renewedAt: start.at,
  };
}

/** The next write of the same holder, after one of the given sequence number. */
export function renewed(lease: Lease, sequence: number, at: string): Lease {
  return { ...lease, sequence: sequence + 1, renewedAt: at };
}

/** The lease with its outcome: storing it is the commit. */
export function exited(lease: Lease, commit: Commit): Lease {
  return { ...lease, state: "exited", commit };
}

/** The lease of a claim that is being given back: whoever takes it over only finishes that. */
export function releasing(lease: Lease): Lease {
  return { ...lease, state: "releasing" };
}

/** The lease for a further start of the spec, with the start before it in the history. */
export function nextAttempt(lease: Lease, before: Lease | undefined, attempt: number): Lease {
  const earlier: readonly EarlierAttempt[] = before === undefined ? lease.attempts : [
    ...before.attempts,
    { attempt: before.attempt, node: before.node, claimedAt: before.claimedAt },
  ];
  return { ...lease, attempt, attempts: earlier };
}

/** What reading the lease's key tells a holder whose write met with doubt. */
export type LeaseComparison =
  /** The very write is there. */
  | "this-write"
  /** A write of this holder is there, but not this one. */
  | "own-claim"
  | "someone-else"
  | "absent";

/** Compares what is at the key (undefined: nothing; unreadable counts as someone else's). */
export function compareLease(
  found: { readonly lease: Lease | undefined } | undefined,
  written: Lease,
): LeaseComparison {
  if (found === undefined) return "absent";
  if (found.lease?.nonce !== written.nonce) return "someone-else";
  return found.lease.sequence === written.sequence ? "this-write" : "own-claim";
}

/** A spec object as far as the decisions need it. */
export interface SpecFacts {
  readonly etag: string;
  readonly lastModifiedMs: number;
  /** Starts that were lost before, as noted in the object's metadata. */
  readonly lostAttempts: number;
}

/** What a node finds after it has replaced a dead lease. */
export interface TakeoverFacts {
  /** The dead lease; undefined when it could not be read. */
  readonly before: Lease | undefined;
  readonly claimed: SpecFacts | undefined;
  readonly pending: SpecFacts | undefined;
  /** Whether both hold the same bytes; false when either is absent. */
  readonly sameBytes: boolean;
  readonly maxAttempts: number;
}

export type TakeoverStep =
  /** The outcome is committed: only the filing is left. */
  | { readonly step: "finish-filing"; readonly commit: Commit }
  /** It was being given back, and nothing stands in the way. */
  | { readonly step: "finish-release"; readonly attempt: number }
  /** It never started, or its start does not count: run it, once its pending object is gone. */
  | { readonly step: "resume"; readonly attempt: number; readonly pendingEtag?: string }
  /** It was started, and its node died. */
  | { readonly step: "run-again"; readonly attempt: number }
  /** It was started as often as allowed. */
  | { readonly step: "file-as-lost"; readonly attempt: number }
  /** The old holder got no further than its lease: claim the pending spec. */
  | { readonly step: "claim-pending" }
  /** There is nothing left to hold. */
  | { readonly step: "remove-lease" };

/** Where a takeover goes on. */
export function afterTakeover(facts: TakeoverFacts): TakeoverStep {
  const { before, claimed, pending, maxAttempts } = facts;
  if (before?.commit !== undefined) return { step: "finish-filing", commit: before.commit };
  if (claimed === undefined) {
    return { step: pending === undefined ? "remove-lease" : "claim-pending" };
  }
  const attempt = Math.max(before?.attempt ?? 1, claimed.lostAttempts + 1);
  if (before?.state === "releasing") {
    // A different spec under the same id took the place in pending/ that this one would go back to.
    const blocked = pending !== undefined && !facts.sameBytes;
    return { step: blocked ? "resume" : "finish-release", attempt };
  }
  if (isOrigin(pending, claimed, facts.sameBytes)) {
    return { step: "resume", attempt, pendingEtag: pending.etag };
  }
  return attempt >= maxAttempts
    ? { step: "file-as-lost", attempt }
    : { step: "run-again", attempt: attempt + 1 };
}

/**
 * Whether a pending object is the one that `claimed` was copied from. Not by ETag: with encryption
 * by KMS, equal bytes have different ones. Equal bytes that are not newer by the store's own clock
 * are the origin; newer ones were submitted again, and wait for their turn.
 */
export function isOrigin(
  pending: SpecFacts | undefined,
  claimed: SpecFacts,
  sameBytes: boolean,
): pending is SpecFacts {
  return pending !== undefined && sameBytes && pending.lastModifiedMs <= claimed.lastModifiedMs;
}

/** User metadata of `pending/` and `claimed/` objects: how many starts were lost with their node. */
const LOST_ATTEMPTS = "cellos-lost-attempts";

/** The metadata that carries lost attempts along; none for none, as a person would have stored it. */
export function specMetadata(lostAttempts: number): Record<string, string> {
  return lostAttempts === 0 ? {} : { [LOST_ATTEMPTS]: String(lostAttempts) };
}

/** Reads it back; anything but a plain whole number counts as none. */
export function lostAttemptsOf(metadata: Readonly<Record<string, string>>): number {
  const text = metadata[LOST_ATTEMPTS] ?? "";
  return /^[0-9]{1,6}$/.test(text) ? Number(text) : 0;
}

export function encodeLease(lease: Lease): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(lease));
}

/**
 * Reads a lease; undefined when the bytes are not a lease of this version. Such a lease is somebody
 * else's, and can be taken over like any other.
 */
export function decodeLease(bytes: Uint8Array): Lease | undefined {
  try {
    const value: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
    return isLease(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function isLease(value: unknown): value is Lease {
  if (typeof value !== "object" || value === null) return false;
  const lease = value as Record<string, unknown>;
  return lease.schema === LEASE_SCHEMA &&
    typeof lease.specId === "string" && typeof lease.nonce === "string" && lease.nonce !== "" &&
    typeof lease.origin === "string" && lease.origin !== "" &&
    typeof lease.node === "string" &&
    Number.isSafeInteger(lease.attempt) && (lease.attempt as number) >= 1 &&
    Number.isSafeInteger(lease.sequence) && (lease.sequence as number) >= 0 &&
    (lease.poolId === undefined || typeof lease.poolId === "string") &&
    Number.isFinite(lease.ttlMs) && (lease.ttlMs as number) > 0 &&
    typeof lease.claimedAt === "string" && typeof lease.renewedAt === "string" &&
    Array.isArray(lease.attempts) && lease.attempts.every(isEarlierAttempt) &&
    hasStateOfCommit(lease);
}

function hasStateOfCommit(lease: Record<string, unknown>): boolean {
  if (lease.state === "exited") {
    return isCommit(lease.commit) && lease.commit.result.specId === lease.specId;
  }
  return (lease.state === "claimed" || lease.state === "releasing") && lease.commit === undefined;
}

function isCommit(value: unknown): value is Commit {
  if (typeof value !== "object" || value === null) return false;
  const { result, source, specEtag } = value as Record<string, unknown>;
  return isResultRecord(result) && (source === "claimed" || source === "pending") &&
    typeof specEtag === "string";
}
