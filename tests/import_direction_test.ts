import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { checkImports } from "../scripts/check_imports.ts";
import { maskSource } from "../scripts/source_mask.ts";

const REPOSITORY = join(dirname(fileURLToPath(import.meta.url)), "..");

/** A small tree in which every import runs the right way. */
const SOUND: Readonly<Record<string, string>> = {
  "deno.json": '{\n  "imports": {\n    "fast-check": "npm:fast-check@4"\n  }\n}\n',
  "main.ts": 'import "./lib/agent.ts";\nimport "./lib/edge/clock.ts";\nimport "./deno.json";\n',
  "lib/core/keys.ts": "export const FOLDER = 'pending';\n",
  "lib/core/lease.ts": 'import { FOLDER } from "./keys.ts";\nexport const a = FOLDER;\n',
  "lib/events.ts": 'import type { a } from "./core/lease.ts";\nexport type E = typeof a;\n',
  "lib/ports.ts":
    'import type { E } from "./events.ts";\nexport interface Log { emit(e: E): void }\n',
  "lib/config.ts": 'import "./core/keys.ts";\nimport "./config_options.ts";\n',
  "lib/config_options.ts": "export {};\n",
  "lib/agent.ts": 'import type { Log } from "./ports.ts";\nimport "./config.ts";\n',
  "lib/commands/status.ts": 'import "../agent.ts";\nimport { parseArgs } from "node:util";\n',
  "lib/edge/clock.ts": 'import "../ports.ts";\nimport "../config.ts";\nDeno.exit; Date.now();\n',
  "scripts/demo.ts": 'import "../lib/edge/clock.ts";\n',
  "tests/agent_test.ts":
    'import "../main.ts";\nimport "../scripts/demo.ts";\nimport "fast-check";\n',
};

/** What the check says of the sound tree with some files replaced. */
async function offencesWith(changes: Readonly<Record<string, string>>): Promise<string[]> {
  const root = await Deno.makeTempDir();
  try {
    for (const [file, text] of Object.entries({ ...SOUND, ...changes })) {
      await Deno.mkdir(dirname(join(root, file)), { recursive: true });
      await Deno.writeTextFile(join(root, file), text);
    }
    const offences = await checkImports(root);
    return offences.map(({ file, line, rule }) => `${file}:${line}: ${rule}`);
  } finally {
    await Deno.remove(root, { recursive: true });
  }
}

async function assertOffence(file: string, text: string, expected: RegExp) {
  const offences = await offencesWith({ [file]: text });
  assert.equal(offences.length, 1, `${file}: ${JSON.stringify(text)}: ${offences.join("\n")}`);
  assert.match(offences[0], expected);
}

Deno.test("a tree whose imports run one way passes", async () => {
  assert.deepEqual(await offencesWith({}), []);
});

Deno.test("this repository's imports run one way", async () => {
  const offences = await checkImports(REPOSITORY);
  assert.deepEqual(offences.map(({ file, line, rule }) => `${file}:${line}: ${rule}`), []);
});

Deno.test("an import against the direction is an offence, with its file and line", async () => {
  const wrong: readonly (readonly [string, string, RegExp])[] = [
    ["lib/core/lease.ts", "../ports.ts", /^lib\/core\/lease\.ts:2: .* core may import core, not/],
    ["lib/core/lease.ts", "../agent.ts", /not lib$/],
    ["lib/core/lease.ts", "../edge/clock.ts", /only main\.ts imports lib\/edge$/],
    ["lib/ports.ts", "./agent.ts", /ports may import core, ports, not lib$/],
    ["lib/events.ts", "./config.ts", /not config$/],
    ["lib/config.ts", "./agent.ts", /config may import core, config, not lib$/],
    ["lib/agent.ts", "./edge/clock.ts", /only main\.ts imports lib\/edge$/],
    ["lib/commands/status.ts", "../edge/clock.ts", /only main\.ts imports lib\/edge$/],
    ["lib/agent.ts", "../scripts/demo.ts", /not scripts$/],
    ["lib/agent.ts", "../tests/agent_test.ts", /not tests$/],
    ["lib/agent.ts", "../main.ts", /not main$/],
    ["lib/edge/clock.ts", "../commands/status.ts", /edge may import .*, not lib$/],
    ["main.ts", "./scripts/demo.ts", /main may import .*, not scripts$/],
    ["scripts/demo.ts", "../tests/agent_test.ts", /not tests$/],
    ["tests/sim/clock.ts", "../agent_test.ts", /simulator may import .*, not tests$/],
  ];
  for (const [file, specifier, expected] of wrong) {
    const offences = await offencesWith({ [file]: `\nimport { x } from "${specifier}";\n` });
    // Some of these close a cycle as well, which is told besides.
    const direction = offences.filter((offence) => !offence.includes("cycle"));
    assert.equal(direction.length, 1, offences.join("\n"));
    assert.match(direction[0], expected);
    assert.ok(direction[0].startsWith(`${file}:2: imports "${specifier}"`), direction[0]);
  }
});

Deno.test("every way to write an import is seen", async () => {
  const forms = [
    'import "../ports.ts";',
    "import '../ports.ts';",
    'import x from "../ports.ts";',
    'import * as x from "../ports.ts";',
    'import type { Log } from "../ports.ts";',
    'import {\n  type Log, // "from"\n} from "../ports.ts";',
    'import x, { y } from\n  "../ports.ts";',
    'export * from "../ports.ts";',
    'export type { Log } from "../ports.ts";',
    'type Log = import("../ports.ts").Log;',
    "const x = import(`../ports.ts`);",
    'const x = `${import("../ports.ts")}`;',
    'export const a = 1\nimport{x}from"../ports.ts"',
  ];
  for (const form of forms) {
    await assertOffence("lib/core/spec.ts", `${form}\n`, /"\.\.\/ports\.ts": core may import/);
  }
});

