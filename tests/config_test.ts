import assert from "node:assert/strict";
import fc from "fast-check";
import { optionsTable, readConfig } from "../lib/config.ts";
import type { Config } from "../lib/config.ts";
import { listOptions } from "../lib/config_options.ts";
import { nearest } from "../lib/core/nearest.ts";
import { parseCommandLine, usage } from "../lib/usage.ts";

type Environment = Record<string, string>;

function configOf(env: Environment): Config {
  const result = readConfig({ CELLOS_FLEET_BUCKET: "cells", ...env });
  if (!("config" in result)) assert.fail(result.problems.join("\n"));
  return result.config;
}

function problemsOf(env: Environment): readonly string[] {
  const result = readConfig({ CELLOS_FLEET_BUCKET: "cells", ...env });
  if ("config" in result) assert.fail(`accepted: ${JSON.stringify(env)}`);
  return result.problems;
}

function assertRefused(name: string, value: string) {
  const problems = problemsOf({ [name]: value });
  assert.equal(problems.length, 1, problems.join("\n"));
  assert.ok(problems[0].startsWith(`${name} is "`), problems[0]);
  assert.ok(problems[0].includes(": it must be "), problems[0]);
}

Deno.test("with only a bucket set, every variable has its documented default", () => {
  assert.deepEqual(configOf({}), {
    bucket: "cells",
    prefix: "fleet",
    queueName: "",
    poolId: "",
    supervisor: "cellos-supervisor",
    supervisorArgs: ["/dev/stdin"],
    pollIntervalMs: 5_000,
    heartbeatIntervalMs: 30_000,
    nodeId: undefined,
    concurrency: 1,
    leaseTtlMs: 120_000,
    fence: "strict",
    maxAttempts: 3,
    cellTimeoutMs: 0,
    killGraceMs: 10_000,
    drainTimeoutMs: 0,
    exitWhenIdleMs: 0,
    cellOutput: "log",
    maxSpecBytes: 1_048_576,
    resultTailBytes: 8_192,
    httpAddress: undefined,
    logLevel: "info",
    logFormat: "auto",
    s3PathStyle: "auto",
  });
});

Deno.test("every variable reaches its setting", () => {
  const config = configOf({
    CELLOS_FLEET_BUCKET: "other.bucket",
    CELLOS_FLEET_PREFIX: "team a/fleet//",
    CELLOS_FLEET_QUEUE_NAME: "gpu/large",
    CELLOS_FLEET_POOL_ID: "pool 7",
    CELLOS_FLEET_SUPERVISOR: "/opt/cellos/bin/supervisor",
    CELLOS_FLEET_SUPERVISOR_ARGS: " run  --spec /dev/stdin ",
    CELLOS_FLEET_POLL_INTERVAL_MS: "100",
    CELLOS_FLEET_HEARTBEAT_INTERVAL_MS: "3600000",
    CELLOS_FLEET_NODE_ID: "node-1.example",
    CELLOS_FLEET_CONCURRENCY: "1024",
    CELLOS_FLEET_LEASE_TTL_MS: "1500",
    CELLOS_FLEET_FENCE: "confirmed",
    CELLOS_FLEET_MAX_ATTEMPTS: "100",
    CELLOS_FLEET_CELL_TIMEOUT_MS: "2592000000",
    CELLOS_FLEET_KILL_GRACE_MS: "750",
    CELLOS_FLEET_DRAIN_TIMEOUT_MS: "1",
    CELLOS_FLEET_EXIT_WHEN_IDLE_MS: "2",
    CELLOS_FLEET_CELL_OUTPUT: "inherit",
    CELLOS_FLEET_MAX_SPEC_BYTES: "104857600",
    CELLOS_FLEET_RESULT_TAIL_BYTES: "65536",
    CELLOS_FLEET_HTTP_ADDR: "127.0.0.1:9464",
    CELLOS_FLEET_LOG_LEVEL: "error",
    CELLOS_FLEET_LOG_FORMAT: "text",
    CELLOS_FLEET_S3_PATH_STYLE: "true",
  });
  assert.deepEqual(config, {
    bucket: "other.bucket",
    prefix: "team a/fleet",
    queueName: "gpu/large",
    poolId: "pool 7",
    supervisor: "/opt/cellos/bin/supervisor",
    supervisorArgs: ["run", "--spec", "/dev/stdin"],
    pollIntervalMs: 100,
    heartbeatIntervalMs: 3_600_000,
    nodeId: "node-1.example",
    concurrency: 1_024,
    leaseTtlMs: 1_500,
    fence: "confirmed",
    maxAttempts: 100,
    cellTimeoutMs: 2_592_000_000,
    killGraceMs: 750,
    drainTimeoutMs: 1,
    exitWhenIdleMs: 2,
    cellOutput: "inherit",
    maxSpecBytes: 104_857_600,
    resultTailBytes: 65_536,
    httpAddress: { host: "127.0.0.1", port: 9_464 },
    logLevel: "error",
    logFormat: "text",
    s3PathStyle: "true",
  });
});

