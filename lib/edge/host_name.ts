/**
 * The host's name, which is the node's when none is given.
 *
 * It is asked of `uname -n` (POSIX): the runtime's own call needs a permission the agent does not have.
 */
export async function hostName(): Promise<string> {
  const advice = "set CELLOS_FLEET_NODE_ID";
  let output: Deno.CommandOutput;
  try {
    output = await new Deno.Command("uname", {
      args: ["-n"],
      stdin: "null",
      stdout: "piped",
      stderr: "null",
    }).output();
  } catch (error) {
    const cause = error instanceof Error ? error.message : String(error);
    throw new Error(`Could not run uname -n for the host's name, ${advice}: ${cause}`, {
      cause: error,
    });
  }
  const name = new TextDecoder().decode(output.stdout).trim();
  if (!output.success || name === "") {
    throw new Error(
      `Could not get the host's name, ${advice}: uname -n ended with code ${output.code} ` +
        `and printed ${JSON.stringify(name)}`,
    );
  }
  return name;
}
