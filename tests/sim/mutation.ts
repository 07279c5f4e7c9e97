/** Applies a mutant to a copy of the program and runs the simulation on that. */
import type { Edit, Mutant } from "./mutant.ts";
import type { MutantRun } from "./mutant_run.ts";

/** What the simulation is made of, besides itself. */
const FOLDERS = ["lib", "scripts/s3", "tests/sim"] as const;
const FLAGS = ["--no-config", "--no-lock", "--no-check", "-A"];
const REPOSITORY = new URL("../../", import.meta.url);

/** A copy of the program in a folder of its own, to be mutated and thrown away. */
export class Laboratory implements AsyncDisposable {
  readonly #path: string;

  private constructor(path: string) {
    this.#path = path;
  }

  static async open(): Promise<Laboratory> {
    const path = await Deno.makeTempDir({ prefix: "cellos-mutant-" });
    for (const folder of FOLDERS) {
      await copyFolder(new URL(`${folder}/`, REPOSITORY), `${path}/${folder}`);
    }
    return new Laboratory(path);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.#path, { recursive: true });
  }

  /**
   * Applies the mutant, runs seeds of its family until one catches it, and takes it back. Rejects when an edit does
   * not apply to the code as it is, or when the run ends in some other way.
   */
  async run(mutant: Mutant, from: number, seeds: number): Promise<MutantRun> {
    const originals = new Map<string, string>();
    try {
      for (const edit of mutant.edits) await this.#apply(mutant.name, edit, originals);
      return mutant.family === "regressions"
        ? await this.#testRegressions(mutant)
        : await this.#simulate(mutant, from, seeds);
    } finally {
      for (const [path, text] of originals) await Deno.writeTextFile(path, text);
    }
  }

  async #apply(name: string, edit: Edit, originals: Map<string, string>): Promise<void> {
    const path = `${this.#path}/${edit.file}`;
    const text = await Deno.readTextFile(path);
    const parts = text.split(edit.find);
    if (parts.length !== 2) {
      throw new Error(
        `Mutant "${name}": the text to change is ${
          parts.length - 1
        } times in ${edit.file}: ${edit.find}`,
      );
    }
    if (!originals.has(path)) originals.set(path, text);
    await Deno.writeTextFile(path, parts.join(edit.replace));
  }

  async #simulate({ name, family }: Mutant, from: number, seeds: number): Promise<MutantRun> {
    const args = [`${this.#path}/tests/sim/mutant_run.ts`, family, String(from), String(seeds)];
    const { success, stdout, stderr } = await this.#deno(["run", ...FLAGS, ...args]);
    if (!success) throw new Error(`Mutant "${name}" ended by itself: ${stderr}`);
    return JSON.parse(stdout);
  }

  async #testRegressions({ name }: Mutant): Promise<MutantRun> {
    const file = `${this.#path}/tests/sim/regressions_test.ts`;
    const { success, stdout } = await this.#deno(["test", ...FLAGS, file]);
    const detail = /^(.*) \.\.\. FAILED/m.exec(stdout)?.[1];
    if (!success && detail === undefined) {
      throw new Error(`Mutant "${name}" broke the tests instead of failing one: ${stdout}`);
    }
    return detail === undefined
      ? { tried: 1 }
      : { tried: 1, caught: { seed: 1, check: "regression", detail } };
  }

  async #deno(args: string[]): Promise<{ success: boolean; stdout: string; stderr: string }> {
    const output = await new Deno.Command(Deno.execPath(), {
      args,
      stdin: "null",
      env: { NO_COLOR: "1" },
    }).output();
    const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
    return { success: output.success, stdout: text(output.stdout), stderr: text(output.stderr) };
  }
}

async function copyFolder(from: URL, to: string): Promise<void> {
  await Deno.mkdir(to, { recursive: true });
  for await (const { name, isDirectory, isFile } of Deno.readDir(from)) {
    if (isDirectory) await copyFolder(new URL(`${name}/`, from), `${to}/${name}`);
    if (isFile && name.endsWith(".ts")) await Deno.copyFile(new URL(name, from), `${to}/${name}`);
  }
}