Deno.test("an empty value counts as unset", () => {
  const empty = Object.fromEntries(listOptions().map((option) => [option.name, ""]));
  assert.deepEqual(configOf({ ...empty, CELLOS_FLEET_BUCKET: "cells" }), configOf({}));
  assert.match(
    problemsOf({ CELLOS_FLEET_BUCKET: "" }).join("\n"),
    /^CELLOS_FLEET_BUCKET is not set: it must be a bucket name/,
  );
});

Deno.test("a supervisor that takes no arguments is asked for with a single space", () => {
  assert.deepEqual(configOf({ CELLOS_FLEET_SUPERVISOR_ARGS: " " }).supervisorArgs, []);
});

Deno.test("a number that is not plain decimal digits is refused, not read as something else", () => {
  const notNumbers = [
    "5s",
    "1e3",
    " 5 ",
    "5 ",
    "-1",
    "+5",
    "0x10",
    "1_000",
    "5.0",
    "five",
    "٥",
    " ",
  ];
  const numbers = listOptions().filter((option) => typeof option.fallback === "number");
  assert.equal(numbers.length, 11);
  for (const { name } of numbers) {
    for (const value of notNumbers) assertRefused(name, value);
    assertRefused(name, "9".repeat(15));
    assertRefused(name, "9".repeat(400));
  }
});

Deno.test("numbers outside their bounds are refused, and the bounds are told", () => {
  const outside: readonly (readonly [string, string, string])[] = [
    ["CELLOS_FLEET_POLL_INTERVAL_MS", "99", "100 to 3600000"],
    ["CELLOS_FLEET_POLL_INTERVAL_MS", "3600001", "100 to 3600000"],
    ["CELLOS_FLEET_HEARTBEAT_INTERVAL_MS", "0", "100 to 3600000"],
    ["CELLOS_FLEET_CONCURRENCY", "0", "1 to 1024"],
    ["CELLOS_FLEET_CONCURRENCY", "1025", "1 to 1024"],
    ["CELLOS_FLEET_LEASE_TTL_MS", "1499", "1500 to 86400000"],
    ["CELLOS_FLEET_MAX_ATTEMPTS", "0", "1 to 100"],
    ["CELLOS_FLEET_CELL_TIMEOUT_MS", "2592000001", "0 to 2592000000"],
    ["CELLOS_FLEET_MAX_SPEC_BYTES", "0", "1 to 104857600"],
    ["CELLOS_FLEET_RESULT_TAIL_BYTES", "65537", "0 to 65536"],
  ];
  for (const [name, value, bounds] of outside) {
    assert.deepEqual(problemsOf({ [name]: value }), [
      `${name} is "${value}": it must be a whole number from ${bounds}, in decimal digits only`,
    ]);
  }
});

