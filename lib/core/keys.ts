/**
 * Spec ids and the keys they live at. The key layout is the older agent's, to the byte:
 *
 *     <prefix>[/<queue>]/pending/<id>.json      and claimed/, completed/, failed/, results/
 *     <prefix>[/<queue>]/claimed/<id>.lease     and claimed/<id>.cancel
 *     <prefix>[/<queue>]/nodes/<node>.json
 *     <prefix>[/<queue>]/probe/<name>
 *
 * An id is what stands between the state folder and exactly one `.json`; it may hold slashes and
 * may itself end in `.json`. Prefix and suffix are taken off once, so that `pending/a.json.json`
 * is the id `a.json` and comes back to the same key. Ids with a `.` or `..` segment are not taken.
 */

import { keyFits } from "./object_limits.ts";

/** The folders that a queue must not be named after. */
export const STATE_FOLDERS = [
  "pending",
  "claimed",
  "completed",
  "failed",
  "results",
  "nodes",
  "probe",
] as const;

export type StateFolder = (typeof STATE_FOLDERS)[number];

const SPEC_SUFFIX = ".json";
const LEASE_SUFFIX = ".lease";
const CANCEL_SUFFIX = ".cancel";

/** What a key below `claimed/` is. */
export type ClaimedKey =
  | { readonly kind: "spec"; readonly id: string }
  | { readonly kind: "lease"; readonly id: string }
  | { readonly kind: "cancel"; readonly id: string }
  | { readonly kind: "other" };

/** The keys of one queue. */
export class QueueKeys {
  /** `<prefix>` or `<prefix>/<queue>`, without a slash at its end. */
  readonly root: string;

  constructor(prefix: string, queueName: string) {
    this.root = queueName === "" ? prefix : `${prefix}/${queueName}`;
  }

  /** The listing prefix of a state folder, with its slash. */
  folder(name: StateFolder): string {
    return this.root === "" ? `${name}/` : `${this.root}/${name}/`;
  }

  pending(id: string): string {
    return this.folder("pending") + id + SPEC_SUFFIX;
  }

  claimed(id: string): string {
    return this.folder("claimed") + id + SPEC_SUFFIX;
  }

  lease(id: string): string {
    return this.folder("claimed") + id + LEASE_SUFFIX;
  }

  /** The mark that asks the holder of a claim to cancel it. */
  cancelMark(id: string): string {
    return this.folder("claimed") + id + CANCEL_SUFFIX;
  }

  terminal(status: "completed" | "failed", id: string): string {
    return this.folder(status) + id + SPEC_SUFFIX;
  }

  result(id: string): string {
    return this.folder("results") + id + SPEC_SUFFIX;
  }

  node(nodeId: string): string {
    return this.folder("nodes") + nodeId + SPEC_SUFFIX;
  }

  probe(name: string): string {
    return this.folder("probe") + name;
  }

  /** The id of a spec's key in a folder, or undefined when the key is not that of a spec. */
  specId(folder: StateFolder, key: string): string | undefined {
    return between(key, this.folder(folder), SPEC_SUFFIX);
  }

  /** Whether every key that a spec of this id can get is short enough for a store. */
  fits(id: string): boolean {
    return [this.terminal("completed", id), this.lease(id), this.cancelMark(id)].every(keyFits);
  }

  /** Tells specs, leases and marks below `claimed/` apart. */
  claimedKey(key: string): ClaimedKey {
    const folder = this.folder("claimed");
    const spec = between(key, folder, SPEC_SUFFIX);
    if (spec !== undefined) return { kind: "spec", id: spec };
    const lease = between(key, folder, LEASE_SUFFIX);
    if (lease !== undefined) return { kind: "lease", id: lease };
    const cancel = between(key, folder, CANCEL_SUFFIX);
    if (cancel !== undefined) return { kind: "cancel", id: cancel };
    return { kind: "other" };
  }
}

/** The middle of a text between a start and an end; undefined when either is missing or it is empty. */
function between(text: string, start: string, end: string): string | undefined {
  if (!text.startsWith(start) || !text.endsWith(end)) return undefined;
  const middle = text.slice(start.length, text.length - end.length);
  const fits = text.length >= start.length + end.length && middle !== "";
  return fits && !hasDotSegment(middle) ? middle : undefined;
}

/**
 * Whether a part between slashes is `.` or `..`. HTTP clients resolve such segments in a URL, so that
 * a request would reach another key than the one that is meant.
 */
function hasDotSegment(id: string): boolean {
  return id.split("/").some((segment) => segment === "." || segment === "..");
}
