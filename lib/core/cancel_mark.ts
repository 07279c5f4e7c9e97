/**
 * The mark beside a lease that asks its holder to cancel the claim: `claimed/<id>.cancel`. It is bound
 * to one claim by the nonce that the claim began with, which takeovers keep. So a mark that comes too
 * late, or is left behind, never cancels a later claim of the same id.
 */
import type { Lease } from "./lease.ts";

export const CANCEL_SCHEMA = "dev.cellos.fleet.cancel.v1";

export interface CancelMark {
  readonly schema: typeof CANCEL_SCHEMA;
  readonly specId: string;
  /** `origin` of the lease that is to be cancelled. */
  readonly origin: string;
  /** Who asked, and when (ISO 8601), for people. */
  readonly by: string;
  readonly at: string;
}

/** Whether a mark asks for this very claim to be cancelled. */
export function cancels(mark: CancelMark | undefined, lease: Lease | undefined): boolean {
  return mark !== undefined && lease !== undefined && mark.origin === lease.origin;
}

export function encodeCancelMark(mark: CancelMark): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(mark));
}

/** Reads a mark; undefined when it is not one of this version. */
export function decodeCancelMark(bytes: Uint8Array): CancelMark | undefined {
  try {
    const value: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
    return isCancelMark(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function isCancelMark(value: unknown): value is CancelMark {
  if (typeof value !== "object" || value === null) return false;
  const mark = value as Record<string, unknown>;
  return mark.schema === CANCEL_SCHEMA &&
    ["specId", "origin", "by", "at"].every((name) => typeof mark[name] === "string");
}
