/** What the benchmark has found, and how it is shown. */
import { type Summary, summary } from "./statistics.ts";

/** One line of the table. */
export interface Figure {
  /** Of the list in `scripts/bench.ts`. */
  readonly row: number;
  readonly name: string;
  readonly unit: string;
  readonly value: Summary;
  /** What the value is measured against, where there is something. */
  readonly against?: { readonly name: string; readonly value: Summary; readonly ratio: Summary };
  readonly aim?: { readonly text: string; readonly met: boolean };
}

/** A figure that was measured once, or is a plain count. */
export function single(value: number): Summary {
  return summary([value]);
}

const HEADINGS = ["row", "what", "median", "range", "against", "its median", "ratio", "aim", "met"];

/** The figures as lines of cells, headings first. */
function cells(figures: readonly Figure[]): string[][] {
  const lines = figures.map(({ row, name, unit, value, against, aim }) => [
    String(row),
    name,
    `${short(value.median)} ${unit}`.trim(),
    rangeOf(value),
    against?.name ?? "",
    against === undefined ? "" : `${short(against.value.median)} ${unit}`.trim(),
    against === undefined ? "" : short(against.ratio.median),
    aim?.text ?? "",
    aim === undefined ? "" : aim.met ? "yes" : "NO",
  ]);
  return [HEADINGS, ...lines];
}

/** A table for a terminal. */
export function textTable(figures: readonly Figure[]): string {
  const lines = cells(figures);
  const widths = HEADINGS.map((_, column) => Math.max(...lines.map((line) => line[column].length)));
  return lines.map((line) =>
    line.map((cell, column) => cell.padEnd(widths[column])).join("  ").trimEnd() + "\n"
  ).join("");
}

/** The same table in Markdown. */
export function markdownTable(figures: readonly Figure[]): string {
  const [headings, ...lines] = cells(figures);
  return markdown(headings, lines);
}

/** Any table in Markdown. */
export function markdown(
  headings: readonly string[],
  lines: readonly (readonly string[])[],
): string {
  return [headings, headings.map(() => "---"), ...lines]
    .map((texts) => `| ${texts.join(" | ")} |\n`).join("");
}

/** Three digits are as much as these measurements are good for. */
export function short(value: number): string {
  if (!Number.isFinite(value)) return String(value);
  const rounded = Number(value.toPrecision(3));
  if (Math.abs(value) >= 1_000) return Math.round(value).toLocaleString("en-US");
  return String(rounded);
}

function rangeOf({ min, max, count }: Summary): string {
  return count === 1 || min === max ? "" : `${short(min)} to ${short(max)}`;
}
