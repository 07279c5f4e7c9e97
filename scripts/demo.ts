/**
 * Two agents work through a queue on this machine, and one of them is killed with SIGKILL while its
 * cell runs. Prints what happens as it happens, then what the bucket holds, then whether each spec
 * ended where it should. Needs nothing but Deno and a POSIX shell; everything stays on loopback.
 *
 * Exit codes: 0 when everything ended as it should, 1 when not, 130 when interrupted.
 */
import {
  type AgentLine,
  AgentProcess,
  fetchDependencies,
  LEASE_TTL_MS,
} from "./demo/agent_process.ts";
import { DemoBucket } from "./demo/demo_bucket.ts";
import { INTERRUPTED_ID, POOL, PREFIX, SPECS } from "./demo/specs.ts";
import { Timeline } from "./demo/timeline.ts";
import { bucketTable, type Check, judgeBucket } from "./demo/verdict.ts";

/** How long the whole may take before it counts as failed. It takes a third of it at most. */
const DEADLINE_MS = 60_000;

interface Seen {
  readonly agent: AgentProcess;
  readonly line: AgentLine;
}

class Interrupted extends Error {}

/** What the demo has seen so far, and waiting for more of it. */
class Stage {
  readonly seen: Seen[] = [];
  readonly #deadlineMs = performance.now() + DEADLINE_MS;
  readonly #stop: AbortSignal;
  #fault: string | undefined;

  constructor(stop: AbortSignal) {
    this.#stop = stop;
  }

  /** Something went wrong: there is nothing left to wait for. */
  fail(fault: string): void {
    this.#fault ??= fault;
  }

  /** The first line of a spec's cell that has the message, or a message that starts so. */
  find(specId: string, start: string, attempt?: number): Seen | undefined {
    return this.seen.find(({ line: { fields } }) =>
      fields.spec_id === specId && fields.message.startsWith(start) &&
      (attempt === undefined || fields.attempt === attempt)
    );
  }

