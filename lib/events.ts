/**
 * Every event the agent logs, as one typed union, and how each reads in the log. Messages that the
 * older agent had keep its wording, since alerts and log queries match on them.
 */
import type { Reason, Status } from "./core/result.ts";

export type LogLevel = "debug" | "info" | "warn" | "error";

/** One line of the log, before it is formatted. */
export interface LogRecord {
  readonly level: LogLevel;
  readonly message: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** What the agent as a whole is doing. */
export type AgentState =
  | "starting"
  | "idle"
  | "busy"
  /** Waiting after errors of the bucket or of the supervisor. */
  | "backing-off"
  | "draining"
  /** A loop has not come round within its bound. */
  | "stuck";

/** Counts since the agent started. */
export interface Totals {
  claimed: number;
  completed: number;
  failed: number;
  released: number;
  takenOver: number;
  lost: number;
}

/** Why a cell is being stopped. */
export type StopCause =
  /** It ran longer than allowed. */
  | "timeout"
  /** Its lease could not be renewed in time. */
  | "fenced"
  /** Another node was seen to hold its claim. */
  | "lost"
  /** The agent must end. */
  | "interrupted";

interface OfSpec {
  readonly specId: string;
}

export type FleetEvent =
  | {
    readonly name: "agent-starting";
    readonly version: string;
    readonly bucket: string;
    readonly prefix: string;
    readonly queueName: string;
    readonly poolId: string;
    readonly settings: Readonly<Record<string, unknown>>;
  }
  | { readonly name: "configuration-warning"; readonly text: string }
  | { readonly name: "store-probed"; readonly conditionalDelete: boolean }
  | { readonly name: "start-failed"; readonly cause: string }
  | {
    readonly name: "poll-finished";
    readonly listed: number;
    readonly runnable: number;
    readonly roundComplete: boolean;
    readonly oldestAgeMs: number | undefined;
    readonly durationMs: number;
  }
  | (
    & { readonly name: "spec-skipped"; readonly specPool: string; readonly nodePool: string }
    & OfSpec
  )
  | ({ readonly name: "placement-unreadable"; readonly cause: string } & OfSpec)
  | ({ readonly name: "claim-started" } & OfSpec)
  | ({ readonly name: "claim-refused" } & OfSpec)
  | ({ readonly name: "claim-unneeded"; readonly cause: "gone" | "foreign" } & OfSpec)
  | ({ readonly name: "claim-unknown" } & OfSpec)
  | ({ readonly name: "claim-abandoned"; readonly cause: string } & OfSpec)
  | ({
    readonly name: "claim-request-failed";
    readonly action: string;
    readonly failures: number;
    readonly retryInMs: number;
    readonly cause: string;
  } & OfSpec)
  | ({ readonly name: "claimed"; readonly claim: string; readonly attempt: number } & OfSpec)
  | ({
    readonly name: "taken-over";
    readonly fromNode: string;
    readonly claim: string;
    readonly attempt: number;
    readonly step: "run" | "finish-filing" | "finish-release" | "lost" | "too-large";
  } & OfSpec)
  | ({ readonly name: "cell-running"; readonly claim: string; readonly attempt: number } & OfSpec)
  | ({
    readonly name: "cell-output";
    readonly stream: "stdout" | "stderr";
    readonly text: string;
    readonly truncated: boolean;
  } & OfSpec)
  | (
    & { readonly name: "cell-stopping"; readonly cause: StopCause; readonly graceMs: number }
    & OfSpec
  )
  | ({
    readonly name: "cell-exited";
    readonly exitCode?: number;
    readonly signal?: string;
    readonly durationMs: number;
    readonly stopped?: StopCause;
  } & OfSpec)
  | ({
    readonly name: "spec-committed";
    readonly status: Status;
    readonly reason: Reason;
  } & OfSpec)
  | ({
    readonly name: "spec-filed";
    readonly status: Status;
    readonly reason: Reason;
    readonly exitCode?: number;
    readonly signal?: string;
    readonly attempt: number;
    readonly durationMs?: number;
    /** The node whose run it was. */
    readonly ranOn: string;
    /** Set where the filing was finished by this node for another. */
    readonly filedFor?: string;
  } & OfSpec)
  | ({ readonly name: "filing-left"; readonly cause: string } & OfSpec)
  | ({ readonly name: "spec-moved-by-hand" } & OfSpec)
  | ({ readonly name: "lease-renewed"; readonly attempt: number } & OfSpec)
  | (
    & {
      readonly name: "lease-renewal-failed";
      readonly trustLeftMs: number;
      readonly cause: string;
    }
    & OfSpec
  )
  | ({ readonly name: "lease-lost" } & OfSpec)
  | (
    & { readonly name: "claim-released"; readonly cause: "interrupted" | "fenced" | "supervisor" }
    & OfSpec
  )
  | ({ readonly name: "claim-kept"; readonly cause: string } & OfSpec)
  | ({ readonly name: "claim-without-lease" } & OfSpec)
  | {
    readonly name: "bucket-failing";
    readonly action: "poll" | "scan" | "start";
    readonly failures: number;
    readonly retryInMs: number;
    readonly cause: string;
  }
  | {
    readonly name: "bucket-recovered";
    readonly action: "poll" | "scan" | "start";
    readonly failures: number;
  }
  | {
    readonly name: "supervisor-failing";
    readonly failures: number;
    readonly retryInMs: number;
    readonly cause: string;
  }
  | { readonly name: "supervisor-recovered"; readonly failures: number }
  | { readonly name: "guard-lost"; readonly cause: string }
  | {
    readonly name: "heartbeat";
    readonly state: AgentState;
    readonly bucket: string;
    readonly prefix: string;
    readonly queueName: string;
    readonly poolId: string;
    readonly inFlight: number;
    readonly slots: number;
    readonly lastPollAgeMs: number | undefined;
    readonly stuckLoops: readonly string[];
    readonly totals: Readonly<Totals>;
  }
  | { readonly name: "node-record-failed"; readonly cause: string }
  | { readonly name: "draining"; readonly cause: string; readonly inFlight: number }
  | { readonly name: "interrupting"; readonly cause: string; readonly inFlight: number }
  | { readonly name: "giving-up"; readonly inFlight: number }
  | { readonly name: "agent-stopped"; readonly totals: Readonly<Totals> };

export type EventName = FleetEvent["name"];

/** The type that the heartbeat carries, as the older agent's did. */
export const HEARTBEAT_EVENT_TYPE = "dev.cellos.events.fleet.v1.heartbeat";

type Described = readonly [LogLevel, string, Readonly<Record<string, unknown>>];

/** The log record of an event. Fields are in snake case; undefined ones are left out by the log. */
export function describe(event: FleetEvent): LogRecord {
  const [level, message, fields] = "specId" in event ? ofSpec(event) : ofAgent(event);
  return { level, message, fields };
}

type SpecEvent = Extract<FleetEvent, OfSpec>;

function ofSpec(event: SpecEvent): Described {
  const spec = { spec_id: event.specId };
  switch (event.name) {
    case "spec-skipped": {
      const { specPool, nodePool } = event;
      return [
        "info",
        `skipping spec ${event.specId}: placement.poolId=${specPool} != runner poolId=${nodePool}`,
        spec,
      ];
    }
    case "placement-unreadable":
      return ["warn", `placement not readable, taken as unconstrained: ${event.cause}`, spec];
    case "claim-started":
      return ["info", "claiming spec", spec];
    case "claim-refused":
      return ["info", "spec already claimed by another node, skipping", spec];
    case "claim-unneeded":
      return ["debug", "spec no longer pending here, skipping", { ...spec, cause: event.cause }];
    case "claim-unknown":
      return ["warn", "claim left open: the bucket did not say whether the lease was stored", spec];
    case "claim-abandoned":
      return ["warn", `claim abandoned, its lease runs out: ${event.cause}`, spec];
    case "claim-request-failed":
      return ["warn", `could not ${event.action}: ${event.cause}`, {
        ...spec,
        failures: event.failures,
        retry_in_ms: event.retryInMs,
      }];
    case "claimed":
      return ["debug", "spec claimed", { ...spec, claim: event.claim, attempt: event.attempt }];
    case "taken-over":
      return ["warn", `took the claim over from ${event.fromNode}, whose lease ran out`, {
        ...spec,
        claim: event.claim,
        attempt: event.attempt,
        from_node: event.fromNode,
        step: event.step,
      }];
    case "lease-renewed":
      return ["debug", "lease renewed", { ...spec, attempt: event.attempt }];
    case "lease-renewal-failed":
      return ["warn", `could not renew the lease: ${event.cause}`, {
        ...spec,
        trust_left_ms: event.trustLeftMs,
      }];
    case "lease-lost":
      return ["error", "lease lost to another node, nothing is filed here", spec];
    case "claim-released":
      return ["warn", "claim released, spec is pending again", { ...spec, cause: event.cause }];
    case "claim-kept":
      return ["warn", `claim could not be released, its lease runs out: ${event.cause}`, spec];
    case "claim-without-lease":
      return [
        "warn",
        "claimed spec without a lease: left alone (an older agent's, or moved by hand)",
        spec,
      ];
    default:
      return ofCell(event);
  }
}

type CellEvent = Extract<
  SpecEvent,
  {
    name:
      | `cell-${string}`
      | "spec-committed"
      | "spec-filed"
      | "filing-left"
      | "spec-moved-by-hand";
  }
>;

function ofCell(event: CellEvent): Described {
  const spec = { spec_id: event.specId };
  switch (event.name) {
    case "cell-running":
      return ["info", "running cell", { ...spec, attempt: event.attempt, claim: event.claim }];
    case "cell-output":
      return ["info", event.text, {
        ...spec,
        stream: event.stream,
        truncated: event.truncated || undefined,
      }];
    case "cell-stopping":
      return [event.cause === "interrupted" ? "info" : "warn", `stopping cell: ${event.cause}`, {
        ...spec,
        cause: event.cause,
        grace_ms: Math.round(event.graceMs),
      }];
    case "cell-exited":
      return ["info", "cell completed — finalizing", {
        ...spec,
        exit_code: event.exitCode,
        signal: event.signal,
        duration_ms: Math.round(event.durationMs),
        stopped: event.stopped,
      }];
    case "spec-committed":
      return ["debug", "outcome committed", {
        ...spec,
        status: event.status,
        reason: event.reason,
      }];
    case "spec-filed": {
      const done = event.status === "completed";
      return [
        done ? "info" : "warn",
        done ? "spec completed successfully" : "spec completed with failure",
        {
          ...spec,
          reason: event.reason,
          exit_code: event.exitCode,
          signal: event.signal,
          attempt: event.attempt,
          duration_ms: event.durationMs,
          ran_on: event.ranOn,
          filed_for: event.filedFor,
        },
      ];
    }
    case "filing-left":
      return ["warn", `filing left to whoever takes the lease over: ${event.cause}`, spec];
    case "spec-moved-by-hand":
      return ["warn", "claimed spec was moved by hand, only its result record is filed", spec];
  }
}

type AgentEvent = Exclude<FleetEvent, OfSpec>;

function ofAgent(event: AgentEvent): Described {
  switch (event.name) {
    case "agent-starting":
      return ["info", "cellos-fleet agent starting", {
        version: event.version,
        bucket: event.bucket,
        prefix: event.prefix,
        queue_name: event.queueName,
        pool_id: event.poolId,
        ...event.settings,
      }];
    case "configuration-warning":
      return ["warn", event.text, {}];
    case "store-probed":
      return ["info", "bucket honours conditional writes", {
        conditional_delete: event.conditionalDelete,
      }];
    case "start-failed":
      return ["error", event.cause, {}];
    case "poll-finished":
      return ["debug", "polled", {
        listed: event.listed,
        runnable: event.runnable,
        round_complete: event.roundComplete,
        oldest_age_ms: event.oldestAgeMs,
        duration_ms: Math.round(event.durationMs),
      }];
    case "bucket-failing":
      return ["warn", `bucket not usable: ${event.cause}`, {
        action: event.action,
        failures: event.failures,
        retry_in_ms: Math.round(event.retryInMs),
      }];
    case "bucket-recovered":
      return ["info", "bucket usable again", { action: event.action, failures: event.failures }];
    case "supervisor-failing":
      return ["error", `supervisor cannot be started: ${event.cause}`, {
        failures: event.failures,
        retry_in_ms: Math.round(event.retryInMs),
      }];
    case "supervisor-recovered":
      return ["info", "supervisor can be started again", { failures: event.failures }];
    case "guard-lost":
      return ["error", `guard process ended, starting another: ${event.cause}`, {}];
    default:
      return ofLife(event);
  }
}

type LifeEvent = Extract<
  AgentEvent,
  {
    name:
      | "heartbeat"
      | "node-record-failed"
      | "draining"
      | "interrupting"
      | "giving-up"
      | "agent-stopped";
  }
>;

function ofLife(event: LifeEvent): Described {
  switch (event.name) {
    case "heartbeat":
      return [event.state === "stuck" ? "error" : "info", "heartbeat", {
        event_type: HEARTBEAT_EVENT_TYPE,
        bucket: event.bucket,
        prefix: event.prefix,
        queue_name: event.queueName,
        pool_id: event.poolId,
        state: event.state,
        in_flight: event.inFlight,
        slots: event.slots,
        last_poll_age_ms: event.lastPollAgeMs,
        stuck_loops: event.stuckLoops.length === 0 ? undefined : event.stuckLoops.join(","),
        ...totalsFields(event.totals),
      }];
    case "node-record-failed":
      return ["warn", `could not store the node record: ${event.cause}`, {}];
    case "draining":
      return ["info", `${event.cause} — draining (no new work accepted)`, {
        in_flight: event.inFlight,
      }];
    case "interrupting":
      return ["warn", `${event.cause} — stopping running cells`, { in_flight: event.inFlight }];
    case "giving-up":
      return ["error", "claims could not be settled in time, their leases run out", {
        in_flight: event.inFlight,
      }];
    case "agent-stopped":
      return ["info", "cellos-fleet agent stopped (drain complete)", totalsFields(event.totals)];
  }
}

function totalsFields(totals: Readonly<Totals>): Record<string, number> {
  return {
    claimed_total: totals.claimed,
    completed_total: totals.completed,
    failed_total: totals.failed,
    released_total: totals.released,
    taken_over_total: totals.takenOver,
    lost_total: totals.lost,
  };
}
