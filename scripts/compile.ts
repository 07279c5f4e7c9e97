/**
 * Builds the executables: one file for each architecture, with the runtime, the program and its
 * permissions inside.
 *
 * main.ts is bundled into one file first. Compiled as it is, the program takes whole packages along,
 * and each start reads hundreds of modules. Nothing of the build's place or time goes into the file,
 * so that one commit gives one bundle wherever it is built.
 */
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import deno from "../deno.json" with { type: "json" };
import { checkoutCommit } from "../lib/edge/build_commit.ts";

export const ROOT = fileURLToPath(new URL("..", import.meta.url));
export const VERSION: string = deno.version;

/** All that the program may do, never to ask for more, and not to load code from anywhere else. */
export const PERMISSIONS = [
  "--allow-net",
  "--allow-env",
  "--allow-run",
  "--no-prompt",
  "--deny-import",
] as const;

/**
 * Left to itself V8 collects garbage when the host's memory suggests it, so that an agent with 25 MB
 * in use holds 100 MB. These bounds cost no rate that could be measured (`deno task bench --row 5`).
 */
export const V8_FLAGS = "--v8-flags=--heap-growing-percent=30,--max-semi-space-size=8";

/** The architectures to build for, with their number in an ELF header (`e_machine`). */
const ELF_MACHINES = { "x86_64-unknown-linux-gnu": 62, "aarch64-unknown-linux-gnu": 183 } as const;
export type Target = keyof typeof ELF_MACHINES;
export const TARGETS = Object.keys(ELF_MACHINES) as Target[];

/** The target that this machine runs. Throws when it is none of them. */
export function hostTarget(): Target {
  return parseTargets([Deno.build.target])[0];
}

export interface CompileOptions {
  readonly targets: readonly Target[];
  /** Directory to write to. */
  readonly output: string;
  /** The Deno that compiles; this one by default. It must be of the version of `DENORT_BIN`. */
  readonly compiler?: string;
}

export interface Executable {
  readonly target: Target;
  readonly path: string;
}

/**
 * Builds an executable for each target, named `cellos-fleet-<version>-<target>`. Rejects when a step
 * of the build fails, or its result is for another architecture.
 */
export async function compile(
  { targets, output, compiler }: CompileOptions,
): Promise<Executable[]> {
  const work = await Deno.makeTempDir({ prefix: "cellos-fleet-compile-" });
  try {
    const script = join(work, "cellos-fleet.js");
    await Deno.writeTextFile(script, await bundle(work));
    await Deno.mkdir(output, { recursive: true });
    const executables: Executable[] = [];
    for (const target of targets) {
      const path = join(output, `cellos-fleet-${VERSION}-${target}`);
      await compileScript({ script, output: path, target, compiler });
      executables.push({ target, path });
    }
    return executables;
  } finally {
    await Deno.remove(work, { recursive: true });
  }
}

/** Compiles one script without imports, with the program's permissions. */
export async function compileScript(options: {
  readonly script: string;
  readonly output: string;
  readonly target: Target;
  readonly compiler?: string;
}): Promise<void> {
  const { script, target, compiler = Deno.execPath() } = options;
  const output = resolve(options.output);
  // The executable keeps the time of its script.
  const time = await buildTime();
  await Deno.utime(script, time, time);
  await run(compiler, [
    "compile",
    "--quiet",
    ...PERMISSIONS,
    V8_FLAGS,
    // The runtime would keep compiled code under a fixed name in the directory for temporary files,
    // where anyone on the host can put it for anyone else's program to run.
    "--no-code-cache",
    ...["--no-config", "--no-lock", "--no-remote", "--no-npm", "--no-check"],
    `--target=${target}`,
    `--output=${output}`,
    script,
  ], dirname(script));
  if (await elfMachine(output) !== ELF_MACHINES[target]) {
    await Deno.remove(output);
    throw new Error(
      `Not an executable for ${target}: ${output}; DENORT_BIN must be for the target`,
    );
  }
}

/**
 * The program as one file of JavaScript, from locked packages, type checked, with its commit.
 *
 * @param work a directory for what is left behind
 */
