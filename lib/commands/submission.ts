/** Stores one spec under `pending/`, and finds out whether it is stored when the store does not say. */
import { backoffMs } from "../core/backoff.ts";
import { leaseTiming } from "../core/lease_timing.ts";
import { StoreError } from "../core/store_error.ts";
import { equalBytes } from "../claim.ts";
import { complain, type Queue } from "./queue.ts";
import { type End, endsOf } from "./whereabouts.ts";

const TRIES = 6;
const TRIES_WITHOUT_ANSWER = 2;
const RETRY_BASE_MS = 200;
const RETRY_MAX_MS = 10_000;

export type Submission =
  | { readonly kind: "submitted" }
  /** The id is pending already, with other bytes as far as could be seen. */
  | { readonly kind: "pending" }
  /** It may be stored, or may be yet. */
  | { readonly kind: "unknown"; readonly cause: string };

/**
 * Creates `pending/<id>.json`, never in the place of another. What the store leaves open is looked up
 * before it is tried again: an agent may have claimed, run and filed the spec by then, and a second
 * one would run it again. So a request without an answer is first given the time in which it can
 * still take effect.
 *
 * @param endsBefore terminal objects of the id from before, which are not ends of this submission
 */
export async function submitSpec(
  queue: Queue,
  id: string,
  bytes: Uint8Array,
  endsBefore: readonly End[],
): Promise<Submission> {
  const { store, keys, config } = queue;
  const { terminal, clock, entropy, interrupted } = queue.ports;
  const { landingMs } = leaseTiming(config.leaseTtlMs, config.killGraceMs);
  let cause = "";
  let unanswered = 0;
  for (let tries = 1; tries <= TRIES && unanswered < TRIES_WITHOUT_ANSWER; tries++) {
    const result = await store.create(keys.pending(id), bytes, {});
    if (result.outcome === "stored") return { kind: "submitted" };
    if (result.outcome === "refused") {
      const own = tries > 1 && await lookUp(queue, id, bytes, endsBefore) === "stored";
      return { kind: own ? "submitted" : "pending" };
    }
    cause = result.cause;
    const found = await lookUp(queue, id, bytes, endsBefore);
    if (found === "stored") return { kind: "submitted" };
    // A bucket that answers nothing at all is better come back to than waited for here.
    if (found === "unknown") break;
    if (result.answered) {
      const waitMs = backoffMs(tries, RETRY_BASE_MS, RETRY_MAX_MS, entropy.random());
      await clock.sleep(waitMs, interrupted);
    } else {
      unanswered++;
      const seconds = Math.ceil(landingMs / 1_000);
      await complain(terminal, `${id}: no answer (${cause}); looking again in ${seconds} s`);
      await clock.sleep(landingMs, interrupted);
    }
    if (await lookUp(queue, id, bytes, endsBefore) === "stored") return { kind: "submitted" };
    if (interrupted.aborted) break;
  }
  return { kind: "unknown", cause };
}

/** Whether the spec is anywhere between submission and end. */
async function lookUp(
  queue: Queue,
  id: string,
  bytes: Uint8Array,
  endsBefore: readonly End[],
): Promise<"stored" | "absent" | "unknown"> {
  const { store, keys } = queue;
  try {
    for (const key of [keys.pending(id), keys.claimed(id)]) {
      const got = await store.get(key, bytes.length);
      if (got.outcome === "found" && equalBytes(got.object.body, bytes)) return "stored";
    }
    const ends = await endsOf(queue, id);
    return ends.some((end) => isNewEnd(end, endsBefore)) ? "stored" : "absent";
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    return "unknown";
  }
}

/** Whether a terminal object is of a later run than those seen before. */
export function isNewEnd(end: End, before: readonly End[]): boolean {
  return !before.some(({ status, claim, etag, lastModifiedMs }) =>
    status === end.status && claim === end.claim && etag === end.etag &&
    lastModifiedMs === end.lastModifiedMs
  );
}
