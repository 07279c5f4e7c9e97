/** Row 7: from exec to the first S3 request, and memory at rest, against a Deno that does nothing. */
import { AgentProcess, memoryOf } from "../agent_process.ts";
import { BucketProcess } from "../bucket_process.ts";
import type { Figure } from "../figures.ts";
import { pause, plainEnvironment, until } from "../line_process.ts";
import type { Setting } from "../setting.ts";
import { pairedRatios, summary } from "../statistics.ts";

export async function startRow(setting: Setting): Promise<Figure[]> {
  const starts: number[] = [];
  const restMb: number[] = [];
  const bareStarts: number[] = [];
  const bareMb: number[] = [];
  const restMs = setting.quick ? 1_000 : 5_000;
  for (let round = 1; round <= setting.rounds; round++) {
    setting.progress(`start, round ${round} of ${setting.rounds}`);
    const agent = await agentStart(setting, restMs);
    starts.push(agent.startMs);
    restMb.push(agent.residentMb);
    bareStarts.push(await bareStartMs());
    bareMb.push(await bareResidentMb());
  }
  const name = "a Deno that does nothing";
  return [
    {
      row: 7,
      name: "exec to the first S3 request",
      unit: "ms",
      value: summary(starts),
      against: {
        name,
        value: summary(bareStarts),
        ratio: summary(pairedRatios(starts, bareStarts)),
      },
    },
    {
      row: 7,
      name: "memory at rest",
      unit: "MB",
      value: summary(restMb),
      against: { name, value: summary(bareMb), ratio: summary(pairedRatios(restMb, bareMb)) },
    },
  ];
}

async function agentStart(
  setting: Setting,
  restMs: number,
): Promise<{ startMs: number; residentMb: number }> {
  await using bucket = await BucketProcess.start();
  await using agent = new AgentProcess({ program: setting.program, endpoint: bucket.endpoint });
  let firstRequestMs: number | undefined;
  await until("the first request", 60_000, async () => {
    firstRequestMs = (await bucket.report()).firstRequestMs;
    return firstRequestMs !== undefined;
  });
  await pause(restMs);
  const { residentMb } = await agent.memory();
  return { startMs: firstRequestMs! - agent.startedMs, residentMb };
}

/** From exec to exit. */
async function bareStartMs(): Promise<number> {
  const startedMs = performance.now();
  await bare("").output();
  return performance.now() - startedMs;
}

async function bareResidentMb(): Promise<number> {
  const child = bare("setInterval(() => {}, 60_000); console.log()").spawn();
  const reader = child.stdout.getReader();
  await reader.read();
  const { residentMb } = await memoryOf(child.pid);
  child.kill("SIGKILL");
  await reader.cancel();
  await child.status;
  return residentMb;
}

function bare(code: string): Deno.Command {
  return new Deno.Command(Deno.execPath(), {
    args: ["eval", "--no-config", code],
    clearEnv: true,
    env: plainEnvironment(),
    stdin: "null",
    stdout: "piped",
    stderr: "null",
  });
}
