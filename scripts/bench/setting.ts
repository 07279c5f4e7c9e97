/** How thoroughly the benchmark measures. */
import type { AgentProgram } from "./agent_process.ts";

export interface Setting {
  readonly program: AgentProgram;
  readonly rounds: number;
  /** Small sizes, to see that everything works; the figures mean little. */
  readonly quick: boolean;
  /** Tells a person what is being measured. */
  progress(text: string): void;
}
