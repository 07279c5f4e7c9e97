/** Valid records with every field set, for tests that look at them or break them. */
import { CANCEL_SCHEMA, type CancelMark } from "../../lib/core/cancel_mark.ts";
import { type Lease, LEASE_SCHEMA } from "../../lib/core/lease.ts";
import { NODE_SCHEMA, type NodeRecord } from "../../lib/core/node_record.ts";
import { RESULT_SCHEMA, type ResultRecord } from "../../lib/core/result.ts";

const AT = "2026-03-01T12:00:00.000Z";

export function sampleResult(changes: Partial<ResultRecord> = {}): ResultRecord {
  return {
    schema: RESULT_SCHEMA,
    specId: "team/a",
    status: "failed",
    reason: "exit",
    exitCode: 3,
    signal: "SIGTERM",
    node: "node-1",
    poolId: "gpu",
    attempt: 2,
    claim: "nonce-2",
    claimedAt: AT,
    startedAt: AT,
    endedAt: AT,
    durationMs: 1_500,
    specBytes: 12,
    stdout: { bytes: 5, tail: "hello" },
    stderr: { bytes: 0, tail: "" },
    attempts: [{ attempt: 1, node: "node-0", claimedAt: AT }],
    earlierRuns: [{
      claim: "nonce-0",
      status: "completed",
      reason: "exit",
      exitCode: 0,
      signal: "SIGINT",
      node: "node-0",
      attempt: 1,
      endedAt: AT,
    }],
    ...changes,
  };
}

export function sampleLease(changes: Partial<Lease> = {}): Lease {
  return {
    schema: LEASE_SCHEMA,
    specId: "team/a",
    nonce: "nonce-2",
    origin: "nonce-1",
    ttlMs: 120_000,
    node: "node-1",
    attempt: 2,
    sequence: 7,
    state: "claimed",
    poolId: "gpu",
    claimedAt: AT,
    renewedAt: AT,
    attempts: [{ attempt: 1, node: "node-0", claimedAt: AT }],
    ...changes,
  };
}

/** A lease whose outcome is committed. */
export function sampleExitedLease(changes: Partial<Lease> = {}): Lease {
  return sampleLease({
    state: "exited",
    commit: { result: sampleResult(), source: "claimed", specEtag: '"e1"' },
    ...changes,
  });
}

export function sampleNodeRecord(changes: Partial<NodeRecord> = {}): NodeRecord {
  return {
    schema: NODE_SCHEMA,
    node: "node-1",
    version: "0.6.0",
    poolId: "gpu",
    state: "busy",
    inFlight: 1,
    slots: 4,
    lastPollAgeMs: 120,
    totals: { claimed: 3, completed: 2 },
    startedAt: AT,
    at: AT,
    heartbeatIntervalMs: 30_000,
    ...changes,
  };
}

export function sampleCancelMark(): CancelMark {
  return { schema: CANCEL_SCHEMA, specId: "team/a", origin: "nonce-1", by: "ann", at: AT };
}
