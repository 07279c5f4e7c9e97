/** The process's standard streams as the `Terminal` port. */
import { OutputClosed } from "../core/output_closed.ts";
import type { Terminal } from "../ports.ts";

/**
 * @param environment where `NO_COLOR` (https://no-color.org: set to anything but the empty text) and
 *   a `TERM` of `dumb` turn colours off
 */
export function processTerminal(environment: Readonly<Record<string, string>>): Terminal {
  const outputIsTerminal = Deno.stdout.isTerminal();
  return {
    outputIsTerminal,
    notesAreTerminal: Deno.stderr.isTerminal() && environment["TERM"] !== "dumb",
    inputIsTerminal: Deno.stdin.isTerminal(),
    color: outputIsTerminal && !environment["NO_COLOR"] && environment["TERM"] !== "dumb",
    size() {
      if (!outputIsTerminal) return undefined;
      try {
        const { columns, rows } = Deno.consoleSize();
        // Some terminals, such as those of build servers, say that they have no width.
        return columns > 0 && rows > 0 ? { columns, rows } : undefined;
      } catch {
        return undefined;
      }
    },
    print: (text) => writeAll(Deno.stdout, text),
    note: (text) => writeAll(Deno.stderr, text),
    input: () => Deno.stdin.readable,
  };
}

async function writeAll(output: typeof Deno.stdout, text: string): Promise<void> {
  let rest = new TextEncoder().encode(text);
  try {
    while (rest.length > 0) rest = rest.subarray(await output.write(rest));
  } catch (error) {
    if (error instanceof Deno.errors.BrokenPipe) throw new OutputClosed("Nobody reads the output");
    throw error;
  }
}
