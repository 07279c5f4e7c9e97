/**
 * Exponential backoff with full jitter: the wait is uniform between nothing and a ceiling that
 * doubles with every failure in a row. Spreading over the whole interval is what keeps a fleet
 * from coming back in step (Marc Brooker, "Exponential Backoff And Jitter", 2015).
 */

/**
 * The wait before the next try, in milliseconds.
 *
 * @param failures failures in a row so far, at least 1
 * @param baseMs ceiling after the first failure
 * @param maxMs ceiling that is never passed
 * @param random uniform in [0, 1)
 */
export function backoffMs(
  failures: number,
  baseMs: number,
  maxMs: number,
  random: number,
): number {
  // 2^40 is past any ceiling; the bound only keeps the power finite.
  const ceiling = Math.min(maxMs, baseMs * 2 ** Math.min(failures - 1, 40));
  return random * ceiling;
}

/** A wait of `ms`, give or take a tenth, so that nodes started together drift apart. */
export function jitteredMs(ms: number, random: number): number {
  return ms * (0.9 + 0.2 * random);
}
