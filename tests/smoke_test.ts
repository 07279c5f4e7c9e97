/** The program as it is started: what works without a bucket, and what it says of a wrong start. */
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import deno from "../deno.json" with { type: "json" };
import { PERMISSIONS, V8_FLAGS } from "../scripts/compile.ts";
import { programCommand } from "./process/fleet_agent.ts";
import { usage, USAGE_HINT } from "../lib/usage.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));

interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the program to its end, in an environment without settings but the given ones. */
async function run(args: string[], settings: Record<string, string> = {}): Promise<Ended> {
  const inherited = Object.entries(Deno.env.toObject())
    .filter(([name]) => !/^(CELLOS_FLEET_|AWS_|RUST_LOG$)/.test(name));
  const [program, ...itsArgs] = programCommand();
  const output = await new Deno.Command(program, {
    args: [...itsArgs, ...args],
    cwd: ROOT,
    clearEnv: true,
    env: { ...Object.fromEntries(inherited), ...settings },
    stdin: "null",
  }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code: output.code, stdout: text(output.stdout), stderr: text(output.stderr) };
}

Deno.test("--help prints the commands and variables, without any configuration", async () => {
  assert.deepEqual(await run(["--help"]), { code: 0, stdout: usage(), stderr: "" });
});

Deno.test("from source the agent has the permissions and the bounds of the executable", () => {
  const words = deno.tasks.agent.command.split(" ");
  // Of imports there is nothing to deny where the source is run with `--frozen`.
  const permissions = PERMISSIONS.filter((flag) => flag !== "--deny-import");
  assert.deepEqual(
    words.toSorted(),
    ["deno", "run", "--frozen", V8_FLAGS, ...permissions, "main.ts"].sort(),
  );
});

Deno.test("--version and -V print the version and the commit, without any configuration", async () => {
  for (const flag of ["--version", "-V"]) {
    const { code, stdout, stderr } = await run([flag]);
    assert.deepEqual([code, stderr], [0, ""]);
    const commit = String.raw`([0-9a-f]{7,40}(-dirty)?|unknown)`;
    const version = deno.version.replaceAll(".", "\\.");
    assert.match(stdout, new RegExp(`^cellos-fleet ${version} \\(${commit}\\)\\n$`));
  }
});

Deno.test("a wrong command line ends with code 64, one line what is wrong, one how to get help", async () => {
  for (
    const [args, message] of [
      [["agnet"], 'Unknown command "agnet"; did you mean agent?'],
      [["--onec"], "Unknown option '--onec'"],
    ] as const
  ) {
    const stderr = `cellos-fleet: ${message}\ncellos-fleet: ${USAGE_HINT}\n`;
    assert.deepEqual(await run([...args]), { code: 64, stdout: "", stderr });
  }
});

Deno.test("a wrong configuration ends with code 78 and every problem", async () => {
  const { code, stdout, stderr } = await run([], {
    CELLOS_FLEET_POLL_INTERVAL_MS: "5s",
    CELLOS_FLEET_FENCE: "loose",
    CELLOS_FLEET_BUKCET: "mine",
  });
  assert.deepEqual([code, stdout], [78, ""]);
  assert.deepEqual(stderr.trimEnd().split("\n"), [
    "cellos-fleet: Warning: CELLOS_FLEET_BUKCET is not a variable of this program and is ignored; " +
    "did you mean CELLOS_FLEET_BUCKET?",
    "cellos-fleet: CELLOS_FLEET_BUCKET is not set: it must be a bucket name of 3 to 255 letters, " +
    "digits, dots, hyphens and underscores",
    'cellos-fleet: CELLOS_FLEET_POLL_INTERVAL_MS is "5s": it must be a whole number from 100 to ' +
    "3600000, in decimal digits only",
    'cellos-fleet: CELLOS_FLEET_FENCE is "loose": it must be strict or confirmed',
  ]);
});

Deno.test("an unknown variable is a warning in the log, and the agent goes on", async () => {
  const { code, stdout } = await run([], {
    CELLOS_FLEET_BUCKET: "no-such-bucket",
    CELLOS_FLEET_NODE_ID: "n1",
    CELLOS_FLEET_PREFX: "x",
    AWS_EC2_METADATA_DISABLED: "true",
    AWS_REGION: "us-east-1",
  });
  // Without credentials it gets as far as its first request, and no further.
  assert.equal(code, 69);
  const lines = stdout.trimEnd().split("\n").map((line) => JSON.parse(line));
  const [first, last] = [lines[0], lines[lines.length - 1]];
  assert.deepEqual([first.level, first.fields], ["WARN", {
    message: "CELLOS_FLEET_PREFX is not a variable of this program and is ignored; did you mean " +
      "CELLOS_FLEET_PREFIX?",
    node: "n1",
  }]);
  assert.equal(last.level, "ERROR");
  assert.match(last.fields.message, /no credentials/);
});
