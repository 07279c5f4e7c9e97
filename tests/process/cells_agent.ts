/**
 * A process that does nothing but run cells, for the tests to kill, watch and measure. Takes one JSON
 * argument, runs each script as the supervisor of one cell, and prints what happens as JSON lines.
 */
import { createCells } from "../../lib/edge/child_process.ts";

export interface CellsTask {
  readonly scripts: readonly string[];
  readonly killGraceMs: number;
}

/** Longer lines are counted but not printed: that would be measured too. */
const MAX_PRINTED_LENGTH = 100;

if (import.meta.main) await run(JSON.parse(Deno.args[0]));

async function run(task: CellsTask): Promise<void> {
  const print = (event: Record<string, unknown>) => console.log(JSON.stringify(event));
  const startRssBytes = Deno.memoryUsage().rss;
  let grownBytes = 0;
  let lines = 0;
  let turns = 0;
  const turnTimer = setInterval(() => turns++, 20);
  await using cells = await createCells({
    supervisor: "sh",
    supervisorArgs: ["-c", 'eval "$(cat "$1")"', "supervisor", "/dev/stdin"],
    nodeId: "node-1",
    output: "log",
    killGraceMs: task.killGraceMs,
    onLine({ specId, text }) {
      if (text.length <= MAX_PRINTED_LENGTH) print({ specId, text });
      if (lines++ % 100 === 0) {
        grownBytes = Math.max(grownBytes, Deno.memoryUsage().rss - startRssBytes);
      }
    },
    onGuardLost: (cause) => print({ guardLost: cause }),
  });
  const exits = task.scripts.map(async (script, index) => {
    const specId = `spec-${index}`;
    const spec = new TextEncoder().encode(script);
    const cell = await cells.start({ specId, attempt: 1, claim: "claim-1", spec });
    const { stdoutTail: _, stderrTail: __, ...exit } = await cell.exited;
    print({ specId, exit });
  });
  await Promise.all(exits);
  clearInterval(turnTimer);
  print({ lines, turns, grownBytes });
}
