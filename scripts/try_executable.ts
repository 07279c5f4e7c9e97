/**
 * Tries an executable as a stranger would, and the tests of whole agents on it; then measures its
 * start. Without one it builds one for this machine first.
 *
 * The runtime that `deno compile` downloads cannot be had everywhere. `--denort PROGRAM` names a
 * program that has one: `PROGRAM path` prints its path, `PROGRAM deno` the version of Deno that it
 * belongs to. Where there is no such program, or it has none for this machine, this says SKIPPED and
 * ends well.
 */
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { compile, hostTarget, ROOT, run } from "./compile.ts";
import { figuresTable, measure } from "./executable_figures.ts";

interface Trial {
  readonly executable: string;
  /** The Deno that compiles for the same runtime. */
  readonly compiler: string;
}

/** The Deno to compile with, and its runtime put into the environment; a reason if there is none. */
async function borrowRuntime(program: string): Promise<{ compiler: string } | { none: string }> {
  try {
    await Deno.stat(program);
  } catch {
    return { none: `there is no ${program}` };
  }
  let path: string;
  try {
    path = (await run(program, ["path"], ROOT)).trim();
  } catch (error) {
    return { none: (error as Error).message };
  }
  const version = (await run(program, ["deno"], ROOT)).trim();
  const args = ["-y", `deno@${version}`, "eval", "console.log(Deno.execPath())"];
  const compiler = (await run("npx", args, ROOT)).trim();
  Deno.env.set("DENORT_BIN", path);
  return { compiler };
}

async function build(compiler: string, output: string): Promise<Trial> {
  const [{ path }] = await compile({ targets: [hostTarget()], output, compiler });
  console.log(`executable: built ${path}`);
  return { executable: path, compiler };
}

/** Runs the tests that an executable can take the place of the source in; whether all passed. */
async function test({ executable, compiler }: Trial): Promise<boolean> {
  const agents = [...Deno.readDirSync(join(ROOT, "tests/process"))].map(({ name }) => name)
    .filter((name) => /^agent_.*_test\.ts$/.test(name)).sort();
  const { success } = await new Deno.Command(Deno.execPath(), {
    args: [
      ...["test", "--frozen", "-A", "tests/executable", "tests/smoke_test.ts"],
      ...agents.map((name) => `tests/process/${name}`),
    ],
    cwd: ROOT,
    env: { CELLOS_FLEET_TEST_EXECUTABLE: executable, CELLOS_FLEET_TEST_COMPILER: compiler },
    stdin: "null",
  }).spawn().status;
  return success;
}

async function report({ executable, compiler }: Trial): Promise<void> {
  const commands = [
    [executable, "--version"],
    [compiler, "--version"],
    [compiler, "eval", "0"],
  ];
  const aws = await run("sh", ["-c", "command -v aws || true"], ROOT);
  if (aws === "") console.log("executable: aws is not installed, so not measured");
  else commands.push(["aws", "--version"]);
  console.log(figuresTable(await measure(commands)));
}

const USAGE = `Tries an executable: in odd places, with the tests of whole agents, and by the clock

Usage: deno run -A scripts/try_executable.ts [options]

  --executable FILE    the one to try; without it, one is built for this machine
  --denort PROGRAM     where the runtime to build on is had from, instead of a download
  --help               show this text
`;

async function main(args: string[]): Promise<number> {
  const { values } = parseArgs({
    args,
    options: {
      executable: { type: "string" },
      denort: { type: "string" },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) {
    console.log(USAGE);
    return 0;
  }
  let compiler = Deno.execPath();
  if (values.denort !== undefined) {
    const runtime = await borrowRuntime(resolve(values.denort));
    if ("none" in runtime) {
      console.log(`executable: SKIPPED, no runtime to compile with: ${runtime.none}`);
      return 0;
    }
    compiler = runtime.compiler;
  }
  const output = await Deno.makeTempDir({ prefix: "cellos-fleet-try-" });
  try {
    const trial = values.executable === undefined
      ? await build(compiler, output)
      : { executable: resolve(values.executable), compiler };
    if (!await test(trial)) return 1;
    await report(trial);
    return 0;
  } finally {
    await Deno.remove(output, { recursive: true });
  }
}

if (import.meta.main) {
  try {
    Deno.exit(await main(Deno.args));
  } catch (error) {
    console.error(`executable: ${(error as Error).message}`);
    Deno.exit(1);
  }
}
