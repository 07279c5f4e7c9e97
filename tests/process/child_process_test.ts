import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { type CellLine, type CellsOptions, createCells } from "../../lib/edge/child_process.ts";
import { SupervisorError } from "../../lib/core/supervisor_error.ts";
import type { CellExit, CellRequest, RunningCell } from "../../lib/ports.ts";
import { CellsAgentProcess } from "./cells_agent_process.ts";
import { isRunning, processTable, until } from "./process_table.ts";

/** Longer than any test takes: what waits for it in vain shows itself by hanging. */
const VERY_LONG_MS = 600_000;

const bytes = (text: string) => new TextEncoder().encode(text);
const text = (tail: Uint8Array) => new TextDecoder().decode(tail);

const request = (spec: string | Uint8Array = "{}"): CellRequest => ({
  specId: "folder/spec one",
  attempt: 2,
  claim: "claim-1",
  spec: typeof spec === "string" ? bytes(spec) : spec,
});

interface Run {
  readonly exit: CellExit;
  readonly lines: readonly CellLine[];
}

/** Settings for a supervisor that is a shell script, in which nothing unexpected happens. */
function settingsFor(script: string): CellsOptions {
  return {
    supervisor: "sh",
    supervisorArgs: ["-c", script, "supervisor", "/dev/stdin"],
    nodeId: "node-1",
    output: "log",
    killGraceMs: 200,
    drainMs: VERY_LONG_MS,
    onLine: (line) => assert.fail(`Unexpected output: ${line.text}`),
    onGuardLost: (cause) => assert.fail(cause),
  };
}

/** Runs one cell whose supervisor is a shell script; `during` gets it while it runs. */
async function run(
  script: string,
  settings: Partial<CellsOptions> & {
    spec?: string | Uint8Array;
    during?: (cell: RunningCell, lines: readonly CellLine[]) => Promise<void>;
  } = {},
): Promise<Run> {
  const lines: CellLine[] = [];
  await using cells = await createCells({
    ...settingsFor(script),
    onLine: (line) => lines.push(line),
    ...settings,
  });
  const cell = await cells.start(request(settings.spec));
  await settings.during?.(cell, lines);
  return { exit: await cell.exited, lines };
}

/** The number in the line `<name> <number>`, once that has been printed. */
async function printed(name: string, lines: readonly CellLine[]): Promise<number> {
  const find = () => lines.find((line) => line.text.startsWith(`${name} `));
  await until(`the cell has printed its ${name}`, () => find() !== undefined);
  return Number(find()?.text.slice(name.length + 1));
}

Deno.test("a supervisor's exit code is the cell's", async () => {
  for (const exitCode of [0, 3, 255]) {
    const { exit } = await run(`exit ${exitCode}`);
    assert.deepEqual([exit.exitCode, exit.signal], [exitCode, undefined]);
  }
});

Deno.test("a supervisor that a signal ended has the signal's name and no exit code", async () => {
  for (const name of ["KILL", "SEGV", "USR1"]) {
    const { exit } = await run(`kill -${name} $$; sleep 1000`);
    assert.deepEqual([exit.exitCode, exit.signal], [undefined, `SIG${name}`]);
  }
});

Deno.test({
  name: "a supervisor that a real-time signal ended has the signal's number",
  // The runtime does not know these, and before Deno 2.9 keeps a small record of such a child.
  sanitizeResources: false,
  async fn() {
    const { exit } = await run("kill -34 $$; sleep 1000");
    assert.deepEqual([exit.exitCode, exit.signal], [undefined, "SIG34"]);
  },
});

Deno.test("the spec arrives whole by /dev/stdin and by standard input, and then ends", async () => {
  const spec = new Uint8Array(3_000_001);
  for (let index = 0; index < spec.length; index++) spec[index] = index * 7 % 251;
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", spec)).toHex();
  for (const source of ['sha256sum < "$1"', "sha256sum"]) {
    const { lines } = await run(source, { spec });
    assert.deepEqual(lines.map((line) => line.text), [`${digest}  -`]);
  }
  const empty = await run('wc -c < "$1"', { spec: "" });
  assert.deepEqual(empty.lines.map((line) => line.text.trim()), ["0"]);
});

