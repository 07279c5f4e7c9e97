/** Where a spec is at present. */
import { claimOfMetadata, decodeResult, type ResultRecord, type Status } from "../core/result.ts";
import { leaseOf, type LeaseSeen, type Queue } from "./queue.ts";

/** A result record with tails of 64 KiB is far below this. */
const MAX_RESULT_BYTES = 4 * 1024 * 1024;

export type Whereabouts =
  | { readonly place: "pending" }
  | { readonly place: "leased"; readonly seen: LeaseSeen }
  /** Claimed without a lease: by an older agent, or left by one. */
  | { readonly place: "leaseless" }
  | { readonly place: "ended"; readonly ends: readonly End[] }
  | { readonly place: "nowhere" };

/** A terminal object. */
export interface End {
  readonly status: Status;
  /** The claim that filed it; undefined when an older agent did. */
  readonly claim: string | undefined;
  readonly etag: string;
  readonly lastModifiedMs: number;
}

/**
 * Looks for a spec in the order in which it moves, so that one that moves on meanwhile is met at a
 * later place. One that moves back, given up by its node, can be missed: look again.
 */
export async function whereIs(queue: Queue, id: string): Promise<Whereabouts> {
  const { store, keys } = queue;
  if (await store.head(keys.pending(id)) !== undefined) return { place: "pending" };
  const seen = await leaseOf(queue, id);
  if (seen !== undefined) return { place: "leased", seen };
  if (await store.head(keys.claimed(id)) !== undefined) return { place: "leaseless" };
  const ends = await endsOf(queue, id);
  return ends.length > 0 ? { place: "ended", ends } : { place: "nowhere" };
}

/** The terminal objects of an id: none, one, or of two runs with different ends both. */
export async function endsOf({ store, keys }: Queue, id: string): Promise<End[]> {
  const ends: End[] = [];
  for (const status of ["completed", "failed"] as const) {
    const head = await store.head(keys.terminal(status, id));
    if (head === undefined) continue;
    const { etag, lastModifiedMs } = head;
    ends.push({ status, claim: claimOfMetadata(head.metadata), etag, lastModifiedMs });
  }
  return ends;
}

/** The result record of the last run; undefined when there is none that can be read. */
export async function resultOf(
  { store, keys }: Queue,
  id: string,
): Promise<ResultRecord | undefined> {
  const got = await store.get(keys.result(id), MAX_RESULT_BYTES);
  return got.outcome === "found" ? decodeResult(got.object.body) : undefined;
}

/** Where a spec is, as half of a sentence for people. */
export function placeText(found: Whereabouts): string {
  switch (found.place) {
    case "pending":
      return "it is pending";
    case "leased":
      return found.seen.lease === undefined
        ? "it is claimed, under a lease that cannot be read"
        : `it is claimed by ${found.seen.lease.node}`;
    case "leaseless":
      return "it is claimed, without a lease";
    case "ended":
      return `it has ${found.ends.map(({ status }) => status).join(" and ")}`;
    case "nowhere":
      return "there is no such spec";
  }
}
