import type { QueueKeys } from "./core/keys.ts";
import type { LeaseTiming } from "./core/lease_timing.ts";
import type { Clock, Entropy, Log, Store, UnknownOutcome } from "./ports.ts";
import type { Vitals } from "./vitals.ts";

/** What carrying out the protocol needs: the ports, and the settings of this node. */
export interface ClaimContext {
  readonly store: Store;
  readonly clock: Clock;
  readonly entropy: Entropy;
  readonly log: Log;
  readonly keys: QueueKeys;
  readonly timing: LeaseTiming;
  readonly node: string;
  readonly poolId: string;
  readonly maxAttempts: number;
  readonly maxSpecBytes: number;
  /** Whether the store honours `If-Match` on deletes, as its probe found out. */
  readonly conditionalDelete: boolean;
  readonly vitals: Vitals;
  /** Aborted when the process must end: claims are then left to their leases. */
  readonly giveUp: AbortSignal;
  /** Told when the store asks for fewer requests. */
  throttled(): void;
}

/** The ports and settings of an agent; what it finds out or decides itself is left out. */
export type AgentContext = Omit<ClaimContext, "throttled" | "conditionalDelete" | "giveUp">;

/** Passes it on when the store asked for fewer requests. */
export function noteUnknown(
  context: ClaimContext,
  result: { outcome: string } | UnknownOutcome,
): void {
  if (result.outcome === "unknown" && (result as UnknownOutcome).throttled) context.throttled();
}
