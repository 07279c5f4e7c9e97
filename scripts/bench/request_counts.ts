/** What requests a bucket got, told apart by what they are for in the claim protocol. */
import type { RequestEnd, RequestLogEntry } from "../s3/statistics.ts";

/** Requests of one purpose, by how they ended. */
export interface RequestCount {
  readonly ok: number;
  /** A condition did not hold. */
  readonly refused: number;
  readonly absent: number;
  readonly other: number;
}

/** By purpose, such as `create lease` or `get pending`. */
export type RequestCounts = Readonly<Record<string, RequestCount>>;

export const NO_REQUESTS: RequestCount = { ok: 0, refused: 0, absent: 0, other: 0 };

/** The purpose of a request, in the words of the protocol's description. */
export function purposeOf(entry: RequestLogEntry): string {
  const verb = verbOf(entry);
  return verb === "list" ? verb : `${verb} ${objectOf(entry.key)}`;
}

/** Adds one request to the counts. */
export function count(counts: Record<string, RequestCount>, entry: RequestLogEntry): void {
  const purpose = purposeOf(entry);
  const before = counts[purpose] ?? NO_REQUESTS;
  const end = endOf(entry.status);
  counts[purpose] = { ...before, [end]: before[end] + 1 };
}

/** Requests of one purpose, however they ended; of all purposes without one. */
export function total(counts: RequestCounts, purpose?: string): number {
  return Object.entries(counts)
    .filter(([name]) => purpose === undefined || name === purpose)
    .reduce((sum, [, { ok, refused, absent, other }]) => sum + ok + refused + absent + other, 0);
}

function verbOf({ operation, ifMatch, ifNoneMatch }: RequestLogEntry): string {
  switch (operation) {
    case "PutObject":
      if (ifNoneMatch !== undefined) return "create";
      return ifMatch === undefined ? "put" : "replace";
    case "GetObject":
      return "get";
    case "HeadObject":
      return "head";
    case "DeleteObject":
      return "delete";
    case "CopyObject":
      return "copy";
    case "ListObjectsV2":
      return "list";
    default:
      return operation;
  }
}

function objectOf(key: string): string {
  if (key.endsWith(".lease")) return "lease";
  const folder = /(?:^|\/)(pending|claimed|completed|failed|results|nodes|probe)\//.exec(key)?.[1];
  switch (folder) {
    case "completed":
    case "failed":
      return "terminal object";
    case "results":
      return "result";
    case "nodes":
      return "node record";
    case undefined:
      return "other";
    default:
      return folder;
  }
}

function endOf(status: RequestEnd): keyof RequestCount {
  if (status === 412) return "refused";
  if (status === 404) return "absent";
  return typeof status === "number" && status < 300 ? "ok" : "other";
}
