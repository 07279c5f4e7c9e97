/**
 * The result record of a run, `results/<id>.json`, and the short form of it in the terminal
 * object's user metadata. It is committed as part of the lease, so that whoever finishes the filing
 * writes the same record.
 */

export const RESULT_SCHEMA = "dev.cellos.fleet.result.v1";

export type Status = "completed" | "failed";

/**
 * Why a run ended as it did: `exit` (by itself), `signal` (killed by something else), `timeout`
 * (ran longer than allowed), `lost` (its nodes died, too often), `cancelled` (by a person),
 * `spec-too-large` (never run).
 */
export const REASONS = [
  "exit",
  "signal",
  "timeout",
  "lost",
  "cancelled",
  "spec-too-large",
] as const;

export type Reason = (typeof REASONS)[number];

/** An attempt of the same claim that came to no end of its own. */
export interface EarlierAttempt {
  readonly attempt: number;
  readonly node: string;
  readonly claimedAt: string;
}

/** What is left in the record of an earlier run of the same id. */
export interface EarlierRun {
  readonly claim: string;
  readonly status: Status;
  readonly reason: Reason;
  readonly exitCode?: number;
  readonly signal?: string;
  readonly node: string;
  readonly attempt: number;
  readonly endedAt: string;
}

/** One output stream of a cell: its size and its end, as text. */
export interface OutputTail {
  readonly bytes: number;
  readonly tail: string;
}

/** Times are ISO 8601 in UTC, by the clock of the node that ran the cell. */
export interface ResultRecord {
  readonly schema: typeof RESULT_SCHEMA;
  readonly specId: string;
  readonly status: Status;
  readonly reason: Reason;
  readonly exitCode?: number;
  readonly signal?: string;
  readonly node: string;
  readonly poolId?: string;
  readonly attempt: number;
  /** The claim's nonce: tells two runs of one id apart. */
  readonly claim: string;
  readonly claimedAt: string;
  readonly startedAt?: string;
  readonly endedAt: string;
  readonly durationMs?: number;
  readonly specBytes: number;
  readonly stdout: OutputTail;
  readonly stderr: OutputTail;
  /** Attempts of this claim before this one, oldest first. */
  readonly attempts: readonly EarlierAttempt[];
  /** Runs of the same id before this claim, newest first, ten at most. */
  readonly earlierRuns: readonly EarlierRun[];
}

/** What a run came to. Times are wall-clock milliseconds. */
export interface CellOutcome {
  readonly reason: Reason;
  readonly exit?: {
    readonly exitCode?: number;
    readonly signal?: string;
    readonly stdoutBytes: number;
    readonly stderrBytes: number;
    readonly stdoutTail: Uint8Array;
    readonly stderrTail: Uint8Array;
  };
  readonly startedAtMs?: number;
  readonly endedAtMs: number;
  readonly durationMs?: number;
}

/** The claim that a result belongs to. An empty pool is none. */
export type ResultOrigin =
  & Pick<
    ResultRecord,
    "specId" | "claim" | "attempt" | "claimedAt" | "attempts" | "node" | "specBytes"
  >
  & { readonly poolId: string };

/** The record of a run. It is `completed` only if the supervisor itself exited with 0. */
export function newResult(origin: ResultOrigin, outcome: CellOutcome): ResultRecord {
  const { poolId, ...rest } = origin;
  const { reason, exit, startedAtMs, endedAtMs, durationMs } = outcome;
  return {
    schema: RESULT_SCHEMA,
    ...rest,
    status: reason === "exit" && exit?.exitCode === 0 ? "completed" : "failed",
    reason,
    exitCode: exit?.exitCode,
    signal: exit?.signal,
    poolId: poolId === "" ? undefined : poolId,
    startedAt: isoOf(startedAtMs),
    endedAt: new Date(endedAtMs).toISOString(),
    durationMs: durationMs === undefined ? undefined : Math.round(durationMs),
    stdout: outputTail(exit?.stdoutBytes, exit?.stdoutTail),
    stderr: outputTail(exit?.stderrBytes, exit?.stderrTail),
    earlierRuns: [],
  };
}

function outputTail(bytes = 0, tail: Uint8Array = new Uint8Array()): OutputTail {
  return { bytes, tail: new TextDecoder().decode(tail) };
}

function isoOf(ms: number | undefined): string | undefined {
  return ms === undefined ? undefined : new Date(ms).toISOString();
}

