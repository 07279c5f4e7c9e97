import assert from "node:assert/strict";
import fc from "fast-check";
import type { LogRecord } from "../lib/event_text.ts";
import { Capture, FLUSH_MS, info, open } from "./log_capture.ts";

/** Takes nothing until it is opened. */
class StalledOutput extends Capture {
  readonly #gate = Promise.withResolvers<void>();

  override async write(bytes: Uint8Array): Promise<number> {
    await this.#gate.promise;
    return await super.write(bytes);
  }

  open() {
    this.#gate.resolve();
  }
}

/** Bytes of the line. */
async function sizeOf(record: LogRecord): Promise<number> {
  const output = new Capture();
  const log = open({ output });
  log.write(record, false);
  await log.flush(FLUSH_MS);
  return new TextEncoder().encode(output.text).length;
}

Deno.test("an output that takes a few bytes at a time, or none for a while, gets every byte", async () => {
  const output = new Capture();
  let calls = 0;
  const log = open({
    output: {
      write(bytes) {
        calls++;
        if (calls % 3 === 0) return Promise.reject(new Deno.errors.WouldBlock("full"));
        if (calls % 5 === 0) return Promise.resolve(0);
        return output.write(bytes.subarray(0, 100));
      },
    },
  });
  for (let i = 0; i < 10; i++) log.write(info(`line ${i} ü`), false);
  assert.equal(await log.flush(FLUSH_MS), true);
  assert.deepEqual(
    output.lines().map((line) => JSON.parse(line).fields.message),
    Array.from({ length: 10 }, (_, i) => `line ${i} ü`),
  );
});

Deno.test("while the reader stalls, lines are dropped beyond the bound, those of cells first", async () => {
  const output = new StalledOutput();
  const size = await sizeOf(info("cell 00000"));
  const log = open({ output, maxQueuedBytes: 100 * size });
  for (let i = 0; i < 200; i++) log.write(info(`cell ${10_000 + i}`), true);
  for (let i = 0; i < 200; i++) log.write(info(`lead ${10_000 + i}`), false);
  assert.equal(await log.flush(0), false);
  output.open();
  assert.equal(await log.flush(FLUSH_MS), true);
  const records = output.lines().map((line) => JSON.parse(line));
  const messages: string[] = records.map((record) => record.fields.message);
  assert.equal(messages.filter((message) => message.startsWith("cell")).length, 50);
  assert.equal(messages.filter((message) => message.startsWith("lead")).length, 50);
  const notice = records[records.length - 1];
  assert.equal(notice.level, "WARN");
  assert.equal(notice.fields.dropped_lines, 300);
  assert.equal(notice.fields.message, "300 log lines dropped, their reader was too slow");
});

Deno.test("lines are counted as dropped or written, never both and never neither", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.constantFrom("cell", "lead", "wait", "fail"), { maxLength: 60 }),
      async (steps) => {
        const output = new Capture();
        let failing = false;
        const log = open({
          maxQueuedBytes: 1_000,
          output: {
            write: (bytes) =>
              failing ? Promise.reject(new Error("disk full")) : output.write(bytes),
          },
        });
        let count = 0;
        for (const step of steps) {
          if (step === "wait") await log.flush(FLUSH_MS);
          else if (step === "fail") failing = !failing;
          else log.write(info(`n${count++}`), step === "cell");
        }
        await log.flush(FLUSH_MS);
        failing = false;
        log.write(info("last"), false);
        await log.flush(FLUSH_MS);
        let written = 0;
        for (const line of output.lines()) {
          const fields = JSON.parse(line).fields;
          if (/^n\d+$/.test(fields.message)) written++;
          written += fields.dropped_lines ?? 0;
        }
        assert.equal(written, count);
      },
    ),
    { numRuns: 300 },
  );
});

Deno.test("a write that breaks off inside a line does not spoil the next line", async () => {
  const output = new Capture();
  let calls = 0;
  const log = open({
    output: {
      write(bytes) {
        calls++;
        if (calls === 2) return Promise.reject(new Error("no space left"));
        return output.write(calls === 1 ? bytes.subarray(0, 10) : bytes);
      },
    },
  });
  log.write(info("lost"), false);
  await log.flush(FLUSH_MS);
  log.write(info("kept"), false);
  assert.equal(await log.flush(FLUSH_MS), true);
  const [torn, ...whole] = output.lines();
  assert.equal(torn, '{"timestam');
  assert.deepEqual(
    whole.map((line) => JSON.parse(line).fields.message).toSorted(),
    ["1 log line dropped, their reader was too slow", "kept"],
  );
});

Deno.test("once nobody reads the log any more, it is silent and costs nothing", async () => {
  let calls = 0;
  const log = open({
    maxQueuedBytes: 1_000,
    output: {
      write() {
        calls++;
        return Promise.reject(new Deno.errors.BrokenPipe("gone"));
      },
    },
  });
  for (let round = 0; round < 10; round++) {
    for (let i = 0; i < 100; i++) log.write(info("m"), false);
    assert.equal(await log.flush(FLUSH_MS), true);
  }
  assert.equal(calls, 1);
});

/** Logs without end and ticks on stderr; exits by itself after the last tick. */
const CHATTERBOX = `
  import { openLogLines } from ${
  JSON.stringify(new URL("../lib/edge/json_log.ts", import.meta.url).href)
};
  const log = openLogLines({
    level: "info", format: "json", color: false, output: Deno.stdout, now: Date.now,
    maxQueuedBytes: 100_000,
  });
  const record = { level: "info", message: "x".repeat(1_000), fields: {} };
  let ticks = 0;
  const timer = setInterval(async () => {
    for (let i = 0; i < 200; i++) log.write(record, false);
    console.error("tick", ++ticks);
    if (ticks < 5) return;
    clearInterval(timer);
    console.error("flushed", await log.flush(Number(Deno.args[0])));
    Deno.exit(0);
  }, 10);
`;

async function chatterbox(flushMs: number): Promise<
  { program: Deno.ChildProcess; [Symbol.asyncDispose](): Promise<void> }
> {
  const directory = await Deno.makeTempDir();
  const file = `${directory}/chatterbox.ts`;
  await Deno.writeTextFile(file, CHATTERBOX);
  const config = new URL("../deno.json", import.meta.url).pathname;
  const program = new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-check", "--no-lock", "--config", config, file, String(flushMs)],
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  return {
    program,
    async [Symbol.asyncDispose]() {
      await program.status;
      await Deno.remove(directory, { recursive: true });
    },
  };
}

Deno.test("a reader that never reads stops neither the program nor its exit", async () => {
  await using running = await chatterbox(100);
  const stderr = await new Response(running.program.stderr).text();
  assert.match(stderr, /tick 5\nflushed false\n$/);
  assert.equal((await running.program.status).code, 0);
  await running.program.stdout.cancel();
});

Deno.test("a reader that goes away, as head does, does not end the program", async () => {
  await using running = await chatterbox(FLUSH_MS);
  await running.program.stdout.cancel();
  const stderr = await new Response(running.program.stderr).text();
  assert.match(stderr, /tick 5\nflushed true\n$/);
  assert.equal((await running.program.status).code, 0);
});
