/** Help texts in columns of at most a hundred characters a line. */

const WIDTH = 100;
const INDENT = "  ";
const GAP = "  ";
/** A first column wider than this stands on a line of its own. */
const WIDEST_FIRST = 45;

/** Rows in aligned columns; the last column wraps. */
export function columns(rows: readonly (readonly string[])[]): string[] {
  if (rows.length === 0) return [];
  const inner = rows[0].length - 1;
  const widths = Array.from({ length: inner }, (_, column) => {
    const lengths = rows.map((row) => row[column].length);
    return Math.max(...lengths.filter((length) => column > 0 || length <= WIDEST_FIRST), 0);
  });
  const start = INDENT.length + widths.reduce((sum, width) => sum + width + GAP.length, 0);
  return rows.flatMap((row) => {
    const head = INDENT + widths.map((width, column) => row[column].padEnd(width) + GAP).join("");
    const [first, ...rest] = wrap(row[inner], WIDTH - start);
    const continued = rest.map((line) => " ".repeat(start) + line);
    if (head.length <= start) return [head + first, ...continued];
    return [head.trimEnd(), " ".repeat(start) + first, ...continued];
  });
}

/** A paragraph as lines. */
export function paragraph(text: string): string[] {
  return wrap(text, WIDTH);
}

function wrap(text: string, width: number): string[] {
  const lines = [""];
  for (const word of text.split(" ")) {
    const line = lines[lines.length - 1];
    if (line === "") lines[lines.length - 1] = word;
    else if (line.length + 1 + word.length <= width) lines[lines.length - 1] = `${line} ${word}`;
    else lines.push(word);
  }
  return lines;
}
