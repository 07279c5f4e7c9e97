/**
 * The takeover scan: lists the claims each third of the lease's lifetime, whether or not a slot is
 * free, so that a dead claim is known to be dead by the time one is. Filing that another node has
 * committed is finished at once; the rest is offered to the dispatcher.
 */
import { backoffMs } from "./core/backoff.ts";
import { cancels, decodeCancelMark } from "./core/cancel_mark.ts";
import { StoreError } from "./core/store_error.ts";
import { inspectDead, MAX_MARK_BYTES, mayTakeOver } from "./claim.ts";
import { type CancelMarkSeen, ClaimScan, type DeadLease } from "./claim_scan.ts";
import type { Dispatcher } from "./dispatcher.ts";
import type { DeadClaim, Slots } from "./slots.ts";

const LOOP_BOUND_MS = 120_000;
const BACKOFF_BASE_MS = 500;

/** Scans until `stop`. Once `drain` is aborted it takes nothing over any more. */
export async function takeoverLoop(
  slots: Slots,
  dispatcher: Dispatcher,
  drain: AbortSignal,
  stop: AbortSignal,
): Promise<void> {
  const { context } = slots;
  const { clock, entropy, log, timing, vitals } = context;
  const scan = new ClaimScan(context);
  let failures = 0;
  while (!stop.aborted) {
    let waitMs: number;
    try {
      const dead = await scan.scan(() => vitals.expect("scan", LOOP_BOUND_MS));
      await cancelMarked(slots, scan.marks);
      if (!drain.aborted) dispatcher.offer(await sortOut(slots, scan, shuffled(dead, entropy)));
      if (failures > 0) log.emit({ name: "bucket-recovered", action: "scan", failures });
      failures = 0;
      waitMs = scan.nextInMs();
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      failures++;
      // No longer than the cadence itself: a gap would restart the observation.
      waitMs = backoffMs(failures, BACKOFF_BASE_MS, timing.scanEveryMs, entropy.random());
      const cause = error.message;
      log.emit({ name: "bucket-failing", action: "scan", failures, retryInMs: waitMs, cause });
    }
    vitals.bucketFailures.set("scan", failures);
    vitals.expect("scan", waitMs + LOOP_BOUND_MS);
    await clock.sleep(waitMs, stop);
  }
  vitals.rest("scan");
}

/**
 * Stops the cells of this node that a mark asks to cancel. A mark that has no claim beside it came too
 * late, and is removed; should it belong to a claim that is just being made, it does not name it.
 */
async function cancelMarked(slots: Slots, marks: readonly CancelMarkSeen[]): Promise<void> {
  const { store, keys } = slots.context;
  for (const { id, etag, claimed } of marks) {
    const key = keys.cancelMark(id);
    if (!claimed) {
      await store.delete(key, etag);
      continue;
    }
    if (slots.running(id) === undefined) continue;
    const got = await store.get(key, MAX_MARK_BYTES);
    if (got.outcome !== "found") continue;
    // Compared with what runs by now: a later claim of the id may have taken the place of the one asked.
    if (cancels(decodeCancelMark(got.object.body), slots.running(id))) slots.cancel(id);
  }
}

/** Starts the filings among dead claims, and returns those that this node may run. */
async function sortOut(
  slots: Slots,
  scan: ClaimScan,
  leases: readonly DeadLease[],
): Promise<DeadClaim[]> {
  const { context } = slots;
  const runnable: DeadClaim[] = [];
  for (const lease of leases) {
    const { id, etag } = lease;
    if (slots.has(id)) continue;
    const found = await inspectDead(context, id, etag);
    if (found === undefined) continue;
    // Its holder was set to a longer lifetime than this node, and may still rely on it.
    if (found.lease !== undefined && scan.unchangedMs(id) < found.lease.ttlMs) continue;
    if (found.lease?.commit !== undefined) slots.finishFiling({ id, found });
    else if (await mayTakeOver(context, id)) runnable.push({ id, found });
    else scan.notForHere(lease);
  }
  return runnable;
}

/** In random order, so that nodes that saw the same lease die do not all try it first. */
function shuffled<T>(items: readonly T[], entropy: { random(): number }): T[] {
  return items.map((item) => ({ item, rank: entropy.random() }))
    .sort((a, b) => a.rank - b.rank)
    .map(({ item }) => item);
}
