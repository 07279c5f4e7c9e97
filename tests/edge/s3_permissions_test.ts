/** The S3 store needs network, environment and nothing else, whatever is in a home directory. */
import assert from "node:assert/strict";
import { startS3Server } from "../../scripts/s3_server.ts";
import { rawServer } from "./scripted_s3.ts";

const PROGRAM = new URL("./s3_store_program.ts", import.meta.url).pathname;
const CONFIG = new URL("../../deno.json", import.meta.url).pathname;

interface Outcome {
  readonly outcomes?: readonly string[];
  readonly keys?: readonly string[];
  readonly error?: string;
}

/** Runs the program with the permissions of the real one, and with no environment but the one given. */
async function run(environment: Record<string, string>): Promise<Outcome> {
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "--frozen",
      "--quiet",
      "--no-prompt",
      "--allow-net",
      "--allow-env",
      "--allow-run",
      `--config=${CONFIG}`,
      PROGRAM,
    ],
    clearEnv: true,
    env: { DENO_DIR: await denoDirectory(), ...environment },
  });
  const { code, stdout, stderr } = await child.output();
  const [shown, complaints] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
  assert.equal(code, 0, complaints);
  assert.equal(complaints, "");
  return JSON.parse(shown);
}

/** Where the packages are; without `HOME`, Deno would look elsewhere. */
async function denoDirectory(): Promise<string> {
  const { stdout } = await new Deno.Command(Deno.execPath(), { args: ["info", "--json"] }).output();
  return JSON.parse(new TextDecoder().decode(stdout)).denoDir;
}

const KEYS = { AWS_ACCESS_KEY_ID: "test", AWS_SECRET_ACCESS_KEY: "test-secret" };
const SUCCESS: Outcome = {
  outcomes: ["stored", "refused", "found", "too-large", "stored", "deleted"],
  keys: ["a/ü b.json"],
};

Deno.test("three permissions are enough without a home directory, as under systemd", async () => {
  await using server = startS3Server({ buckets: ["jobs"] });
  assert.deepEqual(await run({ ...KEYS, AWS_ENDPOINT_URL: server.endpoint }), SUCCESS);
});

Deno.test("files of the AWS tools in the home directory are not looked for", async () => {
  await using server = startS3Server({ buckets: ["jobs"] });
  const home = await Deno.makeTempDir();
  try {
    await Deno.mkdir(`${home}/.aws`);
    await Deno.writeTextFile(`${home}/.aws/config`, "[default]\nregion = nowhere-1\n");
    await Deno.writeTextFile(`${home}/.aws/credentials`, "[default]\naws_access_key_id = x\n");
    const environment = { ...KEYS, HOME: home, AWS_ENDPOINT_URL_S3: server.endpoint };
    assert.deepEqual(await run(environment), SUCCESS);
  } finally {
    await Deno.remove(home, { recursive: true });
  }
});

Deno.test("without credentials the program says so, and nothing of permissions", async () => {
  await using server = startS3Server({ buckets: ["jobs"] });
  await using metadata = rawServer("");
  const { error } = await run({
    AWS_ENDPOINT_URL: server.endpoint,
    AWS_EC2_METADATA_SERVICE_ENDPOINT: `http://127.0.0.1:${metadata.port}`,
  });
  assert.match(
    error ?? "",
    /^StoreError: Cannot create "a\/ü b\.json" in bucket "jobs": no credent/,
  );
  assert.doesNotMatch(error ?? "", /NotCapable|--allow/);
});