const MAX_EARLIER_RUNS = 10;

/** All values together must stay below the 2 KB that S3 allows. */
const MAX_METADATA_VALUE = 128;

/** Prefix of every user metadata key of a terminal object. */
export const RESULT_METADATA_PREFIX = "cellos-";

/** The short facts of a result, as user metadata of the terminal object. */
export function resultMetadata(result: ResultRecord): Record<string, string> {
  const facts: Record<string, string | number | undefined> = {
    "status": result.status,
    "reason": result.reason,
    "exit-code": result.exitCode,
    "signal": result.signal,
    "node": result.node,
    "attempt": result.attempt,
    "claim": result.claim,
    "started-at": result.startedAt,
    "ended-at": result.endedAt,
  };
  const metadata: Record<string, string> = {};
  for (const [name, value] of Object.entries(facts)) {
    if (value !== undefined) metadata[RESULT_METADATA_PREFIX + name] = headerValue(String(value));
  }
  return metadata;
}

/** The claim that a terminal object was filed by, when it says so. */
export function claimOfMetadata(metadata: Readonly<Record<string, string>>): string | undefined {
  return metadata[`${RESULT_METADATA_PREFIX}claim`];
}

/** A record with the run that it replaces, if any, put in front of the earlier runs. */
export function withEarlierRun(
  result: ResultRecord,
  earlier: ResultRecord | undefined,
): ResultRecord {
  if (earlier === undefined || earlier.claim === result.claim) return result;
  const { claim, status, reason, exitCode, signal, node, attempt, endedAt } = earlier;
  const run: EarlierRun = {
    claim,
    status,
    reason,
    exitCode,
    signal,
    node,
    attempt,
    endedAt,
  };
  return { ...result, earlierRuns: [run, ...earlier.earlierRuns].slice(0, MAX_EARLIER_RUNS) };
}

export function encodeResult(result: ResultRecord): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(result, undefined, 2) + "\n");
}

/** Reads a result record; undefined when it is not one of this version. */
export function decodeResult(bytes: Uint8Array): ResultRecord | undefined {
  try {
    const value: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
    return isResultRecord(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** Whether a parsed value is a result record with every field of the right type. */
export function isResultRecord(value: unknown): value is ResultRecord {
  if (typeof value !== "object" || value === null) return false;
  const record = value as Record<string, unknown>;
  return record.schema === RESULT_SCHEMA && isRunSummary(record) &&
    typeof record.specId === "string" &&
    typeof record.claimedAt === "string" &&
    isOptional(record.poolId, "string") &&
    isOptional(record.startedAt, "string") &&
    isOptional(record.durationMs, "number") &&
    isCount(record.specBytes) &&
    isOutputTail(record.stdout) && isOutputTail(record.stderr) &&
    Array.isArray(record.attempts) && record.attempts.every(isEarlierAttempt) &&
    Array.isArray(record.earlierRuns) && record.earlierRuns.every(isRunSummary);
}

function isRunSummary(value: unknown): value is EarlierRun {
  if (typeof value !== "object" || value === null) return false;
  const run = value as Record<string, unknown>;
  return typeof run.claim === "string" && (run.status === "completed" || run.status === "failed") &&
    REASONS.includes(run.reason as Reason) &&
    isOptional(run.exitCode, "number") && isOptional(run.signal, "string") &&
    typeof run.node === "string" && isCount(run.attempt) && typeof run.endedAt === "string";
}

/** Whether a parsed value is an earlier attempt, as the lease and the result record hold them. */
export function isEarlierAttempt(value: unknown): value is EarlierAttempt {
  if (typeof value !== "object" || value === null) return false;
  const { attempt, node, claimedAt } = value as Record<string, unknown>;
  return isCount(attempt) && typeof node === "string" && typeof claimedAt === "string";
}

function isOutputTail(value: unknown): value is OutputTail {
  if (typeof value !== "object" || value === null) return false;
  const { bytes, tail } = value as Record<string, unknown>;
  return isCount(bytes) && typeof tail === "string";
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function isOptional(value: unknown, type: "string" | "number"): boolean {
  // JSON has numbers that JavaScript does not, and reads as Infinity.
  return value === undefined ||
    (type === "number" ? Number.isFinite(value) : typeof value === type);
}

/** Header values are short ASCII without spaces at their ends; a node's id need not be. */
function headerValue(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, "?").slice(0, MAX_METADATA_VALUE).trim();
}