Deno.test("all problems are reported together, each with its variable, value and what is allowed", () => {
  const problems = problemsOf({
    CELLOS_FLEET_BUCKET: "",
    CELLOS_FLEET_CONCURRENCY: "many",
    CELLOS_FLEET_FENCE: "loose",
    CELLOS_FLEET_HTTP_ADDR: "9464",
    CELLOS_FLEET_LOG_LEVEL: "loud",
  });
  assert.deepEqual(problems.map((problem) => problem.split(":")[0]), [
    "CELLOS_FLEET_BUCKET is not set",
    'CELLOS_FLEET_CONCURRENCY is "many"',
    'CELLOS_FLEET_FENCE is "loose"',
    'CELLOS_FLEET_HTTP_ADDR is "9464"',
    'CELLOS_FLEET_LOG_LEVEL is "loud"',
  ]);
  assert.match(problems[2], /: it must be strict or confirmed$/);
  assert.match(problems[4], /: it must be debug, info, warn or error$/);
});

Deno.test("the slashes at the end of a prefix are trimmed, whatever else would break keys is refused", () => {
  for (const [value, prefix] of [["a/", "a"], ["a/b///", "a/b"], ["fleet-ü/1", "fleet-ü/1"]]) {
    assert.equal(configOf({ CELLOS_FLEET_PREFIX: value }).prefix, prefix);
  }
  const refused = ["/", "//", "/fleet", "a//b", "a/../b", "..", "./a", "a\nb", "\u2028", "\ud800"];
  for (const value of [...refused, "ü".repeat(257)]) assertRefused("CELLOS_FLEET_PREFIX", value);
});

Deno.test("a queue name that would mix up lanes is refused", () => {
  const folders = ["pending", "claimed", "completed", "failed", "results", "nodes", "probe"];
  const slashes = ["/gpu", "gpu/", "a//b", "/"];
  for (const value of [...folders, ...slashes, "gpu/pending", "pending/gpu", "..", "a\tb"]) {
    assertRefused("CELLOS_FLEET_QUEUE_NAME", value);
  }
  assert.equal(configOf({ CELLOS_FLEET_QUEUE_NAME: "pending-gpu" }).queueName, "pending-gpu");
});

Deno.test("a bucket or node name that cannot be part of a request is refused", () => {
  for (const value of ["ab", "a/b", "s3://cells", "-cells", "a b c", "a".repeat(256)]) {
    assertRefused("CELLOS_FLEET_BUCKET", value);
  }
  for (const value of ["rack/1", "a\u0007", "\u0085", "n".repeat(129)]) {
    assertRefused("CELLOS_FLEET_NODE_ID", value);
  }
  assert.equal(configOf({ CELLOS_FLEET_NODE_ID: "n".repeat(128) }).nodeId, "n".repeat(128));
});

Deno.test("the HTTP address is a host and a port, IPv6 in brackets", () => {
  const accepted: readonly (readonly [string, string, number])[] = [
    ["127.0.0.1:9464", "127.0.0.1", 9_464],
    ["localhost:0", "localhost", 0],
    ["[::1]:9464", "::1", 9_464],
    ["[::]:65535", "::", 65_535],
  ];
  for (const [value, host, port] of accepted) {
    assert.deepEqual(configOf({ CELLOS_FLEET_HTTP_ADDR: value }).httpAddress, { host, port });
  }
  const refused = [":9464", "9464", "localhost", "localhost:", "::1:9464", "a:65536", "a:-1"];
  for (const value of [...refused, "http://a:1", "a:1/metrics", "[::1]", "[localhost]:1"]) {
    assertRefused("CELLOS_FLEET_HTTP_ADDR", value);
  }
});

Deno.test("without a kill grace of its own, a short lease gets a quarter of its lifetime", () => {
  const graceOf = (ttl: string) => configOf({ CELLOS_FLEET_LEASE_TTL_MS: ttl }).killGraceMs;
  assert.deepEqual(["1500", "6000", "6003", "40000", "120000"].map(graceOf), [
    375,
    1_500,
    1_500,
    10_000,
    10_000,
  ]);
});

