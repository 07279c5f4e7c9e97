import assert from "node:assert/strict";
import { readOutput } from "../../lib/edge/cell_output.ts";

/** A supervisor that always has more to say: `chunks` chunks of 100 lines, each there at once. */
function flood(chunks: number): { stream: ReadableStream<Uint8Array>; lines: number } {
  const chunk = new TextEncoder().encode("line\n".repeat(100));
  let sent = 0;
  const stream = new ReadableStream({
    type: "bytes",
    pull(controller) {
      if (sent++ < chunks) return controller.enqueue(chunk.slice());
      controller.close();
      controller.byobRequest?.respond(0);
    },
  });
  return { stream, lines: chunks * 100 };
}

function work(ms: number): void {
  const endMs = performance.now() + ms;
  while (performance.now() < endMs) continue;
}

Deno.test("a flood of output lets the heartbeat through, also in the middle of a chunk", async () => {
  for (const chunks of [1, 20]) {
    const { stream, lines } = flood(chunks);
    let seen = 0;
    let seenAtHeartbeat = Infinity;
    setTimeout(() => seenAtHeartbeat = seen, 0);
    const output = readOutput(stream, 10, () => {
      seen++;
      work(1);
    });
    await output.done;
    assert.equal(seen, lines);
    assert.ok(seenAtHeartbeat < 100, `the heartbeat waited for ${seenAtHeartbeat} lines`);
  }
});

Deno.test("output that is stopped is handed on no further, and what was read is kept", async () => {
  let seen = 0;
  const { stream, lines } = flood(1000);
  const output = readOutput(stream, 10, () => {
    if (++seen === 250) output.stop();
  });
  await output.done;
  assert.ok(seen >= 250 && seen < lines, `${seen} lines`);
  assert.equal(new TextDecoder().decode(output.tail.bytes), "line\nline\n");
  assert.equal(output.tail.totalBytes, seen * 5);
});

Deno.test("a pipe that breaks ends the output, with the line begun", async () => {
  let pulls = 0;
  const stream = new ReadableStream({
    type: "bytes",
    pull(controller) {
      if (pulls++ === 0) controller.enqueue(new TextEncoder().encode("one\ntwo"));
      else controller.error(new Error("Input/output error"));
    },
  });
  const seen: string[] = [];
  const output = readOutput(stream, 10, ({ text }) => seen.push(text));
  await output.done;
  assert.deepEqual(seen, ["one", "two"]);
});
