/** The plots of the performance page, as SVG that needs neither style sheet nor script. */
import { short } from "./figures.ts";
import type { ContentionResult } from "./rows/contention.ts";
import type { SpecCost } from "./rows/requests.ts";

const WIDTH = 640;
const LEFT = 150;
const RIGHT = 90;
const BAR = 22;
const STEP = 32;
const TOP = 46;
const COLORS = ["#3b6ea5", "#7aa6d1"];
const INK = "#57606a";

/** One bar of a plot. */
export interface Bar {
  readonly label: string;
  readonly value: number;
  readonly text: string;
  /** Which colour it has: bars of one series have one. */
  readonly series: number;
}

/** How many specs a second several agents carry out from one queue. */
export function ratePlot(results: readonly ContentionResult[]): string {
  return barPlot(
    "Specs a second from one queue of 1,000, each answer after 5 ms",
    results.map(({ agents, specs, seconds }) => ({
      label: agents === 1 ? "1 agent" : `${agents} agents`,
      value: specs / seconds,
      text: `${short(specs / seconds)} /s`,
      series: 0,
    })),
  );
}

/** Requests for one spec by purpose, writes and deletes told apart from reads by colour. */
export function requestsPlot(costs: readonly SpecCost[]): string {
  const [plain, pooled] = costs.map(({ perSpec }) =>
    new Map(perSpec.map(({ purpose, requests }) => [purpose, requests]))
  );
  const purposes = [...new Set([...plain.keys(), ...pooled.keys()])];
  return barPlot(
    "S3 requests for one spec on a node with a pool (light: only with a pool)",
    purposes.flatMap((purpose) => {
      const without = plain.get(purpose) ?? 0;
      const more = (pooled.get(purpose) ?? 0) - without;
      return [
        ...(without > 0
          ? [{ label: purpose, value: without, text: short(without), series: 0 }]
          : []),
        ...(more > 0
          ? [{ label: `${purpose} (pool)`, value: more, text: short(more), series: 1 }]
          : []),
      ];
    }),
  );
}

/** Bars from left to right, one below the other, the longest as wide as the plot. */
export function barPlot(title: string, bars: readonly Bar[]): string {
  const height = TOP + bars.length * STEP + 10;
  const longest = Math.max(...bars.map(({ value }) => value), Number.MIN_VALUE);
  const lines = bars.map(({ label, value, text, series }, index) => {
    const y = TOP + index * STEP;
    const width = (value / longest * (WIDTH - LEFT - RIGHT)).toFixed(1);
    const middle = y + BAR / 2 + 4;
    return [
      `<text x="${LEFT - 10}" y="${middle}" text-anchor="end">${escaped(label)}</text>`,
      `<rect x="${LEFT}" y="${y}" width="${width}" height="${BAR}" fill="${COLORS[series]}"/>`,
      `<text x="${LEFT + Number(width) + 8}" y="${middle}">${escaped(text)}</text>`,
    ].join("\n");
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" ` +
    `font-family="sans-serif" font-size="13" fill="${INK}">`,
    `<text x="12" y="24" font-size="15">${escaped(title)}</text>`,
    ...lines,
    "</svg>\n",
  ].join("\n");
}

function escaped(text: string): string {
  return text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
}
