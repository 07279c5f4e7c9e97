/** Text in aligned columns, fitted to a terminal where there is one. */
import { escapeControls } from "../core/escape_controls.ts";

export type Style = "plain" | "heading" | "good" | "warning" | "bad" | "faint";

/** A piece of text with what it means, for those who see colours. */
export interface Styled {
  readonly text: string;
  readonly style: Style;
}

export type Cell = string | Styled;

export interface Column {
  readonly heading: string;
  readonly align?: "right";
}

export interface Layout {
  /** Undefined: as wide as needed. */
  readonly columns: number | undefined;
  readonly color: boolean;
}

/** Select Graphic Rendition codes of ECMA-48. */
const CODES: Readonly<Record<Style, string>> = {
  plain: "",
  heading: "\x1b[1m",
  good: "\x1b[32m",
  warning: "\x1b[33m",
  bad: "\x1b[31m",
  faint: "\x1b[2m",
};
const RESET = "\x1b[0m";

/** The text in its colour, if any; control characters in it are made visible. */
export function paint(cell: Cell, color: boolean): string {
  const { text, style } = typeof cell === "string" ? { text: cell, style: "plain" as const } : cell;
  const clean = escapeControls(text);
  return color && CODES[style] !== "" ? CODES[style] + clean + RESET : clean;
}

const GAP = "  ";
const INDENT = "  ";
const MIN_WIDTH = 6;

/** The lines of a table, headings first, indented. Cells that do not fit are cut, ending in `…`. */
export function tableLines(
  columns: readonly Column[],
  rows: readonly (readonly Cell[])[],
  layout: Layout,
): string[] {
  const headings = columns.map(({ heading }) => ({ text: heading, style: "faint" as const }));
  const all: (readonly Cell[])[] = [headings, ...rows];
  const widths = fitted(
    columns.map((_, column) => Math.max(...all.map((row) => width(row[column])))),
    layout.columns,
  );
  return all.map((row) => {
    const cells = row.map((cell, column) => {
      const text = cut(textOf(cell), widths[column]);
      const space = " ".repeat(Math.max(0, widths[column] - [...text].length));
      const painted = paint(typeof cell === "string" ? text : { ...cell, text }, layout.color);
      return columns[column].align === "right" ? space + painted : painted + space;
    });
    return (INDENT + cells.join(GAP)).trimEnd();
  });
}

/** Takes from the widest column until all fit. */
function fitted(widths: number[], available: number | undefined): number[] {
  if (available === undefined) return widths;
  const room = available - INDENT.length - GAP.length * (widths.length - 1);
  let excess = widths.reduce((sum, each) => sum + each, 0) - room;
  while (excess > 0) {
    const widest = widths.indexOf(Math.max(...widths));
    if (widths[widest] <= MIN_WIDTH) break;
    widths[widest]--;
    excess--;
  }
  return widths;
}

function cut(text: string, most: number): string {
  const characters = [...text];
  return characters.length <= most ? text : characters.slice(0, most - 1).join("") + "…";
}

function width(cell: Cell): number {
  return [...textOf(cell)].length;
}

function textOf(cell: Cell): string {
  return escapeControls(typeof cell === "string" ? cell : cell.text);
}
