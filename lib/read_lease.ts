import { decodeLease, type Lease } from "./core/lease.ts";
import { StoreError } from "./core/store_error.ts";
import type { ClaimContext } from "./claim_context.ts";

/** More than any lease this program writes; a larger object at a lease's key is not a lease. */
const MAX_LEASE_BYTES = 1024 * 1024;
/** What stands at a lease's key. */
export interface FoundLease {
  readonly etag: string;
  /** Undefined when it cannot be read as a lease. */
  readonly lease: Lease | undefined;
}

/** Reads the lease of a spec; undefined when there is none. */
export async function readLease(
  context: ClaimContext,
  id: string,
): Promise<FoundLease | undefined> {
  const { store, keys, timing } = context;
  const timeoutMs = timing.requestTimeoutMs;
  const got = await store.get(keys.lease(id), MAX_LEASE_BYTES, { timeoutMs });
  if (got.outcome === "absent") return undefined;
  if (got.outcome === "too-large") return { etag: got.head.etag, lease: undefined };
  const lease = decodeLease(got.object.body);
  // One that was copied here from another key, by hand, speaks of another spec's claim.
  return { etag: got.object.etag, lease: lease?.specId === id ? lease : undefined };
}

/** The same for a holder in doubt, who goes on without an answer: `failed` when there was none. */
export async function lookAtLease(
  context: ClaimContext,
  id: string,
): Promise<FoundLease | undefined | "failed"> {
  try {
    return await readLease(context, id);
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    if (error.kind === "throttled") context.throttled();
    return "failed";
  }
}
