/** The installer, against releases that a server on this host publishes. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { ROOT, TARGETS } from "../scripts/compile.ts";
import { installer, pack, writeChecksums } from "../scripts/release.ts";

const SCRIPT = join(ROOT, "scripts/install.sh");
/** Those that may be `sh` on the host of a user. */
const SHELLS = ["sh", "dash", "bash"].filter(isInstalled);
const UNIT =
  "[Service]\nEnvironmentFile=/etc/cellos-fleet.env\nExecStart=/usr/local/bin/cellos-fleet\n";
const SETTINGS = "CELLOS_FLEET_BUCKET=\n";
const EXECUTABLE = "usr/local/bin/cellos-fleet";

function isInstalled(program: string): boolean {
  const { success } = new Deno.Command("sh", { args: ["-c", `command -v ${program}`] })
    .outputSync();
  return success;
}

interface Installed {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** A release on a server, and a directory to install into. */
class Site implements AsyncDisposable {
  readonly folder: string;
  readonly root: string;
  readonly url: string;
  readonly #server: Deno.HttpServer;

  constructor(folder: string) {
    this.folder = folder;
    this.root = join(folder, "root");
    for (const name of ["site", "root", "tmp", "fake"]) Deno.mkdirSync(join(folder, name));
    this.#server = Deno.serve(
      { hostname: "127.0.0.1", port: 0, onListen: () => {} },
      async (request) => {
        const path = join(folder, "site", new URL(request.url).pathname);
        try {
          return new Response(await Deno.readFile(path));
        } catch {
          return new Response("absent", { status: 404 });
        }
      },
    );
    this.url = `http://127.0.0.1:${(this.#server.addr as Deno.NetAddr).port}`;
  }

  /** Publishes archives for all architectures, whose executable is this script. */
  async publish(
    version: string,
    script = `echo "cellos-fleet ${version} (0123456)"`,
  ): Promise<void> {
    const file = (name: string, text: string) => {
      const path = join(this.folder, name);
      Deno.writeTextFileSync(path, text);
      return path;
    };
    const executable = file("executable", `#!/bin/sh\n${script}\n`);
    const companions = [
      file("cellos-fleet.service", UNIT),
      file("cellos-fleet.env.example", SETTINGS),
    ];
    const output = join(this.folder, "site");
    const names = TARGETS.map((target) => `cellos-fleet-${version}-${target}`);
    for (const name of names) await pack({ executable, companions, name, output, time: 1e9 });
    await writeChecksums(output, names.map((name) => `${name}.tar.gz`));
  }

  /** Puts a program before all others of its name. */
  fake(name: string, script: string): void {
    const path = join(this.folder, "fake", name);
    Deno.writeTextFileSync(path, `#!/bin/sh\n${script}\n`);
    Deno.chmodSync(path, 0o755);
  }

  async install(
    args: readonly string[],
    { shell = "sh", script = SCRIPT, path = Deno.env.get("PATH")! } = {},
  ): Promise<Installed> {
    const output = await new Deno.Command(shell, {
      args: [script, "--from", this.url, "--root", this.root, ...args],
      clearEnv: true,
      env: { PATH: `${join(this.folder, "fake")}:${path}`, TMPDIR: join(this.folder, "tmp") },
      stdin: "null",
    }).output();
    const [stdout, stderr] = [output.stdout, output.stderr].map((bytes) =>
      new TextDecoder().decode(bytes)
    );
    assert.deepEqual(files(join(this.folder, "tmp")), [], "no temporary file is left");
    return { code: output.code, stdout, stderr };
  }

  installed(): string[] {
    return files(this.root);
  }

  text(name: string): string {
    return Deno.readTextFileSync(join(this.root, name));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.shutdown();
    await Deno.remove(this.folder, { recursive: true });
  }
}

/** All files below a directory, by relative path. */
function files(directory: string, prefix = ""): string[] {
  return [...Deno.readDirSync(join(directory, prefix))].flatMap(({ name, isDirectory }) => {
    const path = join(prefix, name);
    return isDirectory ? files(directory, path) : [path];
  }).sort();
}

function test(name: string, run: (site: Site) => Promise<void>, needs = "curl"): void {
  Deno.test(`install.sh: ${name}`, { ignore: !isInstalled(needs) }, async () => {
    await using site = new Site(await Deno.makeTempDir({ prefix: "cellos-fleet-install-" }));
    await site.publish("1.2.3");
    await run(site);
  });
}

/** Fails unless the installer refused with this message and put nothing in place. */
function assertRefused(site: Site, { code, stderr }: Installed, message: RegExp): void {
  assert.notEqual(code, 0);
  assert.match(stderr, message);
  assert.deepEqual(site.installed(), []);
}

