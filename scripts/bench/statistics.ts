/** The little statistics that the benchmark needs. */

/** A set of measurements in short: what most were like, and how far they lay apart. */
export interface Summary {
  readonly median: number;
  readonly min: number;
  readonly max: number;
  readonly count: number;
}

/** The value below which the share `q` of the values lies, between two of them where it falls so. */
export function quantile(values: readonly number[], q: number): number {
  if (values.length === 0) throw new RangeError("Cannot take a quantile of no values");
  if (!(q >= 0 && q <= 1)) throw new RangeError(`Cannot take the quantile ${q}: not from 0 to 1`);
  const sorted = [...values].sort((a, b) => a - b);
  const position = q * (sorted.length - 1);
  const below = Math.floor(position);
  const above = Math.min(below + 1, sorted.length - 1);
  return sorted[below] + (sorted[above] - sorted[below]) * (position - below);
}

export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

export function summary(values: readonly number[]): Summary {
  return {
    median: median(values),
    min: quantile(values, 0),
    max: quantile(values, 1),
    count: values.length,
  };
}

/**
 * The ratios of measurements that were taken in pairs, one pair in each round, so that what slows a
 * whole round down does not show in them. Throws unless there are as many of the one as of the other.
 */
export function pairedRatios(values: readonly number[], bases: readonly number[]): number[] {
  if (values.length !== bases.length) {
    throw new RangeError(`Cannot pair ${values.length} values with ${bases.length}`);
  }
  return values.map((value, round) => value / bases[round]);
}
