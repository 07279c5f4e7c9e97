/**
 * Gives a spec that has ended, or was left behind, back to the queue.
 *
 * It is done under the spec's lease, as an agent's own steps are. Without it, the spec could be claimed,
 * run, and filed as failed once more between the creation of the pending object and the deletion of
 * the failed one; and equal bytes have equal ETags, so the deletion would hit the newly filed object,
 * the only one left.
 */
import { lostAttemptsOf, newLease } from "./core/lease.ts";
import { StoreError } from "./core/store_error.ts";
import { acquireLease } from "./acquire_lease.ts";
import { equalBytes } from "./claim.ts";
import type { ClaimContext } from "./claim_context.ts";
import type { HeldLease } from "./held_lease.ts";
import type { StoredObject } from "./ports.ts";
import { readLease } from "./read_lease.ts";
import { release } from "./settle.ts";

export type RequeueResult =
  /** It is pending again. */
  | { readonly kind: "requeued"; readonly from: "failed" | "claimed" }
  /** It was pending already: nothing was done. */
  | { readonly kind: "pending" }
  /** It is claimed, by `node` if the lease can be read: nothing was done. */
  | { readonly kind: "held"; readonly node: string | undefined }
  /** It is claimed without a lease, and that was not asked for: nothing was done. */
  | { readonly kind: "leaseless" }
  /** Another spec was submitted under the id meanwhile; the claimed one runs first. */
  | { readonly kind: "blocked" }
  /** More bytes than agents here take: it would fail again. */
  | { readonly kind: "too-large"; readonly bytes: number }
  | { readonly kind: "completed" }
  | { readonly kind: "unknown-id" };

/**
 * Makes a failed spec pending again; with `leaseless`, also one that is claimed without a lease. The
 * result record stays, so that the next run has it in its history.
 *
 * At every moment the bytes are somewhere. Rejects with `ClaimLost` or a `StoreError` when the bucket
 * does not let it through: then it can be called again, at the latest once the lease has run out.
 */
export async function requeueSpec(
  context: ClaimContext,
  id: string,
  { leaseless }: { readonly leaseless: boolean },
): Promise<RequeueResult> {
  const { store, keys, timing, entropy, node, clock } = context;
  const hopeless = await whyNot(context, id, leaseless);
  if (hopeless !== undefined) return hopeless;
  const at = new Date(clock.now()).toISOString();
  const lease = newLease({
    specId: id,
    nonce: entropy.nonce(),
    node,
    poolId: "",
    ttlMs: timing.ttlMs,
    at,
  });
  const held = await acquireLease(
    context,
    lease,
    (body) => store.create(keys.lease(id), body, {}, { timeoutMs: timing.requestTimeoutMs }),
  );
  if (held === "refused") {
    return { kind: "held", node: (await readLease(context, id))?.lease?.node };
  }
  if (held === "unknown") {
    throw new StoreError(
      "transient",
      `The bucket did not say whether the lease of ${id} is stored`,
    );
  }
  return await requeueUnderLease(context, held, leaseless);
}

/** What can be seen to stand in the way before anything is written. */
async function whyNot(
  context: ClaimContext,
  id: string,
  leaseless: boolean,
): Promise<RequeueResult | undefined> {
  const { store, keys } = context;
  if (await store.head(keys.pending(id)) !== undefined) return { kind: "pending" };
  const found = await readLease(context, id);
  if (found !== undefined) return { kind: "held", node: found.lease?.node };
  if (await store.head(keys.claimed(id)) !== undefined) {
    return leaseless ? undefined : { kind: "leaseless" };
  }
  if (await store.head(keys.terminal("failed", id)) !== undefined) return undefined;
  const completed = await store.head(keys.terminal("completed", id));
  return { kind: completed === undefined ? "unknown-id" : "completed" };
}

/** Looks again, now that nobody else can move the spec, and moves it. */
async function requeueUnderLease(
  context: ClaimContext,
  held: HeldLease,
  leaseless: boolean,
): Promise<RequeueResult> {
  const { keys, maxSpecBytes } = context;
  const { id } = held;
  const withdrawn = async (result: RequeueResult) => {
    await held.removeLease();
    return result;
  };
  if (await held.headObject(keys.pending(id)) !== undefined) {
    return await withdrawn({ kind: "pending" });
  }
  const claimed = await held.readObject(keys.claimed(id), maxSpecBytes);
  if (claimed.outcome !== "absent") {
    if (!leaseless) return await withdrawn({ kind: "leaseless" });
    if (claimed.outcome === "too-large") {
      return await withdrawn({ kind: "too-large", bytes: claimed.head.size });
    }
    const { body: spec, etag: specEtag, metadata } = claimed.object;
    const attempt = lostAttemptsOf(metadata) + 1;
    const released = await release(context, { held, spec, specEtag }, attempt);
    return released === "kept" ? { kind: "blocked" } : { kind: "requeued", from: "claimed" };
  }
  const failed = await held.readObject(keys.terminal("failed", id), maxSpecBytes);
  if (failed.outcome === "absent") return await withdrawn({ kind: "unknown-id" });
  if (failed.outcome === "too-large") {
    return await withdrawn({ kind: "too-large", bytes: failed.head.size });
  }
  return await withdrawn(await moveFailed(context, held, failed.object));
}

/** Copies a failed spec to `pending/`, without what its metadata says of the run, and deletes it. */
async function moveFailed(
  { keys }: ClaimContext,
  held: HeldLease,
  failed: StoredObject,
): Promise<RequeueResult> {
  const key = keys.pending(held.id);
  for (;;) {
    if ((await held.createObject(key, failed.body, {})).outcome === "stored") break;
    // An earlier try of this very request, or somebody else's submission.
    const got = await held.readObject(key, failed.body.length);
    if (got.outcome === "found" && equalBytes(got.object.body, failed.body)) break;
    if (got.outcome !== "absent") return { kind: "pending" };
  }
  await held.deleteObject(failed.key, failed.etag);
  return { kind: "requeued", from: "failed" };
}
