/** Supervisors that do what the story says. */
import { SupervisorError } from "../../lib/core/supervisor_error.ts";
import type { CellExit, CellRequest, Cells, CellSignal, RunningCell } from "../../lib/ports.ts";
import type { SimulatedProcess } from "../sim/process.ts";

/** What one supervisor does. */
export interface CellScript {
  /** There is no supervisor to start. */
  readonly missing?: boolean;
  readonly exitCode?: number;
  readonly durationMs?: number;
  /** From SIGTERM to its end; infinite: it ignores SIGTERM. */
  readonly termMs?: number;
  readonly stdout?: string;
}

export interface CellStart extends CellRequest {
  readonly node: string;
  readonly startedMs: number;
  endedMs: number | undefined;
  readonly signals: { readonly name: CellSignal; readonly atMs: number }[];
}

export interface Stage {
  readonly starts: CellStart[];
  readonly cell: (start: CellStart) => CellScript;
}

export class ScriptedCells implements Cells {
  readonly #process: SimulatedProcess;
  readonly #node: string;
  readonly #stage: Stage;
  readonly #running = new Set<(exit: Partial<CellExit>) => void>();

  constructor(process: SimulatedProcess, node: string, stage: Stage) {
    this.#process = process;
    this.#node = node;
    this.#stage = stage;
  }

  async check(): Promise<void> {
    await this.#after(1);
    const probe = { specId: "", attempt: 0, claim: "", spec: new Uint8Array() };
    if (this.#stage.cell(this.#entry(probe)).missing) throw missing();
  }

  async start(request: CellRequest): Promise<RunningCell> {
    await this.#after(1);
    const entry = this.#entry(request);
    const script = this.#stage.cell(entry);
    if (script.missing) throw missing();
    this.#stage.starts.push(entry);
    const exited = Promise.withResolvers<CellExit>();
    const end = (exit: Partial<CellExit>) => {
      if (entry.endedMs !== undefined) return;
      this.#running.delete(end);
      entry.endedMs = this.#process.time.nowMs;
      const tail = new TextEncoder().encode(script.stdout ?? "");
      const streams = { stdoutBytes: tail.length, stderrBytes: 0, stdoutTail: tail };
      this.#process.deliver(() =>
        exited.resolve({ ...streams, stderrTail: new Uint8Array(), ...exit })
      );
    };
    this.#running.add(end);
    const { time } = this.#process;
    const { exitCode = 0, durationMs = 100, termMs = 10 } = script;
    const ends = time.after(durationMs, () => end({ exitCode }));
    return {
      exited: exited.promise,
      signal: (name) => {
        entry.signals.push({ name, atMs: time.nowMs });
        const afterMs = name === "SIGKILL" ? 1 : termMs;
        if (afterMs === Infinity) return;
        time.cancel(ends);
        time.after(afterMs, () => end({ signal: name }));
      },
    };
  }

  /** What the guard does when the agent is gone. */
  killAll(): void {
    for (const end of [...this.#running]) end({ signal: "SIGKILL" });
  }

  #entry(request: CellRequest): CellStart {
    const startedMs = this.#process.time.nowMs;
    return { ...request, node: this.#node, startedMs, endedMs: undefined, signals: [] };
  }

  #after(ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.#process.time.after(ms, () => this.#process.deliver(() => resolve()));
    });
  }
}

function missing(): SupervisorError {
  return new SupervisorError("Cannot start cellos-supervisor: not found");
}
