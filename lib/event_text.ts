/**
 * How each event reads in the log. Messages that the older agent had keep its wording, since alerts
 * and log queries match on them.
 */
import type { FleetEvent, LogLevel, OfSpec, Totals } from "./events.ts";

/** One line of the log, before it is formatted. */
export interface LogRecord {
  readonly level: LogLevel;
  readonly message: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

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
      return ["debug", "spec claimed", {
        ...spec,
        claim: event.claim,
        attempt: event.attempt,
        wait_ms: event.waitMs,
      }];
    case "taken-over":
      return ["warn", `took the claim over from ${event.fromNode}, whose lease ran out`, {
        ...spec,
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
    case "key-ignored":
      return ["warn", "ignoring a key under pending/ that cannot be a spec's", { key: event.key }];
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
    case "http-serving":
      return ["info", "serving metrics and health", { address: event.address }];
    case "service-manager-failed":
      return ["warn", `could not notify systemd: ${event.cause}`, {}];
    case "watchdog-too-slow":
      return [
        "warn",
        `watchdog of ${event.watchdogMs} ms does not end a frozen agent before another node starts ` +
        `its specs: set WatchdogSec to at most ${event.longestMs} ms`,
        {},
      ];
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
      | "peers-unlisted"
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
    case "peers-unlisted":
      return [
        "warn",
        `could not list the nodes of the queue, so more claims will be refused: ${event.cause}`,
        {},
      ];
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