Deno.test("a supervisor that does not read its spec runs to its end all the same", async () => {
  const spec = new Uint8Array(3_000_000);
  for (const script of ["exit 4", "exec <&-; sleep 0.2; exit 4", "head -c 10 >&2; exit 4"]) {
    const { exit } = await run(script, { spec });
    assert.equal(exit.exitCode, 4, script);
  }
});

Deno.test("a cell sees the agent's environment, its spec, node, attempt and claim", async () => {
  const { lines } = await run(
    'printf "%s\\n" "$CELLOS_FLEET_SPEC_ID" "$CELLOS_FLEET_NODE_ID" "$CELLOS_FLEET_ATTEMPT" ' +
      '"$CELLOS_FLEET_CLAIM" "$PATH" "$PWD"',
  );
  assert.deepEqual(
    lines.map((line) => line.text),
    ["folder/spec one", "node-1", "2", "claim-1", Deno.env.get("PATH"), Deno.cwd()],
  );
});

Deno.test("a spec id with a NUL, which no environment can hold, is run", async () => {
  const script = 'test "$CELLOS_FLEET_SPEC_ID" = "a\ufffdb"';
  await using cells = await createCells(settingsFor(script));
  const cell = await cells.start({ ...request(), specId: "a\0b" });
  assert.equal((await cell.exited).exitCode, 0);
});

Deno.test("each line is handed on with its stream, and both streams' last bytes are kept", async () => {
  const script = "printf 'one\\r\\ntwo\\n'; printf 'gr\\303\\274n\\377' >&2";
  const { exit, lines } = await run(script, { tailBytes: 6 });
  const specId = "folder/spec one";
  assert.deepEqual(lines.filter((line) => line.stream === "stdout"), [
    { specId, stream: "stdout", text: "one", truncated: false },
    { specId, stream: "stdout", text: "two", truncated: false },
  ]);
  assert.deepEqual(lines.filter((line) => line.stream === "stderr"), [
    { specId, stream: "stderr", text: "grün\ufffd", truncated: false },
  ]);
  assert.deepEqual([exit.stdoutBytes, exit.stderrBytes], [9, 6]);
  assert.equal(text(exit.stdoutTail), "\r\ntwo\n");
  assert.deepEqual([...exit.stderrTail], [0x67, 0x72, 0xc3, 0xbc, 0x6e, 0xff]);
});

Deno.test("discarded output is not kept and does not hold up the supervisor", async () => {
  const { exit, lines } = await run("head -c 1000000 /dev/zero; exit 5", { output: "discard" });
  assert.deepEqual(lines, []);
  assert.deepEqual(exit, {
    exitCode: 5,
    stdoutBytes: 0,
    stderrBytes: 0,
    stdoutTail: new Uint8Array(0),
    stderrTail: new Uint8Array(0),
  });
});

Deno.test("inherited output goes where the agent's goes", async () => {
  const module = new URL("../../lib/edge/child_process.ts", import.meta.url).href;
  const program = `
    const { createCells } = await import(${JSON.stringify(module)});
    await using cells = await createCells({
      supervisor: "sh", supervisorArgs: ["-c", "echo out; echo error >&2"], nodeId: "n",
      output: "inherit", killGraceMs: 200, onLine() {}, onGuardLost() {},
    });
    const cell = await cells.start({
      specId: "s", attempt: 1, claim: "c", spec: new Uint8Array(0),
    });
    console.log((await cell.exited).stdoutBytes);`;
  const output = await new Deno.Command(Deno.execPath(), {
    args: ["eval", "--cached-only", program],
    cwd: fileURLToPath(new URL("../..", import.meta.url)),
  }).output();
  assert.equal(text(output.stdout), "out\n0\n");
  assert.match(text(output.stderr), /^error$/m);
});

