import assert from "node:assert/strict";
import process from "node:process";
import { startGuard } from "../../lib/edge/guard.ts";
import { CellsAgentProcess } from "./cells_agent_process.ts";
import { guardsOf, isRunning, until } from "./process_table.ts";

/** Prints its number and that of a child, and then waits for ever. */
const TWO_PROCESSES = "sleep 1000 & echo pid $!; echo pid $$; wait";
/** The same, deaf to SIGTERM, as is its child. */
const DEAF_PROCESSES = `trap '' TERM; ${TWO_PROCESSES}`;

async function untilEnded(pids: readonly number[]): Promise<void> {
  for (const pid of pids) {
    await until(`process ${pid} has ended`, async () => !await isRunning(pid));
  }
}

const HUP = 1, INT = 2, QUIT = 3, TERM = 15;

/** One column of `ps` for one process; empty when there is none. */
function inspectSync(pid: number, column: "stat" | "ignored"): string {
  const args = ["-o", `${column}=`, "-p", String(pid)];
  return new TextDecoder().decode(new Deno.Command("ps", { args }).outputSync().stdout).trim();
}

function ignores(pid: number, ...signals: number[]): boolean {
  const mask = parseInt(inspectSync(pid, "ignored"), 16);
  return signals.every((signal) => (mask >> (signal - 1) & 1) === 1);
}

/** A process that leads a group of its own and never ends by itself. */
function startSleeper(prefix = ""): Deno.ChildProcess {
  return new Deno.Command("sh", {
    args: ["-c", `${prefix} exec sleep 1000`],
    detached: true,
    stdin: "null",
  }).spawn();
}

/** Ends what a failed test may have left. */
function endGroups(pids: readonly number[]): void {
  for (const pid of pids) {
    try {
      process.kill(-pid, "SIGKILL");
    } catch {
      // Not a group, or gone.
    }
  }
}

Deno.test("killing the agent with SIGKILL ends its cells by SIGTERM, well within the grace", async () => {
  await using agent = new CellsAgentProcess({
    scripts: [TWO_PROCESSES, TWO_PROCESSES, TWO_PROCESSES],
    killGraceMs: 600_000,
  });
  const pids = await agent.untilPids(6);
  try {
    for (const pid of pids) assert.equal(await isRunning(pid), true);
    agent.child.kill("SIGKILL");
    await untilEnded(pids);
  } finally {
    endGroups(pids);
  }
});

Deno.test("a cell deaf to SIGTERM is ended by SIGKILL after the grace when the agent dies", async () => {
  await using agent = new CellsAgentProcess({ scripts: [DEAF_PROCESSES], killGraceMs: 1000 });
  const pids = await agent.untilPids(2);
  const [guard] = await guardsOf(agent.child.pid);
  try {
    const killedAtMs = performance.now();
    agent.child.kill("SIGKILL");
    await untilEnded(pids);
    const tookMs = performance.now() - killedAtMs;
    assert.ok(tookMs >= 900, `the cell was ended after ${tookMs} ms, before the grace was over`);
    await untilEnded([guard.pid]);
  } finally {
    endGroups(pids);
  }
});

Deno.test("the guard outlives a Ctrl-C and a SIGTERM that strike it together with the agent", async () => {
  await using agent = new CellsAgentProcess({ scripts: [TWO_PROCESSES], killGraceMs: 10_000 });
  const pids = await agent.untilPids(2);
  const [guard] = await guardsOf(agent.child.pid);
  try {
    assert.equal(guard.session, guard.pid, "the guard has no session of its own");
    assert.equal(guard.group, guard.pid);
    await until("the guard is deaf to signals", () => ignores(guard.pid, HUP, INT, QUIT, TERM));
    for (const name of ["SIGHUP", "SIGINT", "SIGQUIT", "SIGTERM"] as const) {
      Deno.kill(guard.pid, name);
    }
    agent.child.kill("SIGTERM");
    await untilEnded([...pids, guard.pid]);
    assert.deepEqual(agent.events.filter((event) => event.guardLost !== undefined), []);
  } finally {
    endGroups(pids);
  }
});

Deno.test("a guard that is killed is reported and replaced, and the new one knows the cells", async () => {
  await using agent = new CellsAgentProcess({ scripts: [DEAF_PROCESSES], killGraceMs: 400 });
  const pids = await agent.untilPids(2);
  const [guard] = await guardsOf(agent.child.pid);
  try {
    Deno.kill(guard.pid, "SIGKILL");
    await until("the loss is reported", () => agent.events.some((event) => event.guardLost));
    await until("there is another guard", async () => {
      const guards = await guardsOf(agent.child.pid);
      return guards.length === 1 && guards[0].pid !== guard.pid;
    });
    const lost = agent.events.filter((event) => event.guardLost !== undefined);
    assert.deepEqual(lost, [{ guardLost: "The guard process ended by SIGKILL" }]);
    for (const pid of pids) assert.equal(await isRunning(pid), true);
    agent.child.kill("SIGKILL");
    await untilEnded(pids);
  } finally {
    endGroups(pids);
  }
});

