/** What is released: archives that depend on their files alone, and the workflows that make them. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { parse } from "yaml";
import { elfMachine, ROOT } from "../../scripts/compile.ts";
import { pack, writeChecksums } from "../../scripts/release.ts";
import { licenseTexts, thirdParties } from "../../scripts/third_party.ts";

async function inFolder(run: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "cellos-fleet-release-" });
  try {
    await run(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function printed(program: string, ...args: string[]): Promise<string> {
  const { success, stdout } = await new Deno.Command(program, { args, env: { TZ: "UTC" } })
    .output();
  assert.ok(success, `${program} ${args}`);
  return new TextDecoder().decode(stdout);
}

Deno.test("the same files give the same archive, whenever, wherever and by whom they were made", async () => {
  await inFolder(async (folder) => {
    const archives: Uint8Array[] = [];
    for (const [place, mode, time] of [["one", 0o600, 1e9], ["another", 0o777, 1.5e9]] as const) {
      await Deno.mkdir(join(folder, place));
      const paths = (place === "one" ? ["x", "b", "a"] : ["a", "x", "b"]).map((name) => {
        const path = join(folder, place, name);
        Deno.writeTextFileSync(path, `content of ${name}`);
        Deno.chmodSync(path, mode);
        Deno.utimeSync(path, time, time);
        return path;
      }).sort();
      const [a, b, executable] = paths;
      const companions = place === "one" ? [a, b] : [b, a];
      const output = join(folder, place);
      const archive = await pack({ executable, companions, name: "p-1", output, time: 1.7e9 });
      archives.push(await Deno.readFile(archive));
    }
    assert.deepEqual(archives[0], archives[1]);
    const archive = join(folder, "one/p-1.tar.gz");
    const rows = (await printed("tar", "-tvzf", archive)).trimEnd().split("\n");
    assert.deepEqual(rows.map((row) => row.replace(/ +/g, " ")), [
      "drwxr-xr-x 0/0 0 2023-11-14 22:13 p-1/",
      "-rw-r--r-- 0/0 12 2023-11-14 22:13 p-1/a",
      "-rw-r--r-- 0/0 12 2023-11-14 22:13 p-1/b",
      "-rwxr-xr-x 0/0 12 2023-11-14 22:13 p-1/cellos-fleet",
    ]);
  });
});

Deno.test("an archive without one of its files is not made", async () => {
  await inFolder(async (folder) => {
    const executable = join(folder, "absent");
    const made = pack({ executable, companions: [], name: "p-1", output: folder, time: 0 });
    await assert.rejects(made, Deno.errors.NotFound);
    assert.deepEqual([...Deno.readDirSync(folder)], []);
  });
});

Deno.test("SHA256SUMS is what sha256sum checks", async () => {
  await inFolder(async (folder) => {
    await Deno.writeTextFile(join(folder, "b.tar.gz"), "b");
    await Deno.writeTextFile(join(folder, "a.tar.gz"), "a");
    await writeChecksums(folder, ["b.tar.gz", "a.tar.gz"]);
    const checked = await printed("sh", "-c", `cd '${folder}' && sha256sum --check SHA256SUMS`);
    assert.equal(checked, "a.tar.gz: OK\nb.tar.gz: OK\n");
  });
});

Deno.test("the architecture of an executable is read from its header, and nothing else passes", async () => {
  await inFolder(async (folder) => {
    const path = join(folder, "file");
    const header = [0x7f, 0x45, 0x4c, 0x46, 2, 1, 1, ...Array(9).fill(0), 3, 0, 183, 0];
    await Deno.writeFile(path, new Uint8Array(header));
    assert.equal(await elfMachine(path), 183);
    for (const [at, byte] of [[0, 0], [4, 1], [5, 2]]) {
      await Deno.writeFile(path, new Uint8Array(header).with(at, byte));
      assert.equal(await elfMachine(path), undefined, `byte ${at} is ${byte}`);
    }
    await Deno.writeFile(path, new Uint8Array(header.slice(0, 19)));
    assert.equal(await elfMachine(path), undefined, "too short");
  });
});

interface Workflow {
  readonly permissions: unknown;
  readonly jobs: Readonly<Record<string, { readonly "timeout-minutes": number }>>;
}

const WORKFLOWS = [...Deno.readDirSync(join(ROOT, ".github/workflows"))].map(({ name }) => name);

for (const name of WORKFLOWS) {
  Deno.test(`workflow ${name}: every action is pinned by commit, rights are given one by one`, async () => {
    const text = await Deno.readTextFile(join(ROOT, ".github/workflows", name));
    const uses = [...text.matchAll(/uses:\s*(.*)/g)].map(([, used]) => used);
    assert.ok(uses.length > 0);
    for (const used of uses) {
      assert.match(used, /^[\w.-]+\/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$/);
    }
    const workflow: Workflow = parse(text);
    assert.deepEqual(workflow.permissions, { contents: "read" });
    for (const [job, { "timeout-minutes": timeout }] of Object.entries(workflow.jobs)) {
      assert.ok(timeout > 0, `${job} has a time limit`);
    }
  });
}

Deno.test("every package that the program needs is named with its licence and the text of that", async () => {
  const parties = await thirdParties();
  const names = parties.map(({ name }) => name.replace(/@[^@]+$/, ""));
  for (const direct of ["@aws-sdk/client-s3", "@logtape/logtape", "prom-client", "tdigest"]) {
    assert.ok(names.includes(direct), direct);
  }
  for (const ofTests of ["ajv", "fast-check", "yaml"]) assert.ok(!names.includes(ofTests), ofTests);
  const text = licenseTexts(parties);
  for (const { name, license } of parties) {
    assert.ok(text.includes(`\n${name} (${license})\n`), name);
  }
  assert.match(text, /Apache License\s+Version 2\.0/);
});

Deno.test("a licence that is stated without a text is an error, unless another package has it", () => {
  const party = (name: string, text: string | undefined) => ({ name, license: "MIT", text });
  assert.throws(() => licenseTexts([party("a@1", undefined)]), /no text of MIT, for a@1/);
  const text = licenseTexts([
    party("a@1", undefined),
    party("b@1", "The text"),
    party("c@1", "Other"),
  ]);
  assert.match(text, /a@1 \(MIT\)\nb@1 \(MIT\)\n\nThe text\n/);
  assert.match(text, /\nc@1 \(MIT\)\n\nOther\n/);
});
