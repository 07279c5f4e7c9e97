/**
 * What a caller can do about a failed store request decides its kind:
 *
 * - `permanent`: nothing heals by waiting (no such bucket, access denied, bad credentials). Ends
 *   the program when it is met at start.
 * - `throttled`: the store asked for less (503, 429). The whole node slows down.
 * - `transient`: everything else. Try again, with backoff.
 */
export type StoreErrorKind = "permanent" | "throttled" | "transient";

/** A store request that failed. The message names the operation, the key and what the store said. */
export class StoreError extends Error {
  override name = "StoreError";
  readonly kind: StoreErrorKind;

  constructor(kind: StoreErrorKind, message: string, options?: ErrorOptions) {
    super(message, options);
    this.kind = kind;
  }
}
