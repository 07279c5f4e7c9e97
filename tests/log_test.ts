import assert from "node:assert/strict";
import fc from "fast-check";
import { createLog } from "../lib/edge/json_log.ts";
import type { LogOptions } from "../lib/edge/json_log.ts";
import { describe } from "../lib/event_text.ts";
import type { LogRecord } from "../lib/event_text.ts";
import type { FleetEvent } from "../lib/events.ts";
import { Capture, FLUSH_MS, info, NOW_MS, open } from "./log_capture.ts";

async function render(record: LogRecord, options: Partial<LogOptions> = {}): Promise<string> {
  const output = new Capture();
  const log = open({ ...options, output });
  log.write(record, false);
  assert.equal(await log.flush(FLUSH_MS), true);
  const lines = output.lines();
  assert.equal(lines.length, 1);
  return lines[0];
}

async function fieldsOf(fields: LogRecord["fields"], options: Partial<LogOptions> = {}) {
  return JSON.parse(await render(info("m", fields), options)).fields;
}

Deno.test("a JSON line has the older agent's layout, to the byte", async () => {
  assert.equal(
    await render(info("claiming spec", { spec_id: "a", attempt: 2, pool: undefined }), {
      fields: { node: "n1" },
    }),
    '{"timestamp":"2026-01-02T03:04:05.678Z","level":"INFO","fields":{"message":"claiming spec",' +
      '"node":"n1","spec_id":"a","attempt":2},"target":"cellos_fleet"}',
  );
});

Deno.test("the message stays the message when a field is called so too", async () => {
  assert.deepEqual(await fieldsOf({ message: "other" }), { message: "m" });
});

Deno.test("levels are written in capitals, and those below the chosen one are left out", async () => {
  const levels = ["debug", "info", "warn", "error"] as const;
  const shown = { debug: 4, info: 3, warn: 2, error: 1 };
  for (const level of levels) {
    const output = new Capture();
    const log = open({ level, output });
    for (const other of levels) log.write({ level: other, message: "m", fields: {} }, false);
    await log.flush(FLUSH_MS);
    const written = output.lines().map((line) => JSON.parse(line).level);
    assert.deepEqual(written, ["DEBUG", "INFO", "WARN", "ERROR"].slice(4 - shown[level]));
  }
});

Deno.test("an event is logged as it describes itself", async () => {
  const output = new Capture();
  const log = createLog({
    level: "debug",
    format: "json",
    color: false,
    output,
    now: () => NOW_MS,
  });
  const event: FleetEvent = { name: "configuration-warning", text: "unknown variable" };
  log.emit(event);
  assert.equal(await log.flush(FLUSH_MS), true);
  assert.equal(JSON.parse(output.lines()[0]).fields.message, describe(event).message);
});

Deno.test("an event that cannot be described is told of, and not thrown at the agent", async () => {
  const output = new Capture();
  const log = createLog({ level: "info", format: "json", color: false, output, now: () => NOW_MS });
  log.emit({ name: "agent-stopped" } as FleetEvent);
  await log.flush(FLUSH_MS);
  const { level, fields } = JSON.parse(output.lines()[0]);
  assert.equal(level, "ERROR");
  assert.equal(fields.message, "Cannot log the event agent-stopped");
  assert.match(fields.error, /^TypeError: /);
});

Deno.test("the text format is one readable line, with values quoted where that is needed", async () => {
  const fields = { spec_id: "a", node: "n1", reason: "exit code 3", empty: "", list: [1, "x y"] };
  assert.equal(
    await render(info("claiming spec", fields), { format: "text" }),
    "2026-01-02 03:04:05.678  INFO claiming spec  spec_id=a node=n1 " +
      'reason="exit code 3" empty="" list="[1,\\"x y\\"]"',
  );
  assert.equal(
    await render({ level: "error", message: "m", fields: {} }, { format: "text" }),
    "2026-01-02 03:04:05.678 ERROR m",
  );
});

