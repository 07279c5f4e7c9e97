/** The systemd unit against the agent's own figures, and systemd's opinion of it where it is there. */
import assert from "node:assert/strict";
import { CONFIG_OPTIONS } from "../../lib/config_options.ts";
import { readConfig } from "../../lib/config.ts";
import { leaseTiming } from "../../lib/core/lease_timing.ts";
import { longestWatchdogMs } from "../../lib/health.ts";

const SCRIPTS = new URL("../../scripts/", import.meta.url);
const UNIT = await Deno.readTextFile(new URL("cellos-fleet.service", SCRIPTS));
const STRICT = await Deno.readTextFile(new URL("cellos-fleet.strict.conf", SCRIPTS));
const ENVIRONMENT = await Deno.readTextFile(new URL("cellos-fleet.env.example", SCRIPTS));

/** How long settling may take after the cells' grace, before the agent gives up. */
const SETTLE_WINDOW_MS = 30_000;

/** The value of a setting that stands in the unit once. */
function setting(name: string): string {
  const values = UNIT.split("\n").filter((line) => line.startsWith(`${name}=`));
  assert.equal(values.length, 1, `${name} stands in the unit once`);
  return values[0].slice(name.length + 1);
}

function milliseconds(span: string): number {
  const match = /^([0-9]+)(s|min)$/.exec(span);
  assert.ok(match, span);
  return Number(match[1]) * (match[2] === "s" ? 1_000 : 60_000);
}

/** `NAME=value` lines, those that are commented out included if asked for. */
function variables(text: string, commented: boolean): Record<string, string> {
  const lines = text.split("\n").map((line) => commented ? line.replace(/^#(?=[A-Z])/, "") : line);
  const found = lines.map((line) => /^([A-Z][A-Z0-9_]*)=(.*)$/.exec(line)).filter((m) =>
    m !== null
  );
  return Object.fromEntries(found.map(([, name, value]) => [name, value]));
}

Deno.test("the unit's watchdog is shorter than the leases of its settings allow", () => {
  const ttlMs = CONFIG_OPTIONS.leaseTtlMs.fallback;
  const graceMs = CONFIG_OPTIONS.killGraceMs.fallback;
  const longestMs = longestWatchdogMs(leaseTiming(ttlMs, graceMs));
  assert.ok(milliseconds(setting("WatchdogSec")) <= longestMs);
  assert.ok(
    UNIT.includes(`which is ${longestMs / 1_000} s by default`),
    "the comment has the figure",
  );
});

Deno.test("the unit waits longer than a drain can take", () => {
  const [name, drainMs] = setting("Environment").split("=");
  assert.equal(name, CONFIG_OPTIONS.drainTimeoutMs.name);
  const longestMs = Number(drainMs) + CONFIG_OPTIONS.killGraceMs.fallback + SETTLE_WINDOW_MS;
  assert.ok(milliseconds(setting("TimeoutStopSec")) > longestMs);
});

Deno.test("the unit says what the agent's way of notifying, stopping and failing needs", () => {
  const expected = {
    Type: "notify",
    NotifyAccess: "all",
    WatchdogSignal: "SIGKILL",
    KillMode: "mixed",
    Restart: "on-failure",
    RestartPreventExitStatus: "64 78",
    OOMPolicy: "continue",
    TimeoutStartSec: "infinity",
  };
  for (const [name, value] of Object.entries(expected)) assert.equal(setting(name), value, name);
});

Deno.test("the example of the environment file is a valid configuration, on loopback", () => {
  for (const commented of [false, true]) {
    const read = readConfig(variables(ENVIRONMENT, commented));
    assert.deepEqual(read.warnings, []);
    assert.ok("config" in read, JSON.stringify(read));
    assert.equal(read.config.httpAddress?.host, "127.0.0.1");
  }
});

const installed = await new Deno.Command("sh", { args: ["-c", "command -v systemd-analyze"] })
  .output().then(({ success }) => success);

for (const [name, dropIn] of [["the unit", undefined], ["the unit with the drop-in", STRICT]]) {
  Deno.test({
    name: `systemd-analyze finds nothing wrong with ${name}`,
    ignore: !installed,
    async fn() {
      const folder = await Deno.makeTempDir({ prefix: "cellos-fleet-" });
      try {
        const path = `${folder}/cellos-fleet.service`;
        // The program need not be installed here.
        await Deno.writeTextFile(path, UNIT.replace(/^ExecStart=.*$/m, "ExecStart=/bin/sh"));
        if (dropIn !== undefined) {
          await Deno.mkdir(`${path}.d`);
          await Deno.writeTextFile(`${path}.d/strict.conf`, dropIn);
        }
        const { code, stdout, stderr } = await new Deno.Command("systemd-analyze", {
          args: ["verify", path],
        }).output();
        const said = new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
        // What it does not understand it only warns of.
        assert.deepEqual([code, said], [0, ""]);
      } finally {
        await Deno.remove(folder, { recursive: true });
      }
    },
  });
}
