/** Durations as people write and read them. */

const UNITS: readonly (readonly [suffix: string, ms: number])[] = [
  ["d", 86_400_000],
  ["h", 3_600_000],
  ["m", 60_000],
  ["s", 1_000],
];

/** `42s`, `3m 5s`, `2h 10m`, `4d 1h`: two units at most. Less than nothing reads as `0s`. */
export function formatDuration(ms: number): string {
  const rounded = Math.max(0, Math.floor(ms / 1_000) * 1_000);
  const index = UNITS.findIndex(([, unitMs]) => rounded >= unitMs);
  if (index < 0) return "0s";
  const [suffix, unitMs] = UNITS[index];
  const whole = `${Math.floor(rounded / unitMs)}${suffix}`;
  if (index + 1 === UNITS.length) return whole;
  const [smaller, smallerMs] = UNITS[index + 1];
  const rest = Math.floor((rounded % unitMs) / smallerMs);
  return rest === 0 ? whole : `${whole} ${rest}${smaller}`;
}

/** Milliseconds of `90s`, `15m`, `1h30m` or `2d`; undefined for anything else. */
export function parseDuration(text: string): number | undefined {
  const match = /^(?:(\d{1,5})d)?(?:(\d{1,6})h)?(?:(\d{1,8})m)?(?:(\d{1,9})s)?$/.exec(text);
  if (match === null || text === "") return undefined;
  return UNITS.reduce((sum, [, unitMs], index) => sum + Number(match[index + 1] ?? 0) * unitMs, 0);
}
