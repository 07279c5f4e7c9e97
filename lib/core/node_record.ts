/** The node record, `nodes/<node>.json`: what the node's last heartbeat said, for `status`. */

export const NODE_SCHEMA = "dev.cellos.fleet.node.v1";

/** Times are ISO 8601 in UTC, by the node's clock. */
export interface NodeRecord {
  readonly schema: typeof NODE_SCHEMA;
  readonly node: string;
  readonly version: string;
  readonly poolId?: string;
  readonly state: string;
  readonly inFlight: number;
  readonly slots: number;
  readonly lastPollAgeMs?: number;
  readonly totals: Readonly<Record<string, number>>;
  readonly startedAt: string;
  readonly at: string;
  readonly heartbeatIntervalMs: number;
}

export function encodeNodeRecord(record: NodeRecord): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(record, undefined, 2) + "\n");
}

/** Reads a node record; undefined when it is not one of this version. */
export function decodeNodeRecord(bytes: Uint8Array): NodeRecord | undefined {
  try {
    const value: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
    return isNodeRecord(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function isNodeRecord(value: unknown): value is NodeRecord {
  if (typeof value !== "object" || value === null) return false;
  const record = value as Record<string, unknown>;
  return record.schema === NODE_SCHEMA &&
    ["node", "version", "state", "startedAt", "at"].every((name) =>
      typeof record[name] === "string"
    ) &&
    ["inFlight", "slots", "heartbeatIntervalMs"].every((name) => Number.isFinite(record[name])) &&
    (record.poolId === undefined || typeof record.poolId === "string") &&
    (record.lastPollAgeMs === undefined || Number.isFinite(record.lastPollAgeMs)) &&
    isTotals(record.totals);
}

function isTotals(value: unknown): value is Record<string, number> {
  return typeof value === "object" && value !== null && !Array.isArray(value) &&
    Object.values(value).every((count) => Number.isFinite(count));
}
