/** How long programs take from start to end, and how much memory, side by side on one machine. */

export interface Figures {
  readonly name: string;
  /** From start to end, median. */
  readonly elapsedMs: number;
  /** The largest resident set, median. */
  readonly peakMib: number;
}

const TIMED_ROUNDS = 15;
/** Fewer: a high-water mark hardly differs from one run to the next. */
const WATCHED_ROUNDS = 3;

/**
 * Measures commands that take no input, in turns, so that a busy machine is busy for all of them.
 * Rejects when one fails.
 */
export async function measure(commands: readonly (readonly string[])[]): Promise<Figures[]> {
  const rows = commands.map((command) => ({
    command,
    elapsedMs: [] as number[],
    peakMib: [] as number[],
  }));
  for (let round = 0; round < TIMED_ROUNDS; round++) {
    for (const { command, elapsedMs } of rows) elapsedMs.push(await elapsed(command));
  }
  for (let round = 0; round < WATCHED_ROUNDS; round++) {
    for (const { command, peakMib } of rows) peakMib.push(await peakMemory(command));
  }
  return rows.map(({ command, elapsedMs, peakMib }) => ({
    name: command.map((word, at) => at === 0 ? word.replace(/.*\//, "") : word).join(" "),
    elapsedMs: median(elapsedMs),
    peakMib: median(peakMib),
  }));
}

async function elapsed(command: readonly string[]): Promise<number> {
  const start = performance.now();
  const { success } = await spawn(command).status;
  if (!success) throw new Error(`${command.join(" ")} failed`);
  return performance.now() - start;
}

/**
 * The kernel's own high-water mark, read until the process gives its memory back. Without a pause:
 * the last reading is microseconds old. (What `wait4` tells would include this process's memory,
 * which a child has until it executes its program.)
 */
async function peakMemory(command: readonly string[]): Promise<number> {
  const child = spawn(command);
  let peakKib = 0;
  for (;;) {
    const found = /^VmHWM:\s+(\d+) kB$/m.exec(statusText(child.pid));
    if (found === null) break;
    peakKib = Number(found[1]);
  }
  await child.status;
  return peakKib / 1024;
}

function statusText(pid: number): string {
  try {
    return Deno.readTextFileSync(`/proc/${pid}/status`);
  } catch {
    return "";
  }
}

function spawn([program, ...args]: readonly string[]): Deno.ChildProcess {
  const quiet = { stdin: "null", stdout: "null", stderr: "null" } as const;
  return new Deno.Command(program, { args, ...quiet }).spawn();
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];
}

/** A table of the figures, and of the first row's ratio to each of the others. */
export function figuresTable(figures: readonly Figures[]): string {
  const [own] = figures;
  const rows = figures.map(({ name, elapsedMs, peakMib }) => [
    name,
    `${elapsedMs.toFixed(0)} ms`,
    `× ${(own.elapsedMs / elapsedMs).toFixed(2)}`,
    `${peakMib.toFixed(0)} MiB`,
    `× ${(own.peakMib / peakMib).toFixed(2)}`,
  ]);
  const header = ["", "start to end", "ratio to it", "peak memory", "ratio to it"];
  const table = [header, ...rows];
  const widths = header.map((_, column) => Math.max(...table.map((row) => row[column].length)));
  return table.map((row) =>
    row.map((cell, column) => column === 0 ? cell.padEnd(widths[0]) : cell.padStart(widths[column]))
      .join("  ")
  ).join("\n");
}
