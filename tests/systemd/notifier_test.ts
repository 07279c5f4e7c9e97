/** What the agent makes of systemd's environment, and how it tells things to systemd. */
import assert from "node:assert/strict";
import { systemClock } from "../../lib/edge/system_clock.ts";
import {
  type NotifierOptions,
  SystemdNotifier,
  takeNotifySettings,
} from "../../lib/edge/systemd.ts";
import { waitUntil } from "../process/wait_until.ts";

const PID = 4711;

function settingsOf(values: Record<string, string>) {
  const environment = new Map(Object.entries(values));
  const settings = takeNotifySettings(
    { get: (name) => environment.get(name), delete: (name) => void environment.delete(name) },
    PID,
  );
  return { settings, left: [...environment.keys()] };
}

Deno.test("systemd's variables are taken out of the environment that cells get", () => {
  const { settings, left } = settingsOf({
    NOTIFY_SOCKET: "/run/systemd/notify",
    WATCHDOG_USEC: "30000000",
    WATCHDOG_PID: String(PID),
    PATH: "/bin",
  });
  assert.deepEqual(settings, { socket: "/run/systemd/notify", watchdogMs: 30_000 });
  assert.deepEqual(left, ["PATH"]);
});

Deno.test("without a notify socket there is nobody to tell, and still nothing is left for cells", () => {
  assert.deepEqual(settingsOf({ WATCHDOG_USEC: "1000000" }), { settings: undefined, left: [] });
});

Deno.test("a watchdog that is another process's, off or unreadable is none", () => {
  const cases: Record<string, string>[] = [
    { WATCHDOG_USEC: "30000000", WATCHDOG_PID: "1" },
    { WATCHDOG_USEC: "0" },
    { WATCHDOG_USEC: "soon" },
    {},
  ];
  for (const values of cases) {
    const { settings } = settingsOf({ NOTIFY_SOCKET: "@abstract", ...values });
    assert.deepEqual(settings, { socket: "@abstract", watchdogMs: undefined });
  }
});

/** A notifier whose program writes down what it is told, one line for each assignment. */
class NotifierOfTest implements AsyncDisposable {
  readonly failures: string[] = [];
  alive = true;
  status = "starting";
  readonly notifier: SystemdNotifier;
  readonly #folder = Deno.makeTempDirSync({ prefix: "cellos-fleet-" });

  constructor(options: Partial<NotifierOptions> & { readonly script?: string } = {}) {
    const program = `${this.#folder}/notify`;
    const log = `${this.#folder}/log`;
    const script = options.script ?? `printf '%s\\n' "$@" >> "${log}"`;
    Deno.writeTextFileSync(program, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
    Deno.writeTextFileSync(log, "");
    this.notifier = new SystemdNotifier({
      socket: "/nowhere",
      watchdogMs: 90,
      clock: systemClock(),
      alive: () => this.alive,
      status: () => this.status,
      onFailure: (cause) => this.failures.push(cause),
      program,
      ...options,
    });
  }

  get told(): string[] {
    return Deno.readTextFileSync(`${this.#folder}/log`).split("\n").slice(0, -1);
  }

  get pings(): number {
    return this.told.filter((line) => line === "WATCHDOG=1").length;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.notifier[Symbol.asyncDispose]();
    await Deno.remove(this.#folder, { recursive: true });
  }
}

Deno.test("pings stop while the agent is not alive, and go on when it is again", async () => {
  await using test = new NotifierOfTest();
  await waitUntil("it has pinged", () => test.pings >= 2);
  test.alive = false;
  test.status = "stuck (poll)";
  await waitUntil("the status is told", () => test.told.includes("STATUS=stuck (poll)"));
  const before = test.pings;
  test.status = "still stuck";
  await waitUntil("the next status is told", () => test.told.includes("STATUS=still stuck"));
  assert.equal(test.pings, before);
  test.alive = true;
  await waitUntil("it pings again", () => test.pings > before);
  assert.deepEqual(test.failures, []);
});

Deno.test("without a watchdog only ready, stopping and a status that changed are told", async () => {
  const test = new NotifierOfTest({ watchdogMs: undefined });
  await waitUntil("the status is told", () => test.told.length === 1);
  test.notifier.ready();
  await waitUntil("ready is told at once", () => test.told.includes("READY=1"));
  test.status = "idle\nREADY=1";
  test.notifier.stopping();
  await waitUntil("stopping is told at once", () => test.told.includes("STOPPING=1"));
  assert.deepEqual(test.told, [
    "STATUS=starting",
    "READY=1",
    "STOPPING=1",
    // A line end would be one more assignment.
    "STATUS=idle\\nREADY=1",
  ]);
  await test[Symbol.asyncDispose]();
});

Deno.test("what was told last is sent before the program ends", async () => {
  const test = new NotifierOfTest();
  const { notifier } = test;
  notifier.ready();
  notifier.stopping();
  await notifier[Symbol.asyncDispose]();
  const lifeCycle = test.told.filter((line) => /^(READY|STOPPING)=/.test(line));
  assert.deepEqual(lifeCycle, ["READY=1", "STOPPING=1"]);
  await test[Symbol.asyncDispose]();
});

Deno.test("a missing systemd-notify is one warning, and no more than that", async () => {
  let tries = 0;
  await using test = new NotifierOfTest({
    program: "/nonexistent/systemd-notify",
    alive: () => ++tries > 0,
  });
  test.notifier.ready();
  await waitUntil("it was tried again", () => tries >= 5);
  assert.equal(test.failures.length, 1);
  assert.match(test.failures[0], /^\/nonexistent\/systemd-notify could not be started: ./);
});

Deno.test("a systemd-notify that fails is quoted once in a row of failures", async () => {
  let tries = 0;
  await using test = new NotifierOfTest({
    alive: () => ++tries > 0,
    script: `echo 'Failed to notify init system: Connection refused' >&2; exit 1`,
  });
  await waitUntil("it was tried again", () => tries >= 5);
  assert.equal(test.failures.length, 1);
  assert.match(
    test.failures[0],
    /notify ended with code 1: Failed to notify init system: Connection refused$/,
  );
});
