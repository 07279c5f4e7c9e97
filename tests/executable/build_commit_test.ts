/** The commit that a build is named after. */
import assert from "node:assert/strict";
import { checkoutCommit } from "../../lib/edge/build_commit.ts";

async function git(directory: string, ...args: string[]): Promise<string> {
  const identity = ["-c", "user.name=test", "-c", "user.email=test@example.org"];
  const command = new Deno.Command("git", { args: ["-C", directory, ...identity, ...args] });
  const { success, stdout, stderr } = await command.output();
  assert.ok(success, new TextDecoder().decode(stderr));
  return new TextDecoder().decode(stdout).trim();
}

Deno.test("a build is named after the commit, and says so when files differ from it", async () => {
  const folder = await Deno.makeTempDir({ prefix: "cellos-fleet-commit-" });
  try {
    assert.equal(await checkoutCommit(folder), "unknown", "outside a checkout");
    await git(folder, "init", "--quiet");
    assert.equal(await checkoutCommit(folder), "unknown", "before the first commit");
    await Deno.writeTextFile(`${folder}/a.ts`, "1");
    await git(folder, "add", "a.ts");
    await git(folder, "commit", "--quiet", "--message=first");
    const commit = (await git(folder, "rev-parse", "HEAD")).slice(0, 7);
    assert.equal(await checkoutCommit(folder), commit);
    await Deno.writeTextFile(`${folder}/a.ts`, "2");
    assert.equal(await checkoutCommit(folder), `${commit}-dirty`, "with a change");
    await git(folder, "checkout", "--quiet", "a.ts");
    await Deno.writeTextFile(`${folder}/b.ts`, "3");
    assert.equal(await checkoutCommit(folder), `${commit}-dirty`, "with a new file");
    await Deno.remove(`${folder}/b.ts`);
    await Deno.mkdir(`${folder}/below`);
    assert.equal(
      await checkoutCommit(`${folder}/below`),
      "unknown",
      "in something else's checkout",
    );
    assert.equal(await checkoutCommit(`${folder}/absent`), "unknown");
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
