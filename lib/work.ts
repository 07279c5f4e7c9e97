/**
 * Takes a claim from where `claim.ts` left it to its end: runs the cell, commits what came of it,
 * and files it, or gives the claim back.
 */
import type { Commit } from "./core/lease.ts";
import { type CellOutcome, newResult, type ResultRecord } from "./core/result.ts";
import { StoreError } from "./core/store_error.ts";
import type { SupervisorError } from "./core/supervisor_error.ts";
import { backoffMs } from "./core/backoff.ts";
import { type CellControl, type CellEnd, type CellSettings, runCell } from "./cell.ts";
import type { ClaimedSpec } from "./claim.ts";
import type { ClaimContext } from "./claim_context.ts";
import { ClaimLost, type HeldLease } from "./held_lease.ts";
import type { Cells, ObjectHead } from "./ports.ts";
import { finishFiling, release } from "./settle.ts";

/** What became of a claim as far as its slot is concerned. */
export type WorkEnd =
  /** The outcome is committed; `filing` settles once it is filed, or left to somebody else. */
  | { readonly kind: "committed"; readonly result: ResultRecord; readonly filing: Promise<void> }
  | { readonly kind: "released" }
  /** The claim is, or may be, another node's. */
  | { readonly kind: "lost" }
  | { readonly kind: "supervisor-failed"; readonly error: SupervisorError };

/** Runs the cell of a claim to a committed outcome, or ends the claim otherwise. */
export async function work(
  context: ClaimContext,
  cells: Cells,
  settings: CellSettings,
  claimed: ClaimedSpec,
  control: CellControl,
): Promise<WorkEnd> {
  const { held } = claimed;
  // What runs now is what is given back: a takeover that failed to note its start changes nothing.
  const { attempt } = held.lease;
  const end = await runCell(context, cells, settings, claimed, control);
  if (end.kind === "ended") {
    return await settle(context, claimed, outcomeOf(end));
  }
  if (end.kind === "cancelled") return await settleUnrun(context, claimed, "cancelled");
  if (end.kind === "not-started") {
    await giveBack(context, claimed, attempt, "supervisor");
    return { kind: "supervisor-failed", error: end.error };
  }
  if (end.cause === "lost") return { kind: "lost" };
  // After a fence the claim may be another's; the first write of the release finds out.
  await giveBack(context, claimed, attempt, end.cause);
  return { kind: "released" };
}

/** Commits an outcome for bytes in `claimed/` and starts the filing. */
export async function settle(
  context: ClaimContext,
  { held, spec, specEtag }: ClaimedSpec,
  outcome: CellOutcome,
): Promise<WorkEnd> {
  const result = resultOf(context, held, spec.length, outcome);
  return await commitAndFile(context, held, { result, source: "claimed", specEtag }, spec);
}

/** Commits an outcome for a spec that does not run (again), and starts the filing. */
export function settleUnrun(
  context: ClaimContext,
  claimed: ClaimedSpec,
  reason: "lost" | "cancelled",
): Promise<WorkEnd> {
  return settle(context, claimed, { reason, endedAtMs: context.clock.now() });
}

/** Commits that a spec is too large, and files it from where it lies. */
export async function settleTooLarge(
  context: ClaimContext,
  held: HeldLease,
  source: Commit["source"],
  head: ObjectHead,
): Promise<WorkEnd> {
  const outcome: CellOutcome = { reason: "spec-too-large", endedAtMs: context.clock.now() };
  const result = resultOf(context, held, head.size, outcome);
  return await commitAndFile(context, held, { result, source, specEtag: head.etag });
}

async function commitAndFile(
  context: ClaimContext,
  held: HeldLease,
  commit: Commit,
  spec?: Uint8Array,
): Promise<WorkEnd> {
  await held.commit(commit);
  const { result } = commit;
  const { status, reason } = result;
  context.log.emit({ name: "spec-committed", specId: held.id, status, reason });
  return { kind: "committed", result, filing: fileToTheEnd(context, held, commit, spec) };
}

const FILING_RETRY_BASE_MS = 1_000;
const FILING_RETRY_MAX_MS = 60_000;

/**
 * Files a committed outcome, trying again after whatever the store refuses, for as long as the claim
 * is held. Never rejects: what is not finished here is finished by whoever takes the lease over.
 */
export async function fileToTheEnd(
  context: ClaimContext,
  held: HeldLease,
  commit: Commit,
  spec?: Uint8Array,
): Promise<void> {
  const { log, clock, entropy, giveUp } = context;
  const { result } = commit;
  const specId = held.id;
  for (let failures = 1;; failures++) {
    try {
      const filing = await finishFiling(context, held, commit, spec);
      if (filing === "spec-gone") log.emit({ name: "spec-moved-by-hand", specId });
      else log.emit(filedEvent(context, specId, result));
      return;
    } catch (error) {
      if (error instanceof ClaimLost) {
        log.emit({ name: "filing-left", specId, cause: error.message });
        return;
      }
      if (!(error instanceof StoreError)) throw error;
      const random = entropy.random();
      const retryInMs = backoffMs(failures, FILING_RETRY_BASE_MS, FILING_RETRY_MAX_MS, random);
      const action = "file the outcome";
      log.emit({
        name: "claim-request-failed",
        specId,
        action,
        failures,
        retryInMs: Math.round(retryInMs),
        cause: error.message,
      });
      await clock.sleep(retryInMs, giveUp);
    }
  }
}

function filedEvent({ node }: ClaimContext, specId: string, result: ResultRecord) {
  const { status, reason, exitCode, signal, attempt, durationMs } = result;
  return {
    name: "spec-filed",
    specId,
    status,
    reason,
    exitCode,
    signal,
    attempt,
    durationMs,
    ranOn: result.node,
    filedFor: result.node === node ? undefined : result.node,
  } as const;
}

/** Gives a claim back and says so. */
export async function giveBack(
  context: ClaimContext,
  claimed: ClaimedSpec,
  attempt: number,
  cause: "interrupted" | "fenced" | "supervisor",
): Promise<void> {
  const specId = claimed.held.id;
  const released = await release(context, claimed, attempt);
  context.log.emit(
    released === "released"
      ? { name: "claim-released", specId, cause }
      : { name: "claim-kept", specId, cause: "another spec is pending under the same id" },
  );
}

function outcomeOf(end: Extract<CellEnd, { kind: "ended" }>): CellOutcome {
  const { exit, stopped, startedAtMs, endedAtMs, durationMs } = end;
  const reason = stopped ?? (exit.signal === undefined ? "exit" : "signal");
  return { reason, exit, startedAtMs, endedAtMs, durationMs };
}

function resultOf(
  { node, poolId }: ClaimContext,
  held: HeldLease,
  specBytes: number,
  outcome: CellOutcome,
): ResultRecord {
  const { specId, nonce: claim, attempt, claimedAt, attempts } = held.lease;
  return newResult(
    { specId, claim, attempt, claimedAt, attempts, node, poolId, specBytes },
    outcome,
  );
}
