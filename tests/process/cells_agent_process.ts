/** Starts `cells_agent.ts` with the agent's three permissions and no others, and reads what it prints. */
import { fileURLToPath } from "node:url";
import type { CellsTask } from "./cells_agent.ts";
import { until } from "./process_table.ts";

/** One event that it printed: the fields that are there depend on what happened. */
export interface AgentEvent {
  readonly specId?: string;
  readonly text?: string;
  readonly exit?: Record<string, unknown>;
  readonly guardLost?: string;
  readonly lines?: number;
  readonly turns?: number;
  readonly grownBytes?: number;
}

export class CellsAgentProcess implements AsyncDisposable {
  readonly child: Deno.ChildProcess;
  readonly events: AgentEvent[] = [];
  readonly #read: Promise<void>;

  constructor(task: CellsTask) {
    this.child = new Deno.Command(Deno.execPath(), {
      args: [
        "run",
        "--no-prompt",
        "--cached-only",
        "--allow-net",
        "--allow-env",
        "--allow-run",
        fileURLToPath(new URL("cells_agent.ts", import.meta.url)),
        JSON.stringify(task),
      ],
      stdin: "null",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    this.#read = this.#readEvents();
  }

  /** The processes that the cells' scripts have named with lines `pid <number>`, in that order. */
  get pids(): number[] {
    return this.events.flatMap(({ text }) => {
      const found = /^pid (\d+)$/.exec(text ?? "");
      return found === null ? [] : [Number(found[1])];
    });
  }

  async untilPids(count: number): Promise<number[]> {
    await until(`the cells have started ${count} processes`, () => this.pids.length >= count);
    return this.pids;
  }

  /** Waits for its own end. */
  async ended(): Promise<Deno.CommandStatus> {
    await this.#read;
    return await this.child.status;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.child.kill("SIGKILL");
    } catch {
      // It has ended already.
    }
    await this.ended();
  }

  async #readEvents(): Promise<void> {
    let rest = "";
    for await (const text of this.child.stdout.pipeThrough(new TextDecoderStream())) {
      const rows = (rest + text).split("\n");
      rest = rows.pop() ?? "";
      this.events.push(...rows.map((row) => JSON.parse(row)));
    }
  }
}
