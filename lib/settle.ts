/**
 * Ends a claim: commits the outcome and files the spec, or gives it back to `pending/`.
 *
 * The commit is the replace of the lease by one of state `exited`. Everything after it can be done,
 * and done again, by whoever holds the lease; nothing before it is visible outside.
 */
import { type Commit, releasing, specMetadata } from "./core/lease.ts";
import {
  claimOfMetadata,
  decodeResult,
  encodeResult,
  resultMetadata,
  type ResultRecord,
  withEarlierRun,
} from "./core/result.ts";
import { type ClaimedSpec, equalBytes } from "./claim.ts";
import type { ClaimContext } from "./claim_context.ts";
import type { HeldLease } from "./held_lease.ts";

/** A result record with tails of 64 KiB is far below this. */
const MAX_RESULT_BYTES = 4 * 1024 * 1024;

/** What became of a filing. */
export type Filing =
  | "filed"
  /** The claimed object was moved or changed by hand after the commit: there is nothing to file. */
  | "spec-gone";

/**
 * Files a committed outcome: result record, terminal object, then the claimed object and the lease
 * are deleted. Every step may have been done before, by this node or by another.
 *
 * @param spec the bytes that ran, when they are at hand; read from the store otherwise
 */
export async function finishFiling(
  context: ClaimContext,
  held: HeldLease,
  commit: Commit,
  spec?: Uint8Array,
): Promise<Filing> {
  const { keys } = context;
  const { result, source, specEtag } = commit;
  const sourceKey = keys[source](held.id);
  await fileResult(context, held, result);
  const filed = result.reason === "spec-too-large"
    ? await fileByCopy(context, held, commit, sourceKey)
    : await fileBytes(context, held, commit, spec ?? await specOf(held, sourceKey, specEtag));
  if (filed === "filed") await held.deleteObject(sourceKey, specEtag);
  if (result.reason === "cancelled") await removeMark(context, held);
  await held.removeLease();
  return filed;
}

/** Removes the mark that asked for a cancellation, if it was one that asked. */
async function removeMark({ keys }: ClaimContext, held: HeldLease): Promise<void> {
  const key = keys.cancelMark(held.id);
  const head = await held.headObject(key);
  if (head !== undefined) await held.deleteObject(key, head.etag);
}

/** The bytes that the outcome is the outcome of; undefined when they are no longer there. */
async function specOf(
  held: HeldLease,
  key: string,
  etag: string,
): Promise<Uint8Array | undefined> {
  const got = await held.readObject(key, Number.MAX_SAFE_INTEGER);
  return got.outcome === "found" && got.object.etag === etag ? got.object.body : undefined;
}

/** Writes the result record, with the run that it replaces kept in its history. */
async function fileResult(
  context: ClaimContext,
  held: HeldLease,
  result: ResultRecord,
): Promise<void> {
  const key = context.keys.result(held.id);
  for (;;) {
    const created = await held.createObject(key, encodeResult(result), {});
    if (created.outcome === "stored") return;
    const got = await held.readObject(key, MAX_RESULT_BYTES);
    if (got.outcome === "absent") continue;
    const earlier = got.outcome === "found" ? decodeResult(got.object.body) : undefined;
    if (earlier?.claim === result.claim) return;
    const { etag } = got.outcome === "found" ? got.object : got.head;
    const body = encodeResult(withEarlierRun(result, earlier));
    if ((await held.replaceObject(key, etag, body, {})).outcome === "stored") return;
  }
}

/**
 * Writes the terminal object. An object of an earlier run of this id is replaced, as a move would
 * have done; one of this very claim means that the step is done.
 */
async function fileBytes(
  context: ClaimContext,
  held: HeldLease,
  { result }: Commit,
  spec: Uint8Array | undefined,
): Promise<Filing> {
  const key = context.keys.terminal(result.status, held.id);
  for (;;) {
    if (spec === undefined) {
      const head = await held.headObject(key);
      return head !== undefined && claimOfMetadata(head.metadata) === result.claim
        ? "filed"
        : "spec-gone";
    }
    const metadata = resultMetadata(result);
    if ((await held.createObject(key, spec, metadata)).outcome === "stored") return "filed";
    const head = await held.headObject(key);
    if (head === undefined) continue;
    if (claimOfMetadata(head.metadata) === result.claim) return "filed";
    const replaced = await held.replaceObject(key, head.etag, spec, metadata);
    if (replaced.outcome === "stored") return "filed";
  }
}

/** Files a spec that is too large to be read, by a copy within the store. */
async function fileByCopy(
  context: ClaimContext,
  held: HeldLease,
  { result, specEtag }: Commit,
  sourceKey: string,
): Promise<Filing> {
  const key = context.keys.terminal(result.status, held.id);
  const copied = await held.copyObject(sourceKey, specEtag, key, resultMetadata(result));
  if (copied.outcome === "stored") return "filed";
  const head = await held.headObject(key);
  return head !== undefined && claimOfMetadata(head.metadata) === result.claim
    ? "filed"
    : "spec-gone";
}

/**
 * Gives a claim back: its start does not count, and the spec is pending again.
 *
 * Resolves to `kept` when another spec was submitted under the same id in the meantime. Then there
 * is no place to go back to; the lease, which says that the start does not count, is left to run
 * out, and the next holder runs the spec from `claimed/`.
 */
export async function release(
  context: ClaimContext,
  { held, spec, specEtag }: ClaimedSpec,
  attempt: number,
): Promise<"released" | "kept"> {
  const { keys } = context;
  if (held.lease.state !== "releasing") await held.change(releasing);
  // The start that is given back is the last one counted.
  const metadata = specMetadata(attempt - 1);
  for (;;) {
    const created = await held.createObject(keys.pending(held.id), spec, metadata);
    if (created.outcome === "stored") break;
    const got = await held.readObject(keys.pending(held.id), spec.length);
    if (got.outcome === "found" && equalBytes(got.object.body, spec)) break;
    if (got.outcome !== "absent") return "kept";
  }
  await held.deleteObject(keys.claimed(held.id), specEtag);
  await held.removeLease();
  return "released";
}
