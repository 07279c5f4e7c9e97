/** The executable on a host that has nothing of this project but that one file. */
import assert from "node:assert/strict";
import { basename } from "node:path";
import { VERSION } from "../../scripts/compile.ts";
import { startS3Server } from "../../scripts/s3_server.ts";
import { usage } from "../../lib/usage.ts";
import { CONFINEMENTS, executableTest, isPossible, type Place, UNCONFINED } from "./executable.ts";

/** Files that a run could have left where anybody may write, and beside the executable. */
function leftBehind(place: Place): string[] {
  return ["/tmp", "/var/tmp", "/dev/shm", place.folder, place.empty].flatMap((folder) =>
    [...Deno.readDirSync(folder)].map(({ name }) => `${folder}/${name}`)
  ).filter((path) => path.includes(basename(place.executable))).sort();
}

for (const confinement of CONFINEMENTS) {
  const possible = isPossible(confinement);

  executableTest(`--version and --help need nothing, ${confinement.name}`, async (place) => {
    const version = await place.run(["--version"], {}, confinement);
    assert.deepEqual([version.code, version.stderr], [0, ""]);
    const commit = String.raw`([0-9a-f]{7,64}(-dirty)?|unknown)`;
    const expected = `^cellos-fleet ${VERSION.replaceAll(".", "\\.")} \\(${commit}\\)\\n$`;
    assert.match(version.stdout, new RegExp(expected));
    const help = await place.run(["--help"], {}, confinement);
    assert.deepEqual(help, { code: 0, stdout: usage(), stderr: "" });
  }, possible);

  executableTest(
    `runs a spec with nothing but its variables, ${confinement.name}`,
    async (place) => {
      await using server = startS3Server();
      const bucket = server.bucket("fleet");
      const spec = new TextEncoder().encode('{"spec":{"of":"the executable"}}');
      bucket.put("fleet/pending/tried.json", spec);
      const before = leftBehind(place);
      const { code, stdout, stderr } = await place.run(["--once"], {
        CELLOS_FLEET_BUCKET: "fleet",
        CELLOS_FLEET_SUPERVISOR: "cat",
        AWS_ENDPOINT_URL_S3: server.endpoint,
        AWS_REGION: "us-east-1",
        AWS_ACCESS_KEY_ID: "any",
        AWS_SECRET_ACCESS_KEY: "any",
      }, confinement);
      assert.deepEqual([code, stderr], [0, ""], stdout);
      assert.deepEqual(bucket.get("fleet/completed/tried.json")?.body, spec);
      const lines = stdout.trimEnd().split("\n").map((line) => JSON.parse(line).fields);
      const printed = lines.filter(({ stream }) => stream === "stdout").map(({ message }) =>
        message
      );
      assert.deepEqual(printed, ['{"spec":{"of":"the executable"}}']);
      assert.equal(lines.at(-1).message, "cellos-fleet agent stopped (drain complete)");
      assert.deepEqual(leftBehind(place), before, "no file is left behind");
    },
    possible,
  );
}

executableTest("a missing setting ends it with code 78 and its name", async (place) => {
  const { code, stdout, stderr } = await place.run([], {}, UNCONFINED);
  assert.deepEqual([code, stdout], [78, ""]);
  assert.match(stderr, /^cellos-fleet: CELLOS_FLEET_BUCKET is not set/);
});