async function bundle(work: string): Promise<string> {
  const bundled = join(work, "bundle.js");
  const args = ["bundle", "--quiet", "--frozen", "--check", `--output=${bundled}`, "main.ts"];
  await run(Deno.execPath(), args, ROOT);
  const text = await withoutPlaces(await Deno.readTextFile(bundled));
  const commit = await checkoutCommit(ROOT);
  const [before, after, ...more] = text.split('BAKED_COMMIT = "";');
  if (after === undefined || more.length > 0) {
    throw new Error("The bundle does not have exactly one place for the commit");
  }
  return `${before}BAKED_COMMIT = ${JSON.stringify(commit)};${after}`;
}

/** Modules are named by their path from here; packages become independent of where they are kept. */
async function withoutPlaces(text: string): Promise<string> {
  const info = JSON.parse(await run(Deno.execPath(), ["info", "--json"], ROOT));
  const cache: string = info.npmCache;
  const registry = new RegExp(`${RegExp.escape(relative(ROOT, cache))}/[^/]+/`, "g");
  const stripped = text.replaceAll(registry, "npm/");
  for (const place of [cache, ROOT]) {
    if (stripped.includes(place)) throw new Error(`The bundle speaks of ${place}`);
  }
  return stripped;
}

/**
 * The time that everything built is dated to: `SOURCE_DATE_EPOCH`, or the time of the commit, or 1980
 * (earlier dates trouble some archives). Seconds since the epoch.
 */
export async function buildTime(): Promise<number> {
  const given = Deno.env.get("SOURCE_DATE_EPOCH");
  if (given !== undefined && /^\d+$/.test(given)) return Number(given);
  if (await checkoutCommit(ROOT) === "unknown") return 315_532_800;
  return Number(await run("git", ["log", "-1", "--format=%ct"], ROOT));
}

/** The architecture that a file is for; undefined when it is not a 64-bit little-endian ELF file. */
export async function elfMachine(path: string): Promise<number | undefined> {
  using file = await Deno.open(path);
  const header = new Uint8Array(20);
  if (await file.read(header) !== header.length) return undefined;
  const expected = [0x7f, 0x45, 0x4c, 0x46, 2, 1];
  if (!expected.every((byte, at) => header[at] === byte)) return undefined;
  return new DataView(header.buffer).getUint16(18, true);
}

/** What a program prints. Its errors go to standard error; rejects when it does not end with 0. */
export async function run(program: string, args: string[], cwd: string): Promise<string> {
  const command = new Deno.Command(program, { args, cwd, stdin: "null", stderr: "inherit" });
  const { success, code, signal, stdout } = await command.output();
  if (success) return new TextDecoder().decode(stdout);
  throw new Error(`${program} ${args[0]} ended with ${signal ?? `code ${code}`}`);
}

const USAGE = `Builds the executables

Usage: deno task compile [options]

  --target TRIPLE      architecture, may be repeated: ${TARGETS.join(", ")}
                       (default: all)
  --output DIRECTORY   where to put them (default: dist)
  --compiler PROGRAM   the Deno to compile with, where DENORT_BIN is of another version than this one
  --help               show this text

The runtime inside is the one that Deno downloads, or the file named by DENORT_BIN.
`;

/** Reads the command line; throws what `parseArgs` throws, and for an unknown target. */
export function parseTargets(given: readonly string[]): Target[] {
  return given.map((name) => {
    const target = TARGETS.find((known) => known === name);
    if (target !== undefined) return target;
    throw new Error(`Unknown target ${name}: must be ${TARGETS.join(" or ")}`);
  });
}

async function main(args: string[]): Promise<number> {
  const { values } = parseArgs({
    args,
    options: {
      target: { type: "string", multiple: true, default: TARGETS },
      output: { type: "string", default: join(ROOT, "dist") },
      compiler: { type: "string" },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) {
    console.log(USAGE);
    return 0;
  }
  const { output, compiler } = values;
  for (
    const { path } of await compile({ targets: parseTargets(values.target), output, compiler })
  ) {
    console.log(`${path}  ${(await Deno.stat(path)).size} bytes`);
  }
  return 0;
}

if (import.meta.main) {
  try {
    Deno.exit(await main(Deno.args));
  } catch (error) {
    console.error(`compile: ${(error as Error).message}`);
    Deno.exit(1);
  }
}
