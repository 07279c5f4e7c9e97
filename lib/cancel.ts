/**
 * Cancelling from outside the agent that has the spec, or may get it. A pending spec is claimed like
 * any agent would, and filed as cancelled instead of run. A claimed one gets a mark beside its lease;
 * its holder finds the mark at its next scan, stops the cell, and commits that. Every race between the
 * two, and with the cell's own end, is decided by the lease.
 */
import { CANCEL_SCHEMA, cancels, decodeCancelMark, encodeCancelMark } from "./core/cancel_mark.ts";
import type { Lease } from "./core/lease.ts";
import type { Status } from "./core/result.ts";
import { StoreError } from "./core/store_error.ts";
import { claimPending, MAX_MARK_BYTES } from "./claim.ts";
import type { ClaimContext } from "./claim_context.ts";
import { readLease } from "./read_lease.ts";
import { settleTooLarge, settleUnrun } from "./work.ts";

export type CancelResult =
  /** It was pending, and is filed as failed, reason `cancelled`. */
  | { readonly kind: "cancelled" }
  /** It is claimed: its holder was asked. It may still end, or be given back, before that is seen. */
  | { readonly kind: "marked"; readonly node: string }
  /** Its outcome was committed already. */
  | { readonly kind: "ended"; readonly status: Status }
  /** It is claimed without a lease, so there is no holder to ask. */
  | { readonly kind: "leaseless" }
  /** Its lease cannot be read, so a mark could not name it. */
  | { readonly kind: "unreadable-lease" }
  | { readonly kind: "unknown-id" };

/**
 * Cancels a spec, or asks for it, by where it is now. Call it again after `marked` until it has
 * `ended`: a claim that is given back before its holder sees the mark is pending again.
 *
 * Rejects with `ClaimLost` or a `StoreError` when the bucket does not let it through; nothing is lost,
 * and it can be called again.
 */
export async function cancelSpec(context: ClaimContext, id: string): Promise<CancelResult> {
  const { store, keys } = context;
  if (await store.head(keys.pending(id)) !== undefined) {
    const cancelled = await cancelPending(context, id);
    if (cancelled !== undefined) return cancelled;
  }
  const found = await readLease(context, id);
  if (found !== undefined) {
    if (found.lease === undefined) return { kind: "unreadable-lease" };
    if (found.lease.commit !== undefined) {
      return { kind: "ended", status: found.lease.commit.result.status };
    }
    await placeMark(context, found.lease);
    return { kind: "marked", node: found.lease.node };
  }
  if (await store.head(keys.claimed(id)) !== undefined) return { kind: "leaseless" };
  for (const status of ["failed", "completed"] as const) {
    if (await store.head(keys.terminal(status, id)) !== undefined) return { kind: "ended", status };
  }
  return { kind: "unknown-id" };
}

/** Takes a pending spec out of the queue; undefined when it is not there to be taken (any more). */
async function cancelPending(
  context: ClaimContext,
  id: string,
): Promise<CancelResult | undefined> {
  const claim = await claimPending(context, id);
  if (claim.kind !== "ready" && claim.kind !== "too-large") return undefined;
  const end = claim.kind === "ready"
    ? await settleUnrun(context, claim.claimed, "cancelled")
    : await settleTooLarge(context, claim.held, claim.source, claim.head);
  if (end.kind === "committed") await end.filing;
  return claim.kind === "ready" ? { kind: "cancelled" } : { kind: "ended", status: "failed" };
}

/** Puts the mark beside the lease; one that names another claim is of the past, and is replaced. */
async function placeMark(context: ClaimContext, lease: Lease): Promise<void> {
  const { store, keys, node, clock } = context;
  const { specId, origin } = lease;
  const key = keys.cancelMark(specId);
  const at = new Date(clock.now()).toISOString();
  const body = encodeCancelMark({ schema: CANCEL_SCHEMA, specId, origin, by: node, at });
  const created = await store.create(key, body, {});
  if (created.outcome === "stored") return;
  const got = await store.get(key, MAX_MARK_BYTES);
  if (got.outcome === "found" && cancels(decodeCancelMark(got.object.body), lease)) return;
  if (got.outcome !== "absent" && created.outcome === "refused") {
    const { etag } = got.outcome === "found" ? got.object : got.head;
    if ((await store.replace(key, etag, body, {})).outcome === "stored") return;
  }
  throw new StoreError("transient", `The mark to cancel ${specId} could not be stored`);
}
