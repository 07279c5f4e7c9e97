import assert from "node:assert/strict";
import { formatDuration, parseDuration } from "../../lib/commands/duration.ts";
import { exitCodeOf, resultText } from "../../lib/commands/follow.ts";
import { specLines } from "../../lib/commands/spec_input.ts";
import { tableLines } from "../../lib/commands/table.ts";
import { type CellOutcome, newResult } from "../../lib/core/result.ts";
import { commandUsage, parseCommandLine, usage } from "../../lib/usage.ts";

const NAMES = ["status", "submit", "requeue", "cancel", "doctor", "completions"];

Deno.test("durations are shown in at most two units", () => {
  const cases: readonly [number, string][] = [
    [-5_000, "0s"],
    [0, "0s"],
    [999, "0s"],
    [59_999, "59s"],
    [60_000, "1m"],
    [61_000, "1m 1s"],
    [3_600_000, "1h"],
    [3_659_000, "1h"],
    [7_860_000, "2h 11m"],
    [86_400_000 * 3 + 3_600_000 * 5, "3d 5h"],
  ];
  for (const [ms, text] of cases) assert.equal(formatDuration(ms), text, String(ms));
});

Deno.test("durations are read as they are shown, and nothing else is", () => {
  assert.equal(parseDuration("90s"), 90_000);
  assert.equal(parseDuration("1h30m"), 5_400_000);
  assert.equal(parseDuration("2d"), 172_800_000);
  assert.equal(parseDuration("0s"), 0);
  for (const text of ["", "5", "m", "1m1h", "-1s", "1.5h", "1 h", "1w", "1s1s"]) {
    assert.equal(parseDuration(text), undefined, text);
  }
});

Deno.test("the columns of a table are aligned, and the widest give way to the terminal", () => {
  const columns = [{ heading: "spec" }, { heading: "age", align: "right" as const }];
  const rows = [["a", "1s"], ["a-rather-long-id", "10m 5s"]];
  const wide = { columns: undefined, color: false };
  assert.deepEqual(tableLines(columns, rows, wide), [
    "  spec                 age",
    "  a                     1s",
    "  a-rather-long-id  10m 5s",
  ]);
  assert.deepEqual(tableLines(columns, rows, { columns: 20, color: false }), [
    "  spec           age",
    "  a               1s",
    "  a-rather-…  10m 5s",
  ]);
});

Deno.test("the exit code of a result is the cell's, 128 + n for a signal, and 1 for the rest", () => {
  const origin = {
    specId: "x",
    claim: "c",
    attempt: 1,
    claimedAt: "",
    attempts: [],
    node: "n",
    poolId: "",
    specBytes: 2,
  };
  const none = new Uint8Array();
  const output = { stdoutBytes: 0, stderrBytes: 0, stdoutTail: none, stderrTail: none };
  const cases: readonly [Omit<CellOutcome, "endedAtMs">, number][] = [
    [{ reason: "exit", exit: { exitCode: 0, ...output } }, 0],
    [{ reason: "exit", exit: { exitCode: 42, ...output } }, 42],
    [{ reason: "signal", exit: { signal: "SIGKILL", ...output } }, 137],
    [{ reason: "signal", exit: { signal: "SIGTERM", ...output } }, 143],
    [{ reason: "signal", exit: { signal: "SIGODD", ...output } }, 1],
    [{ reason: "timeout", exit: { exitCode: 0, ...output } }, 1],
    [{ reason: "cancelled", exit: { signal: "SIGTERM", ...output } }, 1],
    [{ reason: "lost" }, 1],
    [{ reason: "spec-too-large" }, 1],
  ];
  for (const [outcome, code] of cases) {
    assert.equal(exitCodeOf(newResult(origin, { ...outcome, endedAtMs: 0 })), code, outcome.reason);
  }
  const tail = new TextEncoder().encode("one\ntwo \x1b[31m\n");
  const result = newResult(origin, {
    reason: "exit",
    exit: { exitCode: 2, ...output, stderrBytes: 5_000, stderrTail: tail },
    endedAtMs: 0,
    durationMs: 61_000,
  });
  assert.equal(
    resultText(result),
    "failed, exit code 2, on n, 1m 1s\n" +
      "stderr, the last 14 of 5000 bytes:\n  one\n  two \\u001b[31m\n",
  );
});

Deno.test("lines are told apart as JSON lines are, with their numbers", () => {
  const lines = specLines(new TextEncoder().encode("\n{}\r\n \t\r\n[1]\n{}"));
  assert.deepEqual(
    lines.map(({ number, bytes }) => [number, new TextDecoder().decode(bytes)]),
    [[2, "{}"], [4, "[1]"], [5, "{}"]],
  );
  assert.deepEqual(specLines(new Uint8Array()), []);
});

Deno.test("every command has its own help, with an example, within 100 columns", () => {
  for (const name of NAMES) {
    assert.ok(usage().includes(`  cellos-fleet ${name} `), name);
    for (const args of [[name, "--help"], [name, "-h"]]) {
      assert.deepEqual(parseCommandLine(args), { kind: "help", command: name });
    }
    const text = commandUsage(name);
    assert.match(text, new RegExp(`^Usage: cellos-fleet ${name} `));
    assert.match(text, /\nExamples?:\n {2}\S/);
    assert.match(text, /\nExit codes:\n/);
    const tooWide = text.split("\n").filter((line) => line.length > 100);
    assert.deepEqual(tooWide, []);
    assert.ok(!/[ \t]\n/.test(text), "no line ends in spaces");
  }
});

Deno.test("the examples in the help are command lines that are understood", () => {
  for (const name of NAMES) {
    const examples = commandUsage(name).split(/\nExamples?:\n/)[1].split("\n\n")[0].split("\n");
    for (const example of examples) {
      const [, line] = /cellos-fleet ([^|<>)"]*)/.exec(example) ?? assert.fail(example);
      const parsed = parseCommandLine(line.trim().split(/\s+/));
      assert.equal(parsed.kind, "command", example);
    }
  }
});

Deno.test("a wrong line of a command says how to get help on that command", () => {
  for (const name of NAMES) {
    const parsed = parseCommandLine([name, "--bogus"]);
    assert.deepEqual(parsed, {
      kind: "usage-error",
      message: "Unknown option '--bogus'",
      command: name,
    });
  }
});