Deno.test("a kill grace of more than half of the lease is refused, naming both variables", () => {
  const env = { CELLOS_FLEET_LEASE_TTL_MS: "6000", CELLOS_FLEET_KILL_GRACE_MS: "3001" };
  assert.deepEqual(problemsOf(env), [
    "CELLOS_FLEET_KILL_GRACE_MS is 3001: it must be at most half of CELLOS_FLEET_LEASE_TTL_MS, " +
    "which is 6000",
  ]);
  assert.equal(configOf({ ...env, CELLOS_FLEET_KILL_GRACE_MS: "3000" }).killGraceMs, 3_000);
  assert.equal(problemsOf({ CELLOS_FLEET_KILL_GRACE_MS: "60001" }).length, 1);
  // Nothing can be said of the ratio while one of the two is unreadable.
  assert.equal(problemsOf({ ...env, CELLOS_FLEET_LEASE_TTL_MS: "6s" }).length, 1);
});

Deno.test("a plain level in RUST_LOG counts where the agent's own variable is unset", () => {
  const levelOf = (env: Environment) => configOf(env).logLevel;
  assert.equal(levelOf({ RUST_LOG: "DEBUG" }), "debug");
  assert.equal(levelOf({ RUST_LOG: "trace" }), "debug");
  assert.equal(levelOf({ RUST_LOG: "Warn" }), "warn");
  assert.equal(levelOf({ RUST_LOG: "info,hyper=warn" }), "info");
  assert.equal(levelOf({ RUST_LOG: "cellos_fleet=debug" }), "info");
  assert.equal(levelOf({ RUST_LOG: "off" }), "info");
  assert.equal(levelOf({ RUST_LOG: "debug", CELLOS_FLEET_LOG_LEVEL: "error" }), "error");
  assert.equal(levelOf({ RUST_LOG: "debug", CELLOS_FLEET_LOG_LEVEL: "" }), "debug");
});

Deno.test("an unknown variable is a warning with the nearest known name", () => {
  const { warnings } = readConfig({
    CELLOS_FLEET_BUCKET: "cells",
    CELLOS_FLEET_POOLID: "a",
    CELLOS_FLEET_INTERVAL_MS: "1",
    CELLOS_FLEET_XYZZY: "1",
    CELLOS_FLEET_UNUSED: "",
  });
  const ignored = "is not a variable of this program and is ignored";
  assert.deepEqual(warnings, [
    `CELLOS_FLEET_INTERVAL_MS ${ignored}; did you mean CELLOS_FLEET_POLL_INTERVAL_MS?`,
    `CELLOS_FLEET_POOLID ${ignored}; did you mean CELLOS_FLEET_POOL_ID?`,
    `CELLOS_FLEET_XYZZY ${ignored}`,
  ]);
});

Deno.test("warnings come along when there are problems too", () => {
  const result = readConfig({ CELLOS_FLEET_BUKET: "cells" });
  assert.ok("problems" in result);
  assert.match(result.warnings.join("\n"), /CELLOS_FLEET_BUKET .* CELLOS_FLEET_BUCKET\?$/);
});

Deno.test("an agent inside a cell is not warned of what its agent set for the cell", () => {
  const { warnings } = readConfig({
    CELLOS_FLEET_BUCKET: "cells",
    CELLOS_FLEET_SPEC_ID: "a",
    CELLOS_FLEET_ATTEMPT: "1",
    CELLOS_FLEET_CLAIM: "c",
    CELLOS_FLEET_NODE_ID: "n",
    CELLOS_FLEET_TEST_FAULT: "1",
    AWS_REGION: "eu-central-1",
  });
  assert.deepEqual(warnings, []);
});

