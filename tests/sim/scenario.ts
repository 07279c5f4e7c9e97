/** What one run is made of, as plain data: `drawScenario` draws it from a seed, tests write it. */

/** How the store behaves when all is well. */
export interface StorePlan {
  readonly conditionalDelete: boolean;
  /** `content`: the same for the same bytes, as MD5; `unique`: never the same, as with KMS. */
  readonly etags: "content" | "unique";
  /** What a conditional delete of an absent object is answered with. */
  readonly deleteOfAbsent: "deleted" | "refused";
  /** Keys a page of a listing holds at most: small pages make listings that are no snapshots. */
  readonly pageKeys: number;
  /** One request without faults takes up to this, both ways. */
  readonly latencyMs: number;
}

/** What all nodes of the fleet have in common. */
export interface FleetPlan {
  readonly ttlMs: number;
  readonly killGraceMs: number;
  readonly maxAttempts: number;
  readonly maxSpecBytes: number;
  readonly pollIntervalMs: number;
  readonly heartbeatIntervalMs: number;
}

export interface NodePlan {
  readonly name: string;
  readonly startsAtMs: number;
  readonly poolId: string;
  readonly concurrency: number;
  readonly fence: "strict" | "confirmed";
  readonly cellTimeoutMs: number;
  readonly drainTimeoutMs: number;
  readonly exitWhenIdleMs: number;
  /** Of its wall clock. */
  readonly wallOffsetMs: number;
  /** Milliseconds of its monotonic clock in one of true time. */
  readonly clockRate: number;
  /** Of its own leases, in place of the fleet's: while a setting is being changed, they differ. */
  readonly ttlMs?: number;
  /** Of its own requests, in place of the scenario's. */
  readonly requestFaults?: RequestFaults;
}

/** Probabilities of what can befall one request. They exclude each other, in this order. */
export interface RequestFaults {
  /** Never gets there; the connection breaks, or nothing is heard. */
  readonly lost: number;
  /** Takes effect; the connection breaks, or nothing is heard. */
  readonly replyLost: number;
  /** Takes effect after the client gave up. */
  readonly late: number;
  /** Is delivered twice, and the second answer comes back. */
  readonly twice: number;
  /** Is answered by 409, 429, 500 or 503, with or without effect. */
  readonly answeredWithError: number;
  /** Takes up to twice the client's patience. */
  readonly slow: number;
  /** Of those that break: how many do so quickly instead of by the client's timeout. */
  readonly brokenQuickly: number;
}

/** Something that befalls a node, or the whole bucket, at a time. */
export type Incident =
  & { readonly atMs: number }
  & (
    | {
      readonly kind: "crash";
      readonly node: number;
      /** The whole host, cells and all; otherwise the agent's process alone. */
      readonly host: boolean;
      readonly restartAfterMs: number;
    }
    | {
      readonly kind: "freeze";
      readonly node: number;
      /**
       * `host`: the cells stand still with the agent. `watchdog`: the agent alone, and a watchdog
       * kills it after `watchdogMs`. `agent`: the agent alone, with nobody watching.
       */
      readonly what: "host" | "watchdog" | "agent";
      readonly forMs: number;
      readonly watchdogMs: number;
    }
    | {
      readonly kind: "drain";
      readonly node: number;
      /** A second signal, so long after the first. */
      readonly interruptAfterMs?: number;
    }
    | { readonly kind: "no-supervisor"; readonly node: number; readonly forMs: number }
    | {
      /**
       * The next lease write of the node takes effect at once, but is answered late or not at all,
       * and as soon as the node knows that it was stored, it is cut off.
       */
      readonly kind: "ambush";
      readonly node: number;
      readonly answered: boolean;
      readonly forMs: number;
    }
    | {
      readonly kind: "cut-off";
      /** Undefined: the bucket is out of everybody's reach. */
      readonly node?: number;
      readonly forMs: number;
      readonly manner: "silent" | "broken" | "throttled" | "denied";
    }
  );

/** Something a person does by hand. */
export type PersonAct =
  & { readonly atMs: number; readonly id: string }
  & (
    | { readonly kind: "submit"; readonly spec: string }
    /** The bytes submitted last, once more. */
    | { readonly kind: "resubmit" }
    | { readonly kind: "cancel" }
    /** `aws s3 mv` from `failed/` to `pending/`: copy, then delete. */
    | { readonly kind: "retry-failed"; readonly deleteAfterMs: number }
    | { readonly kind: "delete-lease" }
    /** An operator's command of this program, which may be killed on its way. */
    | {
      readonly kind: "command";
      readonly command: "cancel" | "requeue" | "requeue-leaseless";
      readonly diesAfterMs?: number;
    }
    /** An object of another agent under `claimed/`, without a lease. */
    | { readonly kind: "put-claimed"; readonly spec: string }
  );

/** What cells are like; drawn for each start. */
export interface CellPlan {
  /** Zero when absent. */
  readonly minDurationMs?: number;
  readonly maxDurationMs: number;
  /** Probability of a duration near nothing. */
  readonly short: number;
  readonly failing: number;
  readonly ignoresTerm: number;
}

export interface Scenario {
  readonly seed: number;
  readonly store: StorePlan;
  readonly fleet: FleetPlan;
  readonly nodes: readonly NodePlan[];
  readonly requestFaults: RequestFaults;
  readonly incidents: readonly Incident[];
  readonly people: readonly PersonAct[];
  readonly cells: CellPlan;
  /** Requests go wrong, and nodes have accidents, before this time only. */
  readonly faultsEndMs: number;
  /** Whether every agent that lives and runs can renew its leases in time, whatever else happens. */
  readonly leasesHold: boolean;
}

export const NO_REQUEST_FAULTS: RequestFaults = {
  lost: 0,
  replyLost: 0,
  late: 0,
  twice: 0,
  answeredWithError: 0,
  slow: 0,
  brokenQuickly: 0.5,
};

/** A node of no pool with one slot, a right clock, and everything else at its default; but a name. */
export const PLAIN_NODE: Omit<NodePlan, "name"> = {
  startsAtMs: 0,
  poolId: "",
  concurrency: 1,
  fence: "strict",
  cellTimeoutMs: 0,
  drainTimeoutMs: 0,
  exitWhenIdleMs: 0,
  wallOffsetMs: 0,
  clockRate: 1,
};

/** A store as S3 itself is, but for how long it takes. */
export const PLAIN_STORE: Omit<StorePlan, "latencyMs"> = {
  conditionalDelete: true,
  etags: "content",
  deleteOfAbsent: "deleted",
  pageKeys: 1000,
};

/** Cells that all run for so long, and end well. */
export function cellsOf(durationMs: number): CellPlan {
  return {
    minDurationMs: durationMs,
    maxDurationMs: durationMs,
    short: 0,
    failing: 0,
    ignoresTerm: 0,
  };
}
