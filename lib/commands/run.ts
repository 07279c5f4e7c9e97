import { OutputClosed } from "../core/output_closed.ts";
import { type CommandPorts, type CommandRun, UsageError } from "./command.ts";
import { EXIT } from "./exit_code.ts";
import { complain } from "./queue.ts";

/**
 * Runs a command to its exit code. What the command line could not know to be wrong is said in the
 * same two lines as other usage errors.
 *
 * @param hint the second of these lines
 */
export async function runCommand(
  run: CommandRun,
  ports: CommandPorts,
  hint: string,
): Promise<number> {
  try {
    return await run(ports);
  } catch (error) {
    if (error instanceof OutputClosed) return EXIT.outputClosed;
    if (error instanceof UsageError) {
      await complain(ports.terminal, error.message);
      await complain(ports.terminal, hint);
      return EXIT.usage;
    }
    throw error;
  }
}