test("installs the executable, in any shell that is sh somewhere", async (site) => {
  for (const shell of SHELLS) {
    const { code, stdout, stderr } = await site.install(["--version", "1.2.3"], { shell });
    assert.deepEqual([code, stderr], [0, ""], shell);
    assert.match(stdout, /^verified cellos-fleet-1\.2\.3-.*\nverified cellos-fleet 1\.2\.3 /);
    assert.deepEqual(site.installed(), [EXECUTABLE]);
    assert.equal(Deno.statSync(join(site.root, EXECUTABLE)).mode! & 0o777, 0o755);
    await Deno.remove(join(site.root, "usr"), { recursive: true });
  }
});

test("installs the unit for the place of the executable, and settings for root's eyes", async (site) => {
  const args = ["--version", "1.2.3", "--unit", "--bin-dir", "/opt/fleet"];
  const { code, stderr } = await site.install(args);
  assert.deepEqual([code, stderr], [0, ""]);
  const unit = "etc/systemd/system/cellos-fleet.service";
  assert.deepEqual(site.installed(), ["etc/cellos-fleet.env", unit, "opt/fleet/cellos-fleet"]);
  assert.equal(site.text(unit), UNIT.replace("/usr/local/bin", "/opt/fleet"));
  assert.equal(site.text("etc/cellos-fleet.env"), SETTINGS);
  assert.equal(Deno.statSync(join(site.root, "etc/cellos-fleet.env")).mode! & 0o777, 0o600);
});

test("fits the unit that is released", async () => {
  const unit = await Deno.readTextFile(join(ROOT, "scripts/cellos-fleet.service"));
  assert.match(unit, /^ExecStart=\/usr\/local\/bin\/cellos-fleet\b/m);
  assert.equal(unit.match(/^EnvironmentFile=-?\/etc\/\S+$/mg)?.length, 1);
});

test("upgrades in one step: a running agent keeps its executable, settings stay", async (site) => {
  await site.publish(
    "1.2.3",
    'if [ "$1" = --version ]; then echo "cellos-fleet 1.2.3 (0)"; exit; fi\nread line\necho old $line',
  );
  await site.install(["--version", "1.2.3", "--unit"]);
  Deno.writeTextFileSync(join(site.root, "etc/cellos-fleet.env"), "CELLOS_FLEET_BUCKET=mine\n");
  const old = new Deno.Command(join(site.root, EXECUTABLE), { stdin: "piped", stdout: "piped" });
  await using running = old.spawn();
  await site.publish("1.3.0");
  const { code, stdout } = await site.install(["--version", "1.3.0", "--unit"]);
  assert.equal(code, 0);
  assert.match(stdout, /^kept .*\/etc\/cellos-fleet\.env$/m);
  assert.equal(site.text("etc/cellos-fleet.env"), "CELLOS_FLEET_BUCKET=mine\n");
  assert.match(site.text(EXECUTABLE), /1\.3\.0/);
  const input = running.stdin.getWriter();
  await input.write(new TextEncoder().encode("and well\n"));
  await input.close();
  assert.equal(await new Response(running.stdout).text(), "old and well\n");
});

test("a checksum that differs installs nothing and keeps what was there", async (site) => {
  await site.install(["--version", "1.2.3"]);
  const before = site.text(EXECUTABLE);
  await site.publish("1.3.0");
  for (const target of TARGETS) {
    const archive = join(site.folder, `site/cellos-fleet-1.3.0-${target}.tar.gz`);
    Deno.writeFileSync(archive, Deno.readFileSync(archive).with(100, 0));
  }
  const { code, stderr } = await site.install(["--version", "1.3.0", "--unit"]);
  assert.equal(code, 1);
  assert.match(
    stderr,
    /^install\.sh: Checksum mismatch of cellos-fleet-1\.3\.0-.* nothing was installed$/m,
  );
  assert.deepEqual([site.installed(), site.text(EXECUTABLE)], [[EXECUTABLE], before]);
});

test("an archive that SHA256SUMS does not list is not installed", async (site) => {
  Deno.writeTextFileSync(join(site.folder, "site/SHA256SUMS"), `${"0".repeat(64)}  other.tar.gz\n`);
  assertRefused(site, await site.install(["--version", "1.2.3"]), /SHA256SUMS does not list/);
});

test("a release that is not there is not installed", async (site) => {
  assertRefused(site, await site.install(["--version", "9.9.9"]), /Could not download .*9\.9\.9/);
});

