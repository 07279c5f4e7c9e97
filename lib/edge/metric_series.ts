import { Counter, type Registry } from "prom-client";

/** What every metric's name starts with. */
export const METRIC_PREFIX = "cellos_fleet_";

type MakeCounter = (
  name: string,
  help: string,
  labels?: readonly string[],
  values?: readonly (string | readonly string[])[],
) => Counter<string>;

/**
 * Makes counters whose series of known label values (one, or one for each label) stand at zero from
 * the start: a series that only appears with its first increase hides that increase from `rate()`.
 */
export function counterFromZero(registry: Registry): MakeCounter {
  return (name, help, labels = [], values = []) => {
    const counter = new Counter<string>({
      name: METRIC_PREFIX + name,
      help,
      labelNames: labels,
      registers: [registry],
    });
    for (const value of values) {
      const each = typeof value === "string" ? [value] : value;
      counter.inc(Object.fromEntries(labels.map((label, index) => [label, each[index]])), 0);
    }
    return counter;
  };
}
