/**
 * Makes what a release consists of: for each architecture an archive with the executable and what
 * belongs to it, the installer, and SHA256SUMS over all of them.
 *
 * An archive depends on its files and the time of the commit only: names, owners, modes and order are
 * fixed (https://reproducible-builds.org/docs/archives/).
 */
import { createHash } from "node:crypto";
import { basename, join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { buildTime, compile, parseTargets, ROOT, run, TARGETS, VERSION } from "./compile.ts";
import { licenseTexts, thirdParties } from "./third_party.ts";

/** What is packed beside the executable; for systemd and for the reader. */
const COMPANIONS = [
  "scripts/cellos-fleet.service",
  "scripts/cellos-fleet.strict.conf",
  "scripts/cellos-fleet.env.example",
  "LICENSE",
  "README.md",
];

export interface ArchiveOptions {
  /** File to be packed as `cellos-fleet`. */
  readonly executable: string;
  /** Files to be packed beside it, under their own names. */
  readonly companions: readonly string[];
  /** Name of the archive without `.tar.gz`, and of the one directory in it. */
  readonly name: string;
  /** Directory to write to. */
  readonly output: string;
  /** What all files are dated to, seconds since the epoch. */
  readonly time: number;
}

/** Packs an archive and returns its path. Rejects when a file is missing. */
export async function pack(options: ArchiveOptions): Promise<string> {
  const { executable, companions, name, output, time } = options;
  const work = await Deno.makeTempDir({ prefix: "cellos-fleet-release-" });
  try {
    const folder = join(work, name);
    await Deno.mkdir(folder);
    const copies = [
      [executable, "cellos-fleet"],
      ...companions.map((path) => [path, basename(path)]),
    ];
    for (const [from, to] of copies) {
      await Deno.copyFile(from, join(folder, to));
      await Deno.chmod(join(folder, to), to === "cellos-fleet" ? 0o755 : 0o644);
    }
    await Deno.chmod(folder, 0o755);
    const archive = join(resolve(output), `${name}.tar.gz`);
    await run("tar", [
      "--create",
      "--format=ustar",
      "--sort=name",
      "--owner=0",
      "--group=0",
      "--numeric-owner",
      `--mtime=@${time}`,
      "--use-compress-program=gzip -n -9",
      `--file=${archive}`,
      `--directory=${work}`,
      name,
    ], ROOT);
    return archive;
  } finally {
    await Deno.remove(work, { recursive: true });
  }
}

/** Writes SHA256SUMS for these files of one directory, as `sha256sum --check` reads it. */
export async function writeChecksums(directory: string, names: readonly string[]): Promise<void> {
  const lines = await Promise.all(
    names.toSorted().map(async (name) => {
      const hash = createHash("sha256").update(await Deno.readFile(join(directory, name)));
      return `${hash.digest("hex")}  ${name}\n`;
    }),
  );
  await Deno.writeTextFile(join(directory, "SHA256SUMS"), lines.join(""));
}

/**
 * The installer of one release: it installs this version, from where the release is published when an
 * address is given.
 */
export async function installer(version: string, url: string | undefined): Promise<string> {
  const text = await Deno.readTextFile(join(ROOT, "scripts/install.sh"));
  const stamps = { version, release_url: url ?? "" };
  return Object.entries(stamps).reduce((stamped, [name, value]) => {
    if (!/^[\w.:/+-]*$/.test(value)) throw new Error(`Cannot put ${name}=${value} into a script`);
    const parts = stamped.split(`\n${name}=''\n`);
    if (parts.length !== 2) throw new Error(`install.sh has no single line ${name}=''`);
    return parts.join(`\n${name}='${value}'\n`);
  }, text);
}

const USAGE = `Makes the archives of a release, its installer and SHA256SUMS

Usage: deno task release [options]

  --target TRIPLE      architecture, may be repeated: ${TARGETS.join(", ")}
                       (default: all)
  --output DIRECTORY   where to put them (default: dist/release)
  --url URL            where the files will be published, for the installer
  --compiler PROGRAM   the Deno to compile with, where DENORT_BIN is of another version than this one
  --help               show this text
`;

async function main(args: string[]): Promise<number> {
  const { values } = parseArgs({
    args,
    options: {
      target: { type: "string", multiple: true, default: TARGETS },
      output: { type: "string", default: join(ROOT, "dist/release") },
      url: { type: "string" },
      compiler: { type: "string" },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) {
    console.log(USAGE);
    return 0;
  }
  const { output, url, compiler } = values;
  const targets = parseTargets(values.target);
  const time = await buildTime();
  const built = await Deno.makeTempDir({ prefix: "cellos-fleet-release-" });
  try {
    const executables = await compile({ targets, output: built, compiler });
    await Deno.mkdir(output, { recursive: true });
    const names = ["install.sh"];
    const licenses = join(built, "THIRD_PARTY_LICENSES");
    await Deno.writeTextFile(licenses, licenseTexts(await thirdParties()));
    await Deno.writeTextFile(join(output, "install.sh"), await installer(VERSION, url));
    await Deno.chmod(join(output, "install.sh"), 0o755);
    for (const { target, path } of executables) {
      const name = `cellos-fleet-${VERSION}-${target}`;
      const companions = [...COMPANIONS.map((file) => join(ROOT, file)), licenses];
      names.push(basename(await pack({ executable: path, companions, name, output, time })));
    }
    await writeChecksums(output, names);
  } finally {
    await Deno.remove(built, { recursive: true });
  }
  console.log(await Deno.readTextFile(join(output, "SHA256SUMS")));
  return 0;
}

if (import.meta.main) {
  try {
    Deno.exit(await main(Deno.args));
  } catch (error) {
    console.error(`release: ${(error as Error).message}`);
    Deno.exit(1);
  }
}
