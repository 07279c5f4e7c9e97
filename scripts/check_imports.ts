/**
 * Checks that imports run one way, and that nothing in `lib` bypasses the ports:
 *
 *     lib/core ← lib/ports.ts, lib/events.ts ← lib/*.ts, lib/commands ← main.ts
 *     lib/edge imports ports, events, core and the configuration; only main.ts imports lib/edge
 *
 * Prints each offence as `file:line: rule`, and exits with 1 when there is one. Takes the directory
 * to check; the repository's own without it.
 */
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { maskSource } from "./source_mask.ts";
import type { MaskedSource } from "./source_mask.ts";

export interface Offence {
  /** Relative to the directory that was checked. */
  readonly file: string;
  readonly line: number;
  readonly rule: string;
}

type Layer =
  | "core"
  | "ports"
  | "lib"
  | "config"
  | "edge"
  | "main"
  | "scripts"
  | "simulator"
  | "tests"
  | "other";

interface Import {
  readonly specifier: string;
  readonly line: number;
  /** Relative path of a local import. */
  readonly target: string | undefined;
}

interface Module {
  readonly file: string;
  readonly source: MaskedSource;
  readonly imports: readonly Import[];
}

/** What each layer may import of this repository. */
const ALLOWED: Readonly<Record<Layer, readonly Layer[]>> = {
  core: ["core"],
  ports: ["core", "ports"],
  config: ["core", "config"],
  lib: ["core", "ports", "config", "lib"],
  edge: ["core", "ports", "config", "edge"],
  main: ["core", "ports", "config", "lib", "edge", "other"],
  scripts: ["core", "ports", "config", "lib", "edge", "scripts", "simulator", "other"],
  simulator: ["core", "ports", "config", "lib", "scripts", "simulator", "other"],
  tests: [
    "core",
    "ports",
    "config",
    "lib",
    "edge",
    "main",
    "scripts",
    "simulator",
    "tests",
    "other",
  ],
  other: ["other"],
};

/** Layers that import nothing from outside the repository. */
const CLOSED: readonly Layer[] = ["core", "ports", "config"];

/** Where the world comes in past the ports. Matched where no property has the name. */
const WORLD = globalNames([
  "Deno|process|globalThis|performance|fetch|console|crypto|navigator|WebSocket|Worker",
  "setTimeout|setInterval|setImmediate|queueMicrotask",
  String.raw`Math\s*\.\s*random|Date\s*\.\s*now|Date\s*\(\s*\)|new\s+Date\b(?!\s*\(\s*[^\s)])`,
]);
const WAITING = globalNames(["Promise|async|await"]);

/** Every offence in the program, scripts and tests below `root`, in the order of the files. */
export async function checkImports(root: string): Promise<Offence[]> {
  const modules: Module[] = [];
  for (const file of await sourceFiles(root)) {
    modules.push(readModule(file, await Deno.readTextFile(join(root, file))));
  }
  return [
    ...modules.flatMap(checkLayers),
    ...modules.flatMap(checkGlobals),
    ...findCycles(modules),
    ...await checkImportMap(root),
  ];
}

async function sourceFiles(root: string): Promise<string[]> {
  const files: string[] = [];
  const visit = async (directory: string) => {
    for await (const entry of Deno.readDir(join(root, directory))) {
      const path = directory === "" ? entry.name : `${directory}/${entry.name}`;
      const top = directory !== "" || ["lib", "scripts", "tests"].includes(entry.name);
      if (entry.isDirectory && top) await visit(path);
      else if (entry.isFile && /\.[cm]?[jt]sx?$/.test(entry.name)) files.push(path);
    }
  };
  await visit("");
  return files.sort();
}

function readModule(file: string, text: string): Module {
  const source = maskSource(text);
  const imports = findSpecifiers(source).map(({ specifier, line }) => {
    const local = /^\.{0,2}\//.test(specifier);
    return {
      specifier,
      line,
      target: local ? join(dirname(file), specifier).replaceAll("\\", "/") : undefined,
    };
  });
  return { file, source, imports };
}