Deno.test("text is coloured only where that is asked for", async () => {
  const record = info("m", { a: 1 });
  // deno-lint-ignore no-control-regex
  const sequences = /\x1b\[[0-9;]*m/g;
  const plain = await render(record, { format: "text" });
  const colored = await render(record, { format: "text", color: true });
  assert.doesNotMatch(plain, sequences);
  assert.match(colored, sequences);
  assert.equal(colored.replace(sequences, ""), plain);
});

Deno.test("no text of a cell can end a line or command the terminal, in either format", async () => {
  const hostile = fc.string({
    unit: fc.oneof(
      fc.constantFrom(
        "\n",
        "\r",
        "\u001b[2J",
        "\u001b]0;t\u0007",
        "\u009b",
        "\u2028",
        "\u202e",
        "\ud800",
      ),
      fc.string({ unit: "binary", maxLength: 1 }),
    ),
    maxLength: 20,
  });
  await fc.assert(
    fc.asyncProperty(hostile, hostile, hostile, async (message, name, value) => {
      for (const format of ["json", "text"] as const) {
        const line = await render(info(message, { [name]: value, nested: { [name]: [value] } }), {
          format,
        });
        assert.doesNotMatch(line, /[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]/u);
        if (format === "json") {
          assert.equal(JSON.parse(line).fields.message, message.toWellFormed());
        }
      }
    }),
    { numRuns: 300 },
  );
});

Deno.test("values that JSON does not know are rendered, not thrown at", async () => {
  const circular: Record<string, unknown> = { name: "c" };
  circular.self = circular;
  const trap = {
    get broken() {
      throw new Error("no");
    },
  };
  const cause = new Error("connection refused");
  const fields = await fieldsOf({
    error: new TypeError("cannot list", { cause }),
    aggregate: new AggregateError([cause, "late"], ""),
    large: 2n ** 64n,
    bytes: new TextEncoder().encode("tail"),
    when: new Date(NOW_MS),
    not_a_number: NaN,
    nothing: null,
    circular,
    trap,
    set: new Set([1]),
    map: new Map([["k", 1n]]),
    call: Symbol("s"),
    absent: undefined,
  });
  assert.deepEqual(fields, {
    message: "m",
    error: "TypeError: cannot list (caused by connection refused)",
    aggregate: "AggregateError:  (caused by connection refused) (caused by late)",
    large: "18446744073709551616",
    bytes: "tail",
    when: "2026-01-02T03:04:05.678Z",
    not_a_number: "NaN",
    nothing: null,
    circular: { name: "c", self: "[circular]" },
    trap: "[unreadable: no]",
    set: [1],
    map: { k: 1 + "" },
    call: "Symbol(s)",
  });
});

Deno.test("whatever a field holds, the line is JSON", async () => {
  await fc.assert(
    fc.asyncProperty(fc.dictionary(fc.string(), fc.anything()), async (fields) => {
      const line = JSON.parse(await render(info("m", fields)));
      assert.equal(line.fields.message, "m");
    }),
    { numRuns: 300 },
  );
});

Deno.test("a text beyond all measure is cut, and the line says by how much", async () => {
  const { text } = await fieldsOf({ text: "x".repeat(40_000) });
  assert.equal(text, `${"x".repeat(32_768)}… (7232 more characters)`);
});

Deno.test("fields with the name of a credential are redacted, at any depth", async () => {
  const named = {
    authorization: "a",
    "X-Amz-Security-Token": "b",
    client_secret: "c",
    Password: "d",
  };
  const fields = await fieldsOf({
    ...named,
    headers: { ...named, list: [{ apiKey: "e" }] },
    key: "k",
  });
  assert.equal(fields.key, "k");
  for (const name of Object.keys(named)) {
    assert.equal(fields[name], "[redacted]");
    assert.equal(fields.headers[name], "[redacted]");
  }
  assert.equal(fields.headers.list[0].apiKey, "[redacted]");
});

Deno.test("a known credential is redacted wherever it occurs", async () => {
  const secret = 'wJal"rXUt\\nFEMI/K7';
  const longer = `${secret}+MDENG`;
  for (const format of ["json", "text"] as const) {
    const line = await render(
      info(`signed with ${secret}`, {
        line: `export KEY=${longer};`,
        error: new Error("refused", { cause: new Error(longer) }),
        bytes: new TextEncoder().encode(secret),
        [secret]: [secret],
      }),
      { format, secrets: [secret, longer, "", "short"], fields: { common: "a short text" } },
    );
    assert.ok(!line.includes("rXUt") && !line.includes("MDENG"), line);
    assert.equal(line.split("[redacted]").length - 1, 6);
    assert.match(line, /a short text/);
  }
});
