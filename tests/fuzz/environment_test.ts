import assert from "node:assert/strict";
import fc from "fast-check";
import { readConfig } from "../../lib/config.ts";
import { CONFIG_OPTIONS, listOptions } from "../../lib/config_options.ts";
import { QueueKeys, STATE_FOLDERS } from "../../lib/core/keys.ts";
import { parseCommandLine } from "../../lib/usage.ts";

const names = listOptions().map(({ name }) => name);
/** Halves of characters among them, which an environment or a listing can hold on some systems. */
const illFormed = fc.array(fc.integer({ min: 0, max: 0xffff }), { maxLength: 10 })
  .map((units) => String.fromCharCode(...units));
const oddTexts = fc.oneof(
  fc.string({ unit: "binary" }),
  fc.string(),
  illFormed,
  fc.constantFrom("\ud800", "a\udc00"),
  fc.constantFrom("", " ", "0", "-1", "1e3", "0x10", "9".repeat(400), "1.0", "٣", "true", "🚀"),
  fc.constantFrom("a/", "/a", "a//b", "../a", ".", "a\nb", "a\u0000b", "pending", "x/pending"),
  fc.constantFrom("127.0.0.1:9464", "[::1]:0", ":80", "host:99999", "host:-1", "[::1:80"),
);
const numbers = fc.oneof(fc.integer(), fc.double(), fc.bigInt()).map(String);
const environments = fc.dictionary(
  fc.oneof(
    fc.constantFrom(...names, "RUST_LOG"),
    fc.string({ unit: "binary" }),
    fc.string().map((name) => `CELLOS_FLEET_${name}`),
  ),
  fc.oneof(oddTexts, numbers),
);

const isLine = (text: string) => text !== "" && !/[\p{Cc}\u2028\u2029]/u.test(text);

Deno.test("any environment gives settings or problems, never an exception", () => {
  fc.assert(
    fc.property(environments, (env) => {
      const read = readConfig(env);
      if ("problems" in read) assert.ok(read.problems.length > 0);
      for (const text of "problems" in read ? read.problems : []) assert.ok(isLine(text), text);
      for (const text of read.warnings) assert.ok(isLine(text), text);
    }),
    { numRuns: 1_000 },
  );
});

Deno.test("settings that come through are within their bounds and can be worked with", () => {
  let accepted = 0;
  fc.assert(
    fc.property(
      fc.constantFrom(...names),
      fc.oneof(oddTexts, numbers, fc.nat().map(String)),
      (name, text) => {
        const read = readConfig({ CELLOS_FLEET_BUCKET: "bucket", [name]: text });
        if ("problems" in read) {
          assert.equal(read.problems.length, 1);
          assert.ok(read.problems[0].startsWith(name), read.problems[0]);
          return;
        }
        accepted++;
        const { config } = read;
        for (const value of Object.values(config)) {
          if (typeof value === "number") assert.ok(Number.isSafeInteger(value) && value >= 0);
        }
        assert.ok(config.leaseTtlMs >= 1_500 && config.killGraceMs <= config.leaseTtlMs / 2);
        assert.ok(config.concurrency >= 1 && config.maxAttempts >= 1 && config.maxSpecBytes >= 1);
        const keys = new QueueKeys(config.prefix, config.queueName);
        const key = keys.pending("a");
        assert.equal(new TextDecoder().decode(new TextEncoder().encode(key)), key);
        assert.equal(keys.specId("pending", key), "a");
      },
    ),
    { numRuns: 2_000 },
  );
  assert.ok(accepted > 50, `only ${accepted} were accepted`);
});

Deno.test("no prefix and lane that are allowed put one queue's objects into another's folders", () => {
  const segment = fc.constantFrom(...STATE_FOLDERS, "a", "b");
  const path = fc.array(segment, { minLength: 1, maxLength: 3 }).map((parts) => parts.join("/"));
  fc.assert(fc.property(path, fc.option(path), (prefix, queue) => {
    const lane = CONFIG_OPTIONS.queueName.parse(queue ?? "a");
    if (lane === undefined) return;
    // A lane is told from the queue that has no name by folder: none of the one is in the other.
    const unnamed = new QueueKeys(prefix, "");
    const named = new QueueKeys(prefix, lane);
    for (const folder of STATE_FOLDERS) {
      assert.equal(unnamed.specId(folder, named.pending("x")), undefined);
      assert.equal(named.specId(folder, unnamed.pending("x")), undefined);
    }
  }));
});

const words = fc.array(
  fc.oneof(
    fc.constantFrom("agent", "--once", "--help", "-h", "-V", "--version", "--", "-", "--once=1"),
    fc.constantFrom("-hV", "--no-once", "--constructor", "__proto__", "toString", "--=", "-é"),
    fc.string({ unit: "binary" }),
    fc.string().map((text) => `--${text}`),
  ),
  { maxLength: 6 },
);

Deno.test("any command line is a command or one line that says what is wrong", () => {
  fc.assert(
    fc.property(words, (args) => {
      const command = parseCommandLine(args);
      if (command.kind === "usage-error") assert.ok(isLine(command.message), command.message);
      if (command.kind === "agent") {
        const rest = args[0] === "agent" ? args.slice(1) : args;
        assert.ok(rest.every((word) => word === "--once" || word === "--"), args.join(" "));
        assert.equal(command.once, args.includes("--once"));
      }
    }),
    { numRuns: 2_000 },
  );
});