Deno.test("what comes from neither npm nor the runtime is an offence anywhere", async () => {
  for (const file of ["main.ts", "lib/edge/clock.ts", "scripts/demo.ts", "tests/agent_test.ts"]) {
    for (const specifier of ["jsr:@std/assert", "https://deno.land/x/a.ts", "http://a/b.ts"]) {
      await assertOffence(
        file,
        `import "${specifier}";\n`,
        /only npm packages and what the runtime/,
      );
    }
    await assertOffence(file, 'import "npm:chalk@5";\n', /packages are named in deno\.json/);
  }
  await assertOffence(
    "deno.json",
    '{\n  "imports": {\n    "@std/log": "jsr:@std/log@0"\n  }\n}\n',
    /^deno\.json:3: maps "@std\/log" to "jsr:@std\/log@0"/,
  );
});

Deno.test("core, ports and configuration import no package and no part of the runtime", async () => {
  for (const file of ["lib/core/keys.ts", "lib/ports.ts", "lib/config_options.ts"]) {
    for (const specifier of ["node:util", "@aws-sdk/client-s3"]) {
      await assertOffence(file, `import "${specifier}";\n`, /imports nothing from outside/);
    }
  }
});

Deno.test("core uses neither the world nor time nor chance", async () => {
  const impure = [
    'Deno.env.get("A")',
    "Date.now()",
    "new Date()",
    "new Date",
    "Date()",
    "Math.random()",
    "performance.now()",
    'fetch("a")',
    "setTimeout(f, 1)",
    "console.log(1)",
    "crypto.randomUUID()",
    "globalThis.x",
    "process.exit()",
    "queueMicrotask(f)",
    "await f()",
    "async () => 1",
    "Promise.resolve()",
    "`${Date.now()}`",
  ];
  for (const code of impure) {
    await assertOffence(
      "lib/core/keys.ts",
      `// Why\nexport const FOLDER = ${code};\n`,
      /^lib\/core\/keys\.ts:2: uses .*: lib\/core is pure and synchronous$/,
    );
  }
});

Deno.test("lib waits, but reaches the world through its ports only", async () => {
  const allowed = "export const a = async (p: Promise<Date>) => await p ?? new Date(1);\n";
  assert.deepEqual(await offencesWith({ "lib/agent.ts": allowed }), []);
  for (const code of ["Deno.exit(1)", "Date.now()", "setTimeout(f, 1)", "console.error(1)"]) {
    await assertOffence("lib/agent.ts", `${code};\n`, /lib reaches the world through its ports/);
  }
});

Deno.test("words in comments, strings and property names are no use of the world", async () => {
  const harmless = [
    "// Date.now() and import x from '../ports.ts'",
    "/* Deno.exit(1)\n import '../ports.ts' */",
    '"Deno.exit(1); \\" fetch(1)"',
    "'import(\"../ports.ts\")'",
    "`fetch(1) ${'`' + `await`} crypto.x`",
    "/['\"`]Date.now()[/]/.test('a')",
    "lease.performance.fetch(1)",
    "({ fetch: 1, console: 2 }).fetch",
    "new Date(0)",
    "myfetch(1) + fetches(2)",
  ];
  for (const code of harmless) {
    assert.deepEqual(await offencesWith({ "lib/core/keys.ts": `${code}\n` }), [], code);
  }
});

Deno.test("imports that run in a cycle are an offence, also of types only", async () => {
  const offences = await offencesWith({
    "lib/core/keys.ts": 'import type { a } from "./spec.ts";\n',
    "lib/core/spec.ts": '\nimport type { b } from "./lease.ts";\n',
  });
  assert.deepEqual(offences, [
    "lib/core/spec.ts:2: imports run in a cycle: lib/core/lease.ts → lib/core/keys.ts → " +
    "lib/core/spec.ts → lib/core/lease.ts",
  ]);
});

Deno.test("masking keeps every position and line of a file", async () => {
  for (const file of ["scripts/source_mask.ts", "scripts/check_imports.ts"]) {
    const text = await Deno.readTextFile(join(REPOSITORY, file));
    const { code, lineAt } = maskSource(text);
    assert.equal(code.length, text.length);
    assert.equal(code.split("\n").length, text.split("\n").length);
    assert.equal(lineAt(text.length), text.split("\n").length);
  }
  const torn = ["'", '"', "`", "`${", "/*", "//", "/", "`${`", "\\", "'\\", "/[", "}"];
  for (const text of torn) assert.equal(maskSource(text).code.length, text.length, text);
});

Deno.test("the script prints each offence with its place and exits with 1", async () => {
  const root = await Deno.makeTempDir();
  try {
    await Deno.writeTextFile(join(root, "main.ts"), '\nimport "jsr:@std/log";\n');
    const check = () =>
      new Deno.Command(Deno.execPath(), {
        args: ["run", "-A", "--no-check", join(REPOSITORY, "scripts/check_imports.ts"), root],
        cwd: root,
      }).output();
    const broken = await check();
    assert.equal(broken.code, 1);
    assert.match(new TextDecoder().decode(broken.stderr), /^main\.ts:2: imports "jsr:@std\/log": /);
    await Deno.writeTextFile(join(root, "main.ts"), "\n");
    const sound = await check();
    assert.equal(sound.code, 0);
    assert.equal(sound.stderr.length + sound.stdout.length, 0);
  } finally {
    await Deno.remove(root, { recursive: true });
  }
});
