import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { hostName } from "../../lib/edge/host_name.ts";
import { systemClock, systemEntropy } from "../../lib/edge/system_clock.ts";

Deno.test("the host's name is what uname says", async () => {
  assert.equal(await hostName(), Deno.hostname());
});

Deno.test("a host without uname is told to set CELLOS_FLEET_NODE_ID", async () => {
  const path = Deno.env.get("PATH") ?? "";
  Deno.env.set("PATH", "/nonexistent");
  try {
    await assert.rejects(
      hostName(),
      /^Error: Could not run uname -n for the host's name, set CELLOS_FLEET_NODE_ID: .*'uname'/,
    );
  } finally {
    Deno.env.set("PATH", path);
  }
});

Deno.test("a sleep lasts its time on the monotonic clock", async () => {
  const clock = systemClock();
  for (const ms of [0, 0.4, 5, 30.5]) {
    const startMs = clock.monotonic();
    await clock.sleep(ms);
    const sleptMs = clock.monotonic() - startMs;
    assert.ok(sleptMs >= ms, `slept ${sleptMs} ms of ${ms} ms`);
  }
});

Deno.test("a sleep ends when it is aborted, and leaves neither timer nor listener", async () => {
  const clock = systemClock();
  const abort = new AbortController();
  let listeners = 0;
  const { signal } = abort;
  const add = signal.addEventListener.bind(signal);
  const remove = signal.removeEventListener.bind(signal);
  signal.addEventListener = (...args: Parameters<typeof add>) => (listeners++, add(...args));
  signal.removeEventListener = (...args: Parameters<typeof remove>) => (
    listeners--, remove(...args)
  );
  await clock.sleep(1, signal);
  assert.equal(listeners, 0);
  // Longer than one timer can be: it must neither end at once nor keep the test from ending.
  const sleeps = [60_000, 2 ** 31, 2 ** 40, Infinity].map(async (ms) => {
    await clock.sleep(ms, signal);
    return signal.aborted;
  });
  await clock.sleep(20);
  abort.abort();
  assert.deepEqual(await Promise.all(sleeps), [true, true, true, true]);
  assert.equal(listeners, 0);
  await clock.sleep(60_000, signal);
});

Deno.test("nonces do not repeat, and chance lies in [0, 1)", () => {
  const entropy = systemEntropy();
  const nonces = new Set(Array.from({ length: 10_000 }, () => entropy.nonce()));
  assert.equal(nonces.size, 10_000);
  for (let draw = 0; draw < 1000; draw++) {
    const value = entropy.random();
    assert.ok(value >= 0 && value < 1);
  }
});

Deno.test("SIGTERM and SIGINT are handed on until the program lets go of them", async () => {
  const program = fileURLToPath(new URL("signals_program.ts", import.meta.url));
  const permissions = ["--no-prompt", "--allow-net", "--allow-env", "--allow-run"];
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "--cached-only", ...permissions, program],
    stdin: "null",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const signals = ["SIGTERM", "SIGINT", "SIGTERM", "SIGINT"] as const;
  let output = "";
  let sent = 0;
  for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) {
    output += text;
    // One at a time: two pending signals may come in any order.
    if (output.split("\n").length - 1 > sent) child.kill(signals[sent++]);
  }
  assert.equal(output, "ready\nSIGTERM\nSIGINT\nSIGTERM\n");
  assert.equal((await child.status).signal, "SIGINT");
});