Deno.test("an agent that ends in order takes its guard along at once", async () => {
  const script = "trap 'exit 3' USR1; echo pid $$; while :; do sleep 0.1; done";
  await using agent = new CellsAgentProcess({ scripts: [script], killGraceMs: 600_000 });
  const [cell] = await agent.untilPids(1);
  try {
    const [guard] = await guardsOf(agent.child.pid);
    Deno.kill(cell, "SIGUSR1");
    assert.equal((await agent.ended()).code, 0);
    assert.equal(await isRunning(guard.pid), false);
    assert.deepEqual(agent.events.map(({ exit }) => exit?.exitCode).filter(Number.isInteger), [3]);
  } finally {
    endGroups([cell]);
  }
});

Deno.test("a cell started just after the guard was killed is guarded by the next one", async () => {
  const before = new Set((await guardsOf(Deno.pid)).map(({ pid }) => pid));
  const newGuards = async () => (await guardsOf(Deno.pid)).filter(({ pid }) => !before.has(pid));
  const losses: string[] = [];
  const guard = await startGuard({ killGraceMs: 600_000, onLost: (cause) => losses.push(cause) });
  const sleeper = startSleeper();
  try {
    const [{ pid }] = await newGuards();
    Deno.kill(pid, "SIGKILL");
    // Without giving up this thread, so that the loss is not noticed before the cell is added.
    while (/^[^Z]/.test(inspectSync(pid, "stat"))) continue;
    await guard.add(sleeper.pid);
    await until("the loss is reported", () => losses.length > 0);
    assert.equal((await newGuards()).length, 1);
    await guard[Symbol.asyncDispose]();
    assert.equal((await sleeper.status).signal, "SIGTERM");
    assert.equal(losses.length, 1);
  } finally {
    endGroups([sleeper.pid]);
    await sleeper.status;
  }
});

Deno.test("a cell that was being stopped when the agent died gets no second grace", async () => {
  const guard = await startGuard({ killGraceMs: 600_000, onLost: assert.fail });
  const [stopping, done] = [startSleeper("trap '' TERM;"), startSleeper()];
  try {
    await until("the cell is deaf", () => ignores(stopping.pid, TERM));
    for (const { pid } of [stopping, done]) await guard.add(pid);
    for (const { pid } of [stopping, done]) guard.stopping(pid);
    guard.remove(done.pid);
    await guard[Symbol.asyncDispose]();
    assert.equal((await stopping.status).signal, "SIGKILL");
    assert.equal(await isRunning(done.pid), true);
  } finally {
    endGroups([stopping.pid, done.pid]);
    await Promise.all([stopping.status, done.status]);
  }
});

for (const shell of ["sh", "dash", "bash", "busybox"]) {
  Deno.test({
    name: `the guard as run by ${shell} ends the groups it knows, and spares one it was to forget`,
    ignore: !new Deno.Command("which", { args: [shell], stdout: "null" }).outputSync().success,
    async fn() {
      const folder = await Deno.makeTempDir();
      const path = Deno.env.get("PATH") ?? "";
      const which = await new Deno.Command("which", { args: [shell] }).output();
      await Deno.symlink(new TextDecoder().decode(which.stdout).trim(), `${folder}/sh`);
      Deno.env.set("PATH", `${folder}:${path}`);
      const [first, spared, deaf] = [startSleeper(), startSleeper(), startSleeper("trap '' TERM;")];
      try {
        await until("the deaf process is deaf", () => ignores(deaf.pid, TERM));
        const guard = await startGuard({ killGraceMs: 400, onLost: assert.fail });
        for (const { pid } of [first, spared, deaf, spared]) await guard.add(pid);
        guard.remove(spared.pid);
        await guard[Symbol.asyncDispose]();
        assert.equal((await first.status).signal, "SIGTERM");
        assert.equal((await deaf.status).signal, "SIGKILL");
        assert.equal(await isRunning(spared.pid), true);
      } finally {
        Deno.env.set("PATH", path);
        endGroups([first.pid, spared.pid, deaf.pid]);
        await Promise.all([first.status, spared.status, deaf.status]);
        await Deno.remove(folder, { recursive: true });
      }
    },
  });
}

Deno.test("a host without sh is told so at start", async () => {
  const path = Deno.env.get("PATH");
  Deno.env.set("PATH", "/nonexistent");
  try {
    await assert.rejects(
      startGuard({ killGraceMs: 1000, onLost: assert.fail }),
      /^Error: Could not start the guard process, which ends the cells if the agent dies: .*'sh'/,
    );
  } finally {
    if (path !== undefined) Deno.env.set("PATH", path);
  }
});
