/**
 * The little that the agent reads of a spec: `spec.placement.poolId`. Everything else in it is the
 * supervisor's business, and so is whether it is valid.
 */

/** What a spec says of where it may run. */
export type Placement =
  | { readonly kind: "anywhere" }
  | { readonly kind: "pool"; readonly poolId: string }
  /** Not readable as placement: it counts as unconstrained, with a warning. */
  | { readonly kind: "unreadable"; readonly cause: string };

/**
 * Reads the placement of a spec. Never throws: what cannot be read is `unreadable`, with a cause
 * for the log. A missing, null or empty `poolId` constrains nothing.
 */
export function readPlacement(bytes: Uint8Array): Placement {
  let document: unknown;
  try {
    document = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (error) {
    const cause = error instanceof SyntaxError ? "it is not JSON" : "it is not UTF-8";
    return { kind: "unreadable", cause };
  }
  if (!isRecord(document)) return { kind: "unreadable", cause: "it is not a JSON object" };
  const spec = document.spec;
  if (spec === undefined || spec === null) return { kind: "anywhere" };
  if (!isRecord(spec)) return { kind: "unreadable", cause: "spec is not an object" };
  const placement = spec.placement;
  if (placement === undefined || placement === null) return { kind: "anywhere" };
  if (!isRecord(placement)) {
    return { kind: "unreadable", cause: "spec.placement is not an object" };
  }
  const poolId = placement.poolId;
  if (poolId === undefined || poolId === null || poolId === "") return { kind: "anywhere" };
  if (typeof poolId !== "string") {
    return { kind: "unreadable", cause: "spec.placement.poolId is not a string" };
  }
  return { kind: "pool", poolId };
}

/**
 * The placement gate: whether a node of pool `nodePoolId` (empty: of no pool, which takes
 * everything) may run a spec placed so.
 */
export function mayRun(placement: Placement, nodePoolId: string): boolean {
  return nodePoolId === "" || placement.kind !== "pool" || placement.poolId === nodePoolId;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