Deno.test("no message ever holds a credential, a line end or a control character", () => {
  const credential = "wJalrXUtnFEMI/K7MDENG";
  const names = fc.constantFrom(
    ...listOptions().map((option) => option.name),
    "CELLOS_FLEET_OTHER",
    "RUST_LOG",
  );
  const values = fc.string({ unit: "binary", maxLength: 20 });
  fc.assert(fc.property(fc.dictionary(names, values), (env) => {
    const result = readConfig({
      ...env,
      AWS_SECRET_ACCESS_KEY: credential,
      AWS_SESSION_TOKEN: credential,
    });
    const messages = "problems" in result ? result.problems : [];
    for (const message of [...messages, ...result.warnings]) {
      assert.doesNotMatch(message, /\p{Cc}/u);
      assert.ok(!message.includes(credential));
    }
  }));
});

Deno.test("the help text names every variable with its default, within 100 columns", () => {
  const text = usage();
  for (const option of listOptions()) {
    const row = text.split("\n").find((line) => line.trim().startsWith(`${option.name} `));
    assert.ok(row?.includes(` ${option.shownDefault} `), option.name);
  }
  for (const line of text.split("\n")) {
    assert.ok(line.length <= 100 && line === line.trimEnd(), line);
  }
  for (const code of ["0", "64", "69", "70", "78", "130, 143"]) {
    assert.match(text, new RegExp(`^  ${code} `, "m"));
  }
});

Deno.test("the table for the README has one row for each variable", () => {
  const rows = optionsTable().trimEnd().split("\n");
  assert.equal(rows.length, listOptions().length + 2);
  const cells = rows.map((row) => row.split(/(?<!\\)\|/).length);
  assert.deepEqual(new Set(cells), new Set([6]));
  assert.equal(new Set(rows.map((row) => row.length)).size, 1);
  listOptions().forEach((option, index) => {
    assert.ok(rows[index + 2].startsWith(`| \`${option.name}\` `), rows[index + 2]);
  });
});

Deno.test("the command line: the agent, its options, help and version", () => {
  assert.deepEqual(parseCommandLine([]), { kind: "agent", once: false });
  assert.deepEqual(parseCommandLine(["--once"]), { kind: "agent", once: true });
  assert.deepEqual(parseCommandLine(["agent"]), { kind: "agent", once: false });
  assert.deepEqual(parseCommandLine(["agent", "--once"]), { kind: "agent", once: true });
  for (const args of [["--help"], ["-h"], ["agent", "--help"], ["--once", "--help"]]) {
    assert.deepEqual(parseCommandLine(args), { kind: "help" });
  }
  for (const args of [["--version"], ["-V"]]) {
    assert.deepEqual(parseCommandLine(args), { kind: "version" });
  }
});

Deno.test("a command line that is not understood is told in one line", () => {
  const messages: readonly (readonly [string[], string])[] = [
    [["agnet"], 'Unknown command "agnet"; did you mean agent?'],
    [["shutdown"], 'Unknown command "shutdown"'],
    [["ag\nent", "x"], 'Unknown command "ag\\nent"; did you mean agent?'],
    [[""], 'Unknown command ""'],
    [["--bogus"], "Unknown option '--bogus'"],
    [["-v"], "Unknown option '-v'"],
    [["--bo\ngus"], "Unknown option '--bo\\ngus'"],
    [["--once=3"], "Option '--once' does not take an argument"],
    [["agent", "x"], "Unexpected argument 'x'"],
    [["--once", "agent"], "Unexpected argument 'agent'"],
    [["--", "--once"], "Unexpected argument '--once'"],
  ];
  for (const [args, message] of messages) {
    assert.deepEqual(parseCommandLine(args), { kind: "usage-error", message });
  }
});

Deno.test("the nearest name is one that was probably meant, or none", () => {
  const names = ["status", "submit", "requeue", "cancel", "doctor"];
  assert.equal(nearest("stauts", names), "status");
  assert.equal(nearest("CANCEL", names), "cancel");
  assert.equal(nearest("re-queue", names), "requeue");
  assert.equal(nearest("xyz", names), undefined);
  assert.equal(nearest("", names), undefined);
  assert.equal(nearest("status", []), undefined);
});
