/**
 * Chance seldom finds the worst moment to lose the bucket: just after a lease write whose answer took
 * as long as it could. So some cut-offs wait for it.
 */
import type { RequestFacts } from "./network_store.ts";
import type { Passage, PassageBounds } from "./passage.ts";

export class Ambush {
  readonly #answered: boolean;
  readonly #spring: () => void;
  /** The lease whose write was not answered, and is going to be looked at. */
  #awaited: string | undefined;

  /** @param spring cuts the node off */
  constructor(answered: boolean, spring: () => void) {
    this.#answered = answered;
    this.#spring = spring;
  }

  /** The way of a request that runs into it; undefined for any other. */
  passage({ operation, key }: RequestFacts, bounds: PassageBounds): Passage | undefined {
    const effectsAtMs = [Math.min(1, bounds.latencyMs)];
    const lateMs = bounds.timeoutMs * 0.95;
    const way = { fault: "ambush", effectsAtMs, outlivesHost: true };
    if (operation === "get" && key === this.#awaited) {
      this.#spring();
      return { ...way, reply: { kind: "answer", atMs: lateMs } };
    }
    if (operation !== "replace" || !key.endsWith(".lease")) return undefined;
    if (this.#answered) {
      this.#spring();
      return { ...way, reply: { kind: "answer", atMs: lateMs } };
    }
    this.#awaited = key;
    return { ...way, reply: { kind: "silence" } };
  }
}