test("takes the archive of the host's architecture, and refuses others by name", async (site) => {
  for (const [machine, target] of [["arm64", "aarch64"], ["amd64", "x86_64"]]) {
    site.fake("uname", `case $1 in -s) echo Linux ;; -m) echo ${machine} ;; esac`);
    const { stdout } = await site.install(["--version", "1.2.3", "--dry-run"]);
    assert.match(stdout, new RegExp(`^verified cellos-fleet-1\\.2\\.3-${target}-`));
  }
  site.fake("uname", "case $1 in -s) echo Linux ;; -m) echo riscv64 ;; esac");
  const other = await site.install(["--version", "1.2.3"]);
  assertRefused(
    site,
    other,
    /No release for the architecture riscv64, only for x86_64 and aarch64/,
  );
  site.fake("uname", "case $1 in -s) echo Darwin ;; -m) echo arm64 ;; esac");
  assertRefused(site, await site.install(["--version", "1.2.3"]), /No release for Darwin/);
});

test("a dry run verifies, says what would be done, and does nothing", async (site) => {
  const { code, stdout } = await site.install(["--version", "1.2.3", "--unit", "--dry-run"]);
  assert.equal(code, 0);
  const paths = [EXECUTABLE, "etc/systemd/system/cellos-fleet.service", "etc/cellos-fleet.env"];
  const lines = paths.map((path) => `would install ${site.root}/${path}`);
  assert.deepEqual(stdout.trimEnd().split("\n").slice(1), lines);
  assert.deepEqual(site.installed(), []);
});

test("an executable that does not run here, or is of another version, is not installed", async (site) => {
  await site.publish("1.2.3", "exit 127");
  assertRefused(site, await site.install(["--version", "1.2.3"]), /does not run on this host/);
  await site.publish("1.2.3", "echo cellos-fleet 1.2.30");
  assertRefused(site, await site.install(["--version", "1.2.3"]), /is not of version 1\.2\.3/);
});

test("works with wget where there is no curl", async (site) => {
  const tools = join(site.folder, "tools");
  await Deno.mkdir(tools);
  const needed = "sh uname mktemp rm wget sha256sum tar gzip mkdir cp chmod mv echo";
  for (const name of needed.split(" ").filter(isInstalled)) {
    const { stdout } = await new Deno.Command("sh", { args: ["-c", `command -v ${name}`] })
      .output();
    const path = new TextDecoder().decode(stdout).trim();
    if (path.startsWith("/")) await Deno.symlink(path, join(tools, name));
  }
  const { code, stderr } = await site.install(["--version", "1.2.3"], { path: tools });
  assert.deepEqual([code, stderr], [0, ""]);
  assert.deepEqual(site.installed(), [EXECUTABLE]);
}, "wget");

test("a download of the script that was cut off does nothing", async (site) => {
  const whole = await Deno.readTextFile(SCRIPT);
  const script = join(site.folder, "cut.sh");
  const end = whole.trimEnd().length;
  const lastLine = whole.lastIndexOf("\n", end - 1);
  const lengths = [...whole.matchAll(/\n/g)].map(({ index }) => index).filter((_, n) =>
    n % 7 === 0
  );
  for (let length = lastLine; length < end; length++) lengths.push(length);
  for (const length of lengths) {
    await Deno.writeTextFile(script, whole.slice(0, length));
    await site.install(["--version", "1.2.3"], { script });
    assert.deepEqual(site.installed(), [], `after ${length} characters of ${end}`);
  }
  await Deno.writeTextFile(script, whole.slice(0, end));
  await site.install(["--version", "1.2.3"], { script });
  assert.deepEqual(site.installed(), [EXECUTABLE]);
});

test("a release's own installer knows its version and address", async (site) => {
  const script = join(site.folder, "stamped.sh");
  await Deno.writeTextFile(script, await installer("1.2.3", site.url));
  const command = new Deno.Command("sh", { args: [script, "--root", site.root], stdout: "null" });
  assert.equal((await command.output()).code, 0);
  assert.deepEqual(site.installed(), [EXECUTABLE]);
  await assert.rejects(installer("1.2.3'; id", undefined), /Cannot put version/);
});

test("wrong arguments are refused before anything is downloaded", async (site) => {
  for (
    const [args, message] of [
      [[], /Needs --from and --version/],
      [["--version"], /--version needs a value/],
      [["--version", "../1"], /Cannot use --version \.\.\/1/],
      [["--version", "1.2.3", "--bin-dir", "bin"], /must be an absolute path/],
      [["--version", "1.2.3", "--from", "http://example.org/"], /must be an https address/],
      [["--version", "1.2.3", "--force"], /Unknown option --force/],
    ] as const
  ) {
    assertRefused(site, await site.install(args), message);
  }
});
