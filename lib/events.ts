/**
 * Every event of the agent, as one typed union. The log and the metrics are two readers of it; how an
 * event reads in the log is in `event_text.ts`.
 */
import type { Reason, Status } from "./core/result.ts";

export type LogLevel = "debug" | "info" | "warn" | "error";

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
  /** A person asked for it. */
  | "cancelled"
  /** The agent must end. */
  | "interrupted";

/** What there is to do after a takeover. */
export type TakeoverStep =
  | "run"
  | "finish-filing"
  | "finish-release"
  | "lost"
  | "cancelled"
  | "too-large";

/** What every event about one spec has. */
export interface OfSpec {
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
  | { readonly name: "key-ignored"; readonly key: string }
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
  | ({
    readonly name: "claimed";
    readonly claim: string;
    readonly attempt: number;
    /** In `pending/`, by the difference of the store's clock and this node's; not for a takeover. */
    readonly waitMs: number | undefined;
  } & OfSpec)
  | ({
    readonly name: "taken-over";
    readonly fromNode: string;
    readonly step: TakeoverStep;
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
  | { readonly name: "http-serving"; readonly address: string }
  | { readonly name: "service-manager-failed"; readonly cause: string }
  | { readonly name: "watchdog-too-slow"; readonly watchdogMs: number; readonly longestMs: number }
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
  | { readonly name: "peers-unlisted"; readonly cause: string }
  | { readonly name: "draining"; readonly cause: string; readonly inFlight: number }
  | { readonly name: "interrupting"; readonly cause: string; readonly inFlight: number }
  | { readonly name: "giving-up"; readonly inFlight: number }
  | { readonly name: "agent-stopped"; readonly totals: Readonly<Totals> };
