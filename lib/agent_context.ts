import type { ClaimContext } from "./held_lease.ts";

/** The ports and settings of an agent; what it finds out or decides itself is left out. */
export type AgentContext = Omit<ClaimContext, "throttled" | "conditionalDelete" | "giveUp">;
