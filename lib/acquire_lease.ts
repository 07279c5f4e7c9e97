import { compareLease, encodeLease, type Lease } from "./core/lease.ts";
import { type ClaimContext, noteUnknown } from "./claim_context.ts";
import { HeldLease } from "./held_lease.ts";
import { lookAtLease } from "./read_lease.ts";
import type { WriteResult } from "./ports.ts";

const LEASE_WRITE_TRIES = 3;

/**
 * Writes the first lease of a claim by `write` (a create, or the replace of a dead lease), and
 * settles what the reply leaves open. `refused`: another node has it. `unknown`: it could not be
 * found out; should it have been stored after all, it dies like any other unrenewed lease.
 */
export async function acquireLease(
  context: ClaimContext,
  lease: Lease,
  write: (body: Uint8Array) => Promise<WriteResult>,
): Promise<HeldLease | "refused" | "unknown"> {
  const { clock, timing } = context;
  let firstStartedMs: number | undefined;
  for (let tries = 1; tries <= LEASE_WRITE_TRIES; tries++) {
    // A try that was given up may land when the claim is long over. It must not look like the lease
    // that others saw before.
    const tried = { ...lease, sequence: lease.sequence + tries - 1 };
    const startedMs = clock.monotonic();
    const result = await write(encodeLease(tried));
    if (result.outcome === "stored") {
      return new HeldLease(context, tried, result.etag, startedMs);
    }
    // A refusal is final only while no earlier try can have been stored.
    if (result.outcome === "refused" && firstStartedMs === undefined) return "refused";
    firstStartedMs ??= startedMs;
    noteUnknown(context, result);
    const found = await lookAtLease(context, lease.specId);
    if (found === "failed") return "unknown";
    switch (compareLease(found, tried)) {
      case "this-write":
      case "own-claim":
        return new HeldLease(context, tried, found!.etag, firstStartedMs);
      case "someone-else":
        return "refused";
      case "absent":
        await clock.sleep(timing.renewRetryMs * context.entropy.random(), context.giveUp);
    }
  }
  return "unknown";
}
