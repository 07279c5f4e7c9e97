/**
 * What the executable may do: as it says itself, and as a program finds out that is compiled in the
 * same way and tries.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { compileScript, hostTarget } from "../../scripts/compile.ts";
import { executableTest } from "./executable.ts";

/** The permissions that the runtime reads from the end of the executable. */
async function bakedPermissions(path: string): Promise<Record<string, unknown>> {
  const text = new TextDecoder("latin1").decode(await Deno.readFile(path));
  const found = [...text.matchAll(/"permissions":(\{"allow_[^{}]*\})/g)];
  assert.equal(found.length, 1, "there is one set of permissions");
  return JSON.parse(found[0][1]);
}

/** Tries what the program must not do, and a little of what it may; prints what came of it. */
const ATTEMPTS = `
const attempts = {
  "read a file": () => Deno.readTextFile("/etc/hostname"),
  "list a directory": () => [...Deno.readDirSync("/")],
  "read through node": async () => (await import("node:fs")).readFileSync("/etc/hostname"),
  "read itself": () => Deno.readFile(Deno.execPath()),
  "write a file": () => Deno.writeTextFile("/tmp/written-by-cellos-fleet", ""),
  "write through node": async () =>
    (await import("node:fs")).writeFileSync("/tmp/written-by-cellos-fleet", ""),
  "make a directory": () => Deno.mkdir("/tmp/written-by-cellos-fleet"),
  "remove a file": () => Deno.remove("/tmp/written-by-cellos-fleet"),
  "ask for the system's release": () => Deno.osRelease(),
  "load a library": () => Deno.dlopen("libc.so.6", {}),
  // Not even looked for: there is nothing in the executable that could fetch it.
  "import code": () => import("https://jsr.io/code.js?" + Deno.args.length),
  // Not a file: it is in the executable, whose code may see it.
  "read its own code": () => Deno.readFile(new URL(import.meta.url)),
  "read a variable": () => Deno.env.get("PATH"),
  "run a program": () => new Deno.Command("true").output(),
  "listen": () => Deno.listen({ hostname: "127.0.0.1", port: 0 }).close(),
};
for (const [what, attempt] of Object.entries(attempts)) {
  try {
    await attempt();
    console.log(what + ": done");
  } catch (error) {
    const denied = error.name === "NotCapable" || /Requires \\w+ access|Module not found/.test(error.message);
    console.log(what + ": " + (denied ? "denied" : error));
  }
}
for (const name of ["read", "write", "net", "env", "run", "sys", "ffi", "import"]) {
  console.log(name + " is " + (await Deno.permissions.query({ name })).state);
}
`;

executableTest(
  "has the permissions for network, variables and programs, and no other",
  async (place) => {
    const { allow_import: _overruled, ...permissions } = await bakedPermissions(place.executable);
    const set = Object.entries(permissions).filter(([, value]) => value !== null);
    assert.deepEqual(Object.fromEntries(set), {
      allow_env: [],
      allow_net: [],
      allow_run: [],
      deny_import: [],
      prompt: false,
    });
  },
);

const compiler = Deno.env.get("CELLOS_FLEET_TEST_COMPILER");

executableTest("what is compiled like it can neither read nor write a file", async (place) => {
  const script = join(place.folder, "attempts.js");
  const output = join(place.folder, "attempts");
  await Deno.writeTextFile(script, ATTEMPTS);
  await compileScript({ script, output, target: hostTarget(), compiler });
  assert.deepEqual(await bakedPermissions(output), await bakedPermissions(place.executable));
  const ran = await new Deno.Command(output, { stdin: "null", cwd: place.empty }).output();
  assert.equal(new TextDecoder().decode(ran.stderr), "");
  const lines = new TextDecoder().decode(ran.stdout).trimEnd().split("\n");
  const of = (result: string) =>
    lines.filter((line) => line.endsWith(result)).map((line) => line.slice(0, -result.length));
  assert.deepEqual(of(": done"), [
    "read its own code",
    "read a variable",
    "run a program",
    "listen",
  ]);
  assert.deepEqual(of(" is granted"), ["net", "env", "run"]);
  assert.equal(of(": denied").length, 11, lines.join("\n"));
}, compiler !== undefined);