Deno.test("a supervisor that cannot be started is named with the cause, and leaves nothing", async () => {
  const folder = await Deno.makeTempDir();
  const file = async (name: string, content: string, mode: number) => {
    await Deno.writeTextFile(`${folder}/${name}`, content, { mode });
    return `${folder}/${name}`;
  };
  const table: [supervisor: string, started: RegExp, checked: RegExp][] = [
    [`${folder}/none`, /No such file/, /^SupervisorError: Could not find the supervisor \S+none$/],
    ["no-such-supervisor", /not found/, /^SupervisorError: Could not find .* in PATH$/],
    [await file("plain", "#!/bin/sh\n", 0o644), /Permission denied/, /plain is not an executable/],
    [folder, /Permission denied/, /is not an executable file$/],
  ];
  try {
    for (const [supervisor, started, checked] of table) {
      await assert.rejects(run("", { supervisor }), (error) => {
        assert.ok(error instanceof SupervisorError);
        assert.ok(error.message.startsWith(`Could not start the supervisor ${supervisor}: `));
        return started.test(error.message);
      });
      await assert.rejects(check(supervisor), checked);
    }
    const lost = await file("lost", "#!/no/such/interpreter\n", 0o755);
    await assert.rejects(run("", { supervisor: lost }), SupervisorError);
    await check(await file("good", "#!/bin/sh\n", 0o755));
    await check("true");
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

async function check(supervisor: string): Promise<void> {
  await using cells = await createCells({ ...settingsFor(""), supervisor });
  await cells.check();
}

Deno.test("a supervisor that cannot be guarded is not given its spec, and is ended", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const script = `echo $$ > ${folder}/pid; cat > ${folder}/spec; sleep 1000`;
    const cells = await createCells(settingsFor(script));
    await cells[Symbol.asyncDispose]();
    await assert.rejects(
      cells.start(request("the spec")),
      /^SupervisorError: Could not run the supervisor sh: .* the guard has been let go$/,
    );
    const read = (name: string) => Deno.readTextFile(`${folder}/${name}`).catch(() => "");
    assert.equal(await read("spec"), "");
    const pid = Number(await read("pid"));
    if (pid !== 0) await until("the supervisor has ended", async () => !await isRunning(pid));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("an executable script without #! is run by sh, as a shell would", async () => {
  const path = await Deno.makeTempFile();
  try {
    await Deno.writeTextFile(path, 'cat "$1"; exit 3\n');
    await Deno.chmod(path, 0o755);
    const settings = { supervisor: path, supervisorArgs: ["/dev/stdin"], spec: "the spec" };
    const { exit } = await run("", settings);
    assert.deepEqual([exit.exitCode, text(exit.stdoutTail)], [3, "the spec"]);
  } finally {
    await Deno.remove(path);
  }
});

Deno.test("a signal reaches the supervisor and all it started", async () => {
  let child = 0;
  const { exit } = await run("sleep 1000 & echo child $!; wait", {
    async during(cell, lines) {
      child = await printed("child", lines);
      cell.signal("SIGTERM");
    },
  });
  assert.equal(exit.signal, "SIGTERM");
  await until("the child has ended", async () => !await isRunning(child));
});

Deno.test("a supervisor deaf to SIGTERM is ended by SIGKILL", async () => {
  let child = 0;
  const { exit } = await run("trap '' TERM; sleep 1000 & echo child $!; wait; wait", {
    async during(cell, lines) {
      child = await printed("child", lines);
      cell.signal("SIGTERM");
      assert.equal(await isRunning(child), true);
      cell.signal("SIGKILL");
    },
  });
  assert.equal(exit.signal, "SIGKILL");
  await until("the child has ended", async () => !await isRunning(child));
});

Deno.test("a signal to a cell that is over does nothing", async () => {
  let over: RunningCell | undefined;
  await run("exit 0", {
    during: (cell) => {
      over = cell;
      return Promise.resolve();
    },
  });
  over?.signal("SIGTERM");
  over?.signal("SIGKILL");
  assert.equal((await over?.exited)?.exitCode, 0);
});

Deno.test("a cell has a session and process group of its own, so a Ctrl-C does not reach it", async () => {
  await run("echo pid $$; cat; sleep 1000", {
    async during(cell, lines) {
      const pid = await printed("pid", lines);
      const entry = (await processTable()).find((entry) => entry.pid === pid);
      assert.deepEqual([entry?.group, entry?.session], [pid, pid]);
      cell.signal("SIGKILL");
    },
  });
});

Deno.test("output that goes on after the exit is read to its end", async () => {
  const script = "(while kill -0 $$ 2>/dev/null; do sleep 0.05; done; echo late) & exit 0";
  const { exit } = await run(script);
  assert.equal(text(exit.stdoutTail), "late\n");
});

Deno.test("what a supervisor leaves in its group is ended with it, also when deaf to SIGTERM", async () => {
  for (const trap of ["", "trap '' TERM; "]) {
    const script = `(${trap}exec sleep 1000) > /dev/null 2>&1 & echo left $!; exit 0`;
    const { exit, lines } = await run(script, { drainMs: 400 });
    assert.equal(exit.exitCode, 0);
    const left = await printed("left", lines);
    await until("the leftover process has ended", async () => !await isRunning(left));
  }
});

Deno.test("a supervisor that leaves a grandchild holding its pipes does not hang the cell", async () => {
  // In a session of its own, where no signal to the group reaches it.
  const script = "setsid sleep 1000 & echo daemon $!; " +
    'until [ "$(ps -o sid= -p $! | tr -d " ")" = $! ]; do sleep 0.05; done; echo done; exit 7';
  const { exit, lines } = await run(script, { drainMs: 400, spec: new Uint8Array(1_000_000) });
  const daemon = await printed("daemon", lines);
  try {
    assert.equal(exit.exitCode, 7);
    assert.ok(lines.some((line) => line.text === "done"));
    assert.equal(await isRunning(daemon), true);
  } finally {
    Deno.kill(daemon, "SIGKILL");
  }
});

Deno.test("200 MB without a line end take little memory, and the rest of the agent goes on", async () => {
  await using agent = new CellsAgentProcess({
    scripts: ["head -c 200000000 /dev/zero"],
    killGraceMs: 1000,
  });
  assert.equal((await agent.ended()).code, 0);
  const last = agent.events.at(-1);
  const exit = agent.events.find((event) => event.exit !== undefined)?.exit;
  assert.deepEqual(exit, { exitCode: 0, stdoutBytes: 200_000_000, stderrBytes: 0 });
  assert.equal(last?.lines, Math.ceil(200_000_000 / 8192));
  const grownBytes = last?.grownBytes ?? Infinity;
  assert.ok(grownBytes > 0 && grownBytes < 100_000_000, `memory grew by ${grownBytes} bytes`);
  assert.ok((last?.turns ?? 0) >= 2, `timers fired ${last?.turns} times`);
});

Deno.test("cells run with the agent's three permissions and no others", async () => {
  await using agent = new CellsAgentProcess({
    scripts: ["echo one; exit 1", "echo two; kill -TERM $$; sleep 1000"],
    killGraceMs: 1000,
  });
  assert.equal((await agent.ended()).code, 0);
  const bySpec = agent.events.filter((event) => event.exit !== undefined)
    .sort((a, b) => a.specId! < b.specId! ? -1 : 1);
  assert.deepEqual(bySpec.map((event) => event.exit), [
    { exitCode: 1, stdoutBytes: 4, stderrBytes: 0 },
    { signal: "SIGTERM", stdoutBytes: 4, stderrBytes: 0 },
  ]);
});
