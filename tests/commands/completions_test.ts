import assert from "node:assert/strict";
import { Operator } from "./operator.ts";

const NAMES = ["agent", "status", "submit", "requeue", "cancel", "doctor", "completions"];

async function scriptFor(shell: string): Promise<string> {
  const { code, out } = await new Operator().run(["completions", shell]);
  assert.equal(code, 0);
  return out;
}

/** Runs a shell with a script on its standard input; undefined where there is no such shell. */
async function runShell(
  shell: string,
  args: string[],
  script: string,
): Promise<string | undefined> {
  let child: Deno.ChildProcess;
  try {
    child = new Deno.Command(shell, { args, stdin: "piped", stdout: "piped", stderr: "piped" })
      .spawn();
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(script));
  await writer.close();
  const { code, stdout, stderr } = await child.output();
  assert.equal(code, 0, new TextDecoder().decode(stderr));
  return new TextDecoder().decode(stdout);
}

async function isInstalled(shell: string): Promise<boolean> {
  return await runShell(shell, ["-c", "true"], "") !== undefined;
}

const shells = await Promise.all(
  ["bash", "zsh", "fish"].map(async (shell) => ({ shell, installed: await isInstalled(shell) })),
);

for (const { shell, installed } of shells) {
  Deno.test({
    name: `${shell} takes its completion script`,
    ignore: !installed,
    fn: async () => {
      await runShell(shell, ["-n"], await scriptFor(shell));
    },
  });

  Deno.test(`the script for ${shell} has every command, with its options`, async () => {
    const script = await scriptFor(shell);
    for (const name of NAMES) assert.ok(script.includes(name), name);
    for (const option of ["max-age", "leaseless", "all-failed", "wait", "once"]) {
      assert.ok(script.includes(option), option);
    }
  });
}

Deno.test({
  name: "bash completes commands, options and shells",
  ignore: !shells[0].installed,
  fn: async () => {
    const script = await scriptFor("bash");
    const complete = async (line: string) => {
      const words = line.split(" ");
      const completed = await runShell(
        "bash",
        [],
        `${script}
COMP_WORDS=(${words.map((word) => `'${word}'`).join(" ")}) COMP_CWORD=${words.length - 1}
_cellos_fleet
printf '%s\\n' "\${COMPREPLY[@]}"
`,
      );
      return completed?.trim().split("\n");
    };
    assert.deepEqual(await complete("cellos-fleet s"), ["status", "submit"]);
    assert.deepEqual(await complete("cellos-fleet --o"), ["--once"]);
    assert.deepEqual(await complete("cellos-fleet requeue --a"), ["--all-failed"]);
    assert.deepEqual(await complete("cellos-fleet status --"), [
      "--json",
      "--watch",
      "--exact",
      "--check",
      "--max-age",
      "--help",
      "--version",
    ]);
    assert.deepEqual(await complete("cellos-fleet completions z"), ["zsh"]);
    assert.deepEqual(await complete("cellos-fleet nonsense x"), [""]);
  },
});

Deno.test("a shell that is not known is a usage error, and so is none", async () => {
  const operator = new Operator();
  for (const args of [[], ["ksh"], ["bash", "zsh"], ["constructor"]]) {
    const { code, err } = await operator.run(["completions", ...args]);
    assert.equal(code, 64, args.join(" "));
    assert.match(err, /Give one shell: bash, zsh, fish/);
  }
});
