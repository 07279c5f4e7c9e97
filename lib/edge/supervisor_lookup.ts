/** Looks for the supervisor as starting it would, by a shell: the agent itself cannot see files. */
import { SupervisorError } from "../core/supervisor_error.ts";

/**
 * POSIX shell, `$1` the program. Ends with 0 when there is an executable file, with 3 when there is
 * nothing of the name, and with 4 when what there is cannot be executed. Not `command -v`, which also
 * finds the shell's own commands.
 */
const SCRIPT = `
look() {
  [ -e "$1" ] || return
  if [ -f "$1" ] && [ -x "$1" ]; then exit 0; fi
  result=4
}
result=3
case $1 in
  */*) look "$1" ;;
  *) set -f; IFS=:; for folder in $PATH; do look "\${folder:-.}/$1"; done ;;
esac
exit "$result"
`;

/**
 * Resolves when `program` (a path, or a name to look for in `PATH`) is an executable file, and rejects
 * with a `SupervisorError` when it is not. Does not start it, so says nothing of what it would do.
 */
export async function lookUpSupervisor(program: string): Promise<void> {
  const where = program.includes("/") ? "" : " in PATH";
  let code: number;
  try {
    code = (await new Deno.Command("sh", {
      args: ["-c", SCRIPT, "sh", program],
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).output()).code;
  } catch (error) {
    const cause = error instanceof Error ? error.message : String(error);
    throw new SupervisorError(`Could not look for the supervisor ${program}: ${cause}`, {
      cause: error,
    });
  }
  if (code === 0) return;
  if (code === 3) {
    throw new SupervisorError(`Could not find the supervisor ${program}${where}`);
  }
  if (code === 4) {
    throw new SupervisorError(`The supervisor ${program} is not an executable file${where}`);
  }
  throw new SupervisorError(
    `Could not look for the supervisor ${program}: sh ended with code ${code}`,
  );
}
