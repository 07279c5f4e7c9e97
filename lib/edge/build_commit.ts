/** The commit of an executable. `scripts/compile.ts` fills it in; empty when run from source. */
const BAKED_COMMIT: string = "";

/**
 * The short commit that this program was built from: of the executable, or of the checkout that it
 * runs from, with `-dirty` when files differ from the commit; `unknown` outside a checkout.
 */
export async function buildCommit(checkout: string | undefined): Promise<string> {
  if (BAKED_COMMIT !== "") return BAKED_COMMIT;
  return checkout === undefined ? "unknown" : await checkoutCommit(checkout);
}

/**
 * The short commit checked out in this directory, with `-dirty` when files are changed, removed or
 * new; `unknown` when it is not the top of a checkout, or there is no git to ask. Never rejects.
 */
export async function checkoutCommit(directory: string): Promise<string> {
  // An empty prefix is the top's: the directory may lie in the checkout of something else.
  const head = await git(directory, ["rev-parse", "--show-prefix", "--short=7", "HEAD"]);
  const commit = head === undefined ? undefined : /^\n([0-9a-f]{7,64})\n$/.exec(head)?.[1];
  if (commit === undefined) return "unknown";
  const changes = await git(directory, ["status", "--porcelain"]);
  return changes === "" ? commit : `${commit}-dirty`;
}

/** What git prints; undefined when it fails. */
async function git(directory: string, args: readonly string[]): Promise<string | undefined> {
  try {
    const command = new Deno.Command("git", {
      args: ["-C", directory, "--no-optional-locks", ...args],
      stdin: "null",
      stdout: "piped",
      stderr: "null",
    });
    const { success, stdout } = await command.output();
    return success ? new TextDecoder().decode(stdout) : undefined;
  } catch {
    return undefined;
  }
}
