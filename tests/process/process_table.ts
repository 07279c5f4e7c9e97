/** What the host says of its processes, and waiting for it to say so. */

export interface ProcessEntry {
  readonly pid: number;
  readonly parent: number;
  readonly group: number;
  readonly session: number;
  readonly command: string;
}

/** All processes that have not ended: those that only wait for their parent's attention are left out. */
export async function processTable(): Promise<ProcessEntry[]> {
  const { stdout } = await new Deno.Command("ps", {
    args: ["-A", "-o", "pid=,ppid=,pgid=,sid=,stat=,args="],
    stderr: "inherit",
  }).output();
  return new TextDecoder().decode(stdout).split("\n").flatMap((row) => {
    const fields = /^\s*(\d+)\s+(\d+)\s+(\d+)\s+(\d+)\s+([^Z]\S*)\s+(.*)$/.exec(row);
    if (fields === null) return [];
    const [pid, parent, group, session] = fields.slice(1, 5).map(Number);
    return [{ pid, parent, group, session, command: fields[6] }];
  });
}

export async function isRunning(pid: number): Promise<boolean> {
  return (await processTable()).some((entry) => entry.pid === pid);
}

/** The guards that the process `parent` has started. */
export async function guardsOf(parent: number): Promise<ProcessEntry[]> {
  const entries = await processTable();
  return entries.filter((entry) =>
    entry.parent === parent && entry.command.includes("cellos-fleet-guard")
  );
}

/** Waits until the condition holds; rejects with `what` when it does not for a long time. */
export async function until(
  what: string,
  condition: () => boolean | Promise<boolean>,
): Promise<void> {
  const deadlineMs = performance.now() + 30_000;
  while (!await condition()) {
    if (performance.now() > deadlineMs) throw new Error(`Waited in vain until ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
