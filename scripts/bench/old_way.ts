/**
 * The old way: what the old agent did for each spec, one AWS CLI command after the other. Its time
 * goes into starting the CLI, so a few specs tell its rate.
 */
import { BucketProcess } from "./bucket_process.ts";
import { plainEnvironment, s3Environment } from "./line_process.ts";

/** The version line of the AWS CLI; undefined where there is none. */
export async function awsCliVersion(): Promise<string | undefined> {
  try {
    const { success, stdout } = await new Deno.Command("aws", { args: ["--version"] }).output();
    return success ? new TextDecoder().decode(stdout).trim() : undefined;
  } catch {
    return undefined;
  }
}

/** Specs a second, one at a time. Throws when a command fails. */
export async function oldWayRate(specs: number): Promise<number> {
  await using bucket = await BucketProcess.start();
  await bucket.tell({ do: "seed", count: specs });
  const folder = await Deno.makeTempDir({ prefix: "cellos-fleet-bench-" });
  const env = { ...plainEnvironment(), ...s3Environment(bucket.endpoint) };
  const startedMs = performance.now();
  try {
    for (let done = 0; done < specs; done++) await oneSpec(env, `${folder}/spec.json`);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
  return specs / (performance.now() - startedMs) * 1_000;
}

async function oneSpec(env: Record<string, string>, file: string): Promise<void> {
  const root = "s3://fleet/fleet";
  const listing = await run(env, "aws", ["s3", "ls", `${root}/pending/`]);
  const name = listing.trim().split("\n")[0].split(/\s+/).at(-1)!;
  await run(env, "aws", ["s3", "mv", `${root}/pending/${name}`, `${root}/claimed/${name}`]);
  await run(env, "aws", ["s3", "cp", `${root}/claimed/${name}`, file]);
  await run(env, "true", [file]);
  await run(env, "aws", ["s3", "mv", `${root}/claimed/${name}`, `${root}/completed/${name}`]);
}

async function run(
  env: Record<string, string>,
  program: string,
  args: readonly string[],
): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(program, {
    args: [...args],
    clearEnv: true,
    env,
  }).output();
  if (success) return new TextDecoder().decode(stdout);
  throw new Error(`${program} ${args.join(" ")} failed: ${new TextDecoder().decode(stderr)}`);
}