/** Specifiers of static and dynamic imports, of re-exports, and of types written as `import()`. */
function findSpecifiers(source: MaskedSource): { specifier: string; line: number }[] {
  const statements =
    /(?<![\w$.])(?:(?:import|export)\b[^;"'`()=]*?\bfrom\s*|import\s*|import\s*\(\s*)(?=["'`])/g;
  const found = [];
  for (const match of source.code.matchAll(statements)) {
    const start = match.index + match[0].length;
    const specifier = source.strings.get(start);
    if (specifier !== undefined) found.push({ specifier, line: source.lineAt(start) });
  }
  return found;
}

function layerOf(file: string): Layer {
  if (file === "main.ts") return "main";
  if (file.startsWith("lib/core/")) return "core";
  if (file.startsWith("lib/edge/")) return "edge";
  if (["lib/ports.ts", "lib/events.ts", "lib/event_text.ts"].includes(file)) return "ports";
  if (/^lib\/config(_\w+)?\.ts$/.test(file)) return "config";
  if (file.startsWith("lib/")) return "lib";
  if (file.startsWith("scripts/")) return "scripts";
  // The soak and the benchmark run it, too.
  if (/^tests\/sim\/.*(?<!_test)\.ts$/.test(file)) return "simulator";
  if (file.startsWith("tests/")) return "tests";
  return "other";
}

function checkLayers({ file, imports }: Module): Offence[] {
  const layer = layerOf(file);
  const offences: Offence[] = [];
  for (const { specifier, line, target } of imports) {
    const rule = target === undefined
      ? externalRule(layer, specifier)
      : localRule(layer, layerOf(target), target);
    if (rule !== undefined) offences.push({ file, line, rule: `imports "${specifier}": ${rule}` });
  }
  return offences;
}

function externalRule(layer: Layer, specifier: string): string | undefined {
  if (/^(jsr|https?|file|data):/.test(specifier)) {
    return "only npm packages and what the runtime has may be imported";
  }
  if (specifier.startsWith("npm:")) return "packages are named in deno.json and imported by name";
  if (CLOSED.includes(layer)) return `${layer} imports nothing from outside the repository`;
}

function localRule(from: Layer, to: Layer, target: string): string | undefined {
  if (ALLOWED[from].includes(to)) return undefined;
  if (target === "deno.json" && from === "lib") return undefined;
  if (to === "edge") return "only main.ts imports lib/edge";
  return `${from} may import ${ALLOWED[from].join(", ")}, not ${to}`;
}

/** The simulator runs the whole of `lib` in virtual time, which only works if nothing bypasses it. */
function checkGlobals({ file, source }: Module): Offence[] {
  const layer = layerOf(file);
  const uses = (names: RegExp, rule: string) =>
    [...source.code.matchAll(names)].map((match) => ({
      file,
      line: source.lineAt(match.index),
      rule: `uses ${match[0].replace(/\s+/g, " ")}: ${rule}`,
    }));
  if (layer === "core") {
    const rule = "lib/core is pure and synchronous";
    return [...uses(WORLD, rule), ...uses(WAITING, rule)];
  }
  const insideLib = layer === "lib" || layer === "config" || layer === "ports";
  return insideLib ? uses(WORLD, "lib reaches the world through its ports only") : [];
}

function globalNames(alternatives: readonly string[]): RegExp {
  return new RegExp(String.raw`(?<![\w$.#])(?:${alternatives.join("|")})(?![\w$])(?!\s*\??:)`, "g");
}

/** One offence for each import that closes a cycle, whether it imports values or types. */
function findCycles(modules: readonly Module[]): Offence[] {
  const byFile = new Map(modules.map((module) => [module.file, module]));
  const done = new Set<string>();
  const path: string[] = [];
  const offences: Offence[] = [];
  const visit = (module: Module) => {
    path.push(module.file);
    for (const { target, line } of module.imports) {
      const next = target === undefined ? undefined : byFile.get(target);
      if (next === undefined || done.has(next.file)) continue;
      const start = path.indexOf(next.file);
      if (start === -1) {
        visit(next);
      } else {
        const cycle = [...path.slice(start), next.file].join(" → ");
        offences.push({ file: module.file, line, rule: `imports run in a cycle: ${cycle}` });
      }
    }
    path.pop();
    done.add(module.file);
  };
  for (const module of modules) if (!done.has(module.file)) visit(module);
  return offences;
}

/** The names in `deno.json` must not lead where a plain import may not. */
async function checkImportMap(root: string): Promise<Offence[]> {
  let text: string;
  try {
    text = await Deno.readTextFile(join(root, "deno.json"));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
  const { imports = {} } = JSON.parse(text) as { imports?: Record<string, string> };
  const lines = text.split("\n");
  return Object.entries(imports)
    .filter(([, target]) => !/^(npm:|\.\/)/.test(target))
    .map(([name, target]) => ({
      file: "deno.json",
      line: lines.findIndex((line) => line.includes(JSON.stringify(target))) + 1,
      rule: `maps "${name}" to "${target}": only npm packages may be imported`,
    }));
}

if (import.meta.main) {
  const root = resolve(Deno.args[0] ?? join(dirname(fileURLToPath(import.meta.url)), ".."));
  const offences = await checkImports(root);
  for (const { file, line, rule } of offences) {
    console.error(`${relative(Deno.cwd(), join(root, file))}:${line}: ${rule}`);
  }
  if (offences.length > 0) Deno.exit(1);
}