  /**
   * Resolves with the condition's value once it has one; rejects when that takes too long or
   * something went wrong, and with `Interrupted` when the demo is to stop.
   */
  async until<Value>(what: string, condition: () => Value | undefined | false): Promise<Value> {
    for (;;) {
      const value = condition();
      if (value !== undefined && value !== false) return value;
      if (this.#stop.aborted) throw new Interrupted();
      if (this.#fault !== undefined) throw new Error(this.#fault);
      if (performance.now() > this.#deadlineMs) throw new Error(`Waited in vain until ${what}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}

/** Runs all acts; returns what has to hold besides the state of the bucket. */
async function perform(stage: Stage, timeline: Timeline, bucket: DemoBucket): Promise<Check[]> {
  const endpoint = await bucket.endpoint;
  timeline.start();
  timeline.note(`a bucket in memory at ${endpoint}; ${SPECS.length} specs are submitted`);
  for (const { id, body, about } of SPECS) {
    await bucket.create(`${PREFIX}/pending/${id}.json`, body);
    timeline.note(`  ${id.padEnd(20)}  ${about}`);
  }
  timeline.note(`two agents start, both of pool ${POOL}, with a lease of ${LEASE_TTL_MS / 1000} s`);
  const start = (node: string) => {
    const agent: AgentProcess = new AgentProcess({
      node,
      endpoint,
      onLine: (line) => {
        stage.seen.push({ agent, line });
        timeline.agent(node, line);
      },
      onText: (text) => timeline.text(node, text),
      onUnexpectedEnd: (code) => stage.fail(`${node} ended by itself with exit code ${code}`),
    });
    return agent;
  };
  await using first = start("node-a");
  await using second = start("node-b");

  const { agent: victim, line } = await stage.until(
    `${INTERRUPTED_ID} runs`,
    () => stage.find(INTERRUPTED_ID, `${INTERRUPTED_ID}: working`),
  );
  const survivor = victim === first ? second : first;
  const cellProcess = Number(/process (\d+)/.exec(line.fields.message)?.[1]);
  victim.signal("SIGKILL");
  timeline.note(`kill -9 ${victim.node} while it runs ${INTERRUPTED_ID}`);
  await victim.ended;
  await stage.until("the killed agent's cell has ended", () => !isRunning(cellProcess));
  timeline.note(`the guard that ${victim.node} left behind has ended its cell`);
  const restartedTooEarly = stage.find(INTERRUPTED_ID, "running cell", 2) !== undefined;

  await stage.until("every spec is where it belongs", () => isSettled(bucket));
  timeline.note(`all specs are filed; SIGTERM to ${survivor.node}`);
  survivor.signal("SIGTERM");
  const { code } = await survivor.ended;
  timeline.note(`${survivor.node} has ended with exit code ${code}`);
  return [
    {
      name: `the cell of ${victim.node} had ended before ${INTERRUPTED_ID} was started again`,
      failure: restartedTooEarly ? "it had not" : undefined,
    },
    {
      name: `${survivor.node} drained and ended with exit code 0`,
      failure: code === 0 ? undefined : `it ended with ${code}`,
    },
  ];
}

function isSettled(bucket: DemoBucket): boolean {
  const claims = [...bucket.keys].some((key) => key.startsWith(`${PREFIX}/claimed/`));
  return !claims &&
    SPECS.every(({ id, end }) => bucket.keys.has(`${PREFIX}/${end.folder}/${id}.json`));
}

/** Whether a process lives; one that has ended and waits for its parent's attention does not. */
function isRunning(pid: number): boolean {
  const state = Deno.build.os === "linux" ? stateOnLinux(pid) : stateByPs(pid);
  return state !== "" && !state.startsWith("Z");
}

/** Not by `ps`, which small images of Linux do not have. */
function stateOnLinux(pid: number): string {
  try {
    return /\) (\S)/.exec(Deno.readTextFileSync(`/proc/${pid}/stat`))?.[1] ?? "";
  } catch {
    return "";
  }
}

function stateByPs(pid: number): string {
  const args = ["-o", "stat=", "-p", String(pid)];
  return new TextDecoder().decode(new Deno.Command("ps", { args }).outputSync().stdout).trim();
}

/** Prints the checks; true when all of them hold. */
function report(timeline: Timeline, checks: readonly Check[]): boolean {
  for (const { name, failure } of checks) {
    console.log(
      failure === undefined
        ? `${timeline.styled("ok    ", "green")} ${name}`
        : `${timeline.styled("FAILED", "red")} ${name}: ${failure}`,
    );
  }
  const failed = checks.filter(({ failure }) => failure !== undefined).length;
  const seconds = timeline.elapsedSeconds.toFixed(1);
  console.log(
    failed === 0
      ? `\nEverything ended where it should, after ${seconds} s`
      : `\n${failed} of ${checks.length} checks failed, after ${seconds} s`,
  );
  return failed === 0;
}

async function main(): Promise<number> {
  const stop = new AbortController();
  for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    Deno.addSignalListener(name, () => stop.abort());
  }
  const color = Deno.stdout.isTerminal() && !Deno.env.get("NO_COLOR");
  const timeline = new Timeline(color);
  const stage = new Stage(stop.signal);
  try {
    await fetchDependencies();
    using bucket = new DemoBucket((change) => timeline.bucket(change));
    let checks: Check[];
    try {
      checks = await perform(stage, timeline, bucket);
    } catch (error) {
      if (stop.signal.aborted) throw error;
      checks = [{ name: "the demo ran to its end", failure: messageOf(error) }];
    }
    const objects = await bucket.objects();
    console.log(`\n${bucketTable(objects)}\n`);
    return report(timeline, [...judgeBucket(objects, SPECS), ...checks]) ? 0 : 1;
  } catch (error) {
    if (!(error instanceof Interrupted)) throw error;
    console.error("Interrupted; everything that was started has been ended");
    return 130;
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

if (import.meta.main) Deno.exit(await main());
