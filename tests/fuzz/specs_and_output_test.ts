import assert from "node:assert/strict";
import fc from "fast-check";
import { escapeControls } from "../../lib/core/escape_controls.ts";
import { QueueKeys } from "../../lib/core/keys.ts";
import { nearest } from "../../lib/core/nearest.ts";
import { OutputLines, OutputTail } from "../../lib/core/output_lines.ts";
import { mayRun, readPlacement } from "../../lib/core/spec.ts";

const encode = (text: string) => new TextEncoder().encode(text);

Deno.test("any bytes have a placement, and what cannot be read may run anywhere", () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
    const placement = readPlacement(bytes);
    if (placement.kind === "unreadable") assert.ok(placement.cause !== "");
    // Random bytes never spell out a pool.
    assert.notEqual(placement.kind, "pool");
    assert.equal(mayRun(placement, "gpu"), true);
  }));
});

Deno.test("any JSON has a placement, and only a text at spec.placement.poolId is a pool", () => {
  const inner = fc.jsonValue({ maxDepth: 2 });
  const documents = fc.oneof(
    fc.jsonValue({ maxDepth: 4 }),
    inner.map((poolId) => ({ spec: { placement: { poolId } } })),
    inner.map((placement) => ({ spec: { placement } })),
    inner.map((spec) => ({ spec })),
  );
  let pools = 0;
  fc.assert(
    fc.property(documents, (document) => {
      const placement = readPlacement(encode(JSON.stringify(document)));
      // deno-lint-ignore no-explicit-any
      const poolId = (document as any)?.spec?.placement?.poolId;
      const isPool = typeof poolId === "string" && poolId !== "";
      assert.equal(placement.kind === "pool", isPool);
      if (placement.kind !== "pool") return;
      pools++;
      assert.equal(placement.poolId, poolId);
    }),
    { numRuns: 1_000 },
  );
  assert.ok(pools > 10, `only ${pools} pools came up`);
});

Deno.test("a document nested without end is unreadable or read, and no crash", () => {
  for (const depth of [1_000, 100_000]) {
    for (const [open, close] of [["[", "]"], ['{"spec":', "}"]]) {
      const text = open.repeat(depth) + (open === "[" ? "" : "1") + close.repeat(depth);
      assert.notEqual(readPlacement(encode(text)).kind, "pool");
    }
  }
});

Deno.test("any key of a listing is a spec, a lease or other, and no crash", () => {
  const keys = new QueueKeys("fleet", "");
  const tails = fc.oneof(
    fc.string({ unit: "binary" }),
    fc.constantFrom("", "/", ".", "..", "a/./b", "a.json", "a.lease", "\ud800"),
  );
  fc.assert(
    fc.property(tails, fc.constantFrom("", ".json", ".lease"), (tail, suffix) => {
      const key = `fleet/claimed/${tail}${suffix}`;
      const kind = keys.claimedKey(key);
      if (kind.kind === "spec") assert.equal(keys.claimed(kind.id), key);
      if (kind.kind === "lease") assert.equal(keys.lease(kind.id), key);
      if (kind.kind === "other") assert.equal(keys.specId("claimed", key), undefined);
    }),
    { numRuns: 1_000 },
  );
});

Deno.test("any output comes out as lines of bounded length, the same however it was cut up", () => {
  const chunk = fc.oneof(
    fc.uint8Array({ maxLength: 60 }),
    fc.string({ unit: "binary", maxLength: 20 }).map(encode),
    fc.constantFrom("\n", "\r\n", "\r", "\n\n", "🚀🚀").map(encode),
  );
  const maxBytes = fc.integer({ min: 4, max: 40 });
  fc.assert(
    fc.property(fc.array(chunk, { maxLength: 12 }), maxBytes, (chunks, limit) => {
      const whole = Uint8Array.from(chunks.flatMap((bytes) => [...bytes]));
      const once = new OutputLines(limit);
      const expected = [...once.push(whole), ...once.end()];
      const piecewise = new OutputLines(limit);
      const lines = chunks.flatMap((bytes) => piecewise.push(bytes));
      assert.deepEqual([...lines, ...piecewise.end()], expected);
      for (const { text } of expected) {
        assert.equal(text.includes("\n"), false);
        assert.ok(text.length <= limit, `${text.length} of ${limit}`);
      }
      const lineEnds = whole.filter((byte) => byte === 0x0a).length;
      const complete = expected.filter(({ truncated }) => !truncated).length;
      assert.ok(complete === lineEnds || complete === lineEnds + 1);
    }),
    { numRuns: 1_000 },
  );
});

Deno.test("the tail of any output is its end, and the count is its length", () => {
  const chunks = fc.array(fc.uint8Array({ maxLength: 30 }), { maxLength: 12 });
  fc.assert(fc.property(chunks, fc.nat({ max: 40 }), (pushed, limit) => {
    const whole = pushed.flatMap((bytes) => [...bytes]);
    const tail = new OutputTail(limit);
    for (const bytes of pushed) tail.push(bytes);
    assert.equal(tail.totalBytes, whole.length);
    assert.deepEqual([...tail.bytes], limit === 0 ? [] : whole.slice(-limit));
  }));
});

Deno.test("any text can be shown on one line, and JSON stays the same JSON", () => {
  fc.assert(fc.property(fc.string({ unit: "binary" }), (text) => {
    const shown = escapeControls(text);
    assert.doesNotMatch(shown, /[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]/u);
    const json = JSON.stringify({ text });
    assert.deepEqual(JSON.parse(escapeControls(json)), { text });
  }));
});

Deno.test("a hint is one of the names, and a name itself is its own hint", () => {
  const names = ["POOL_ID", "PREFIX", "BUCKET"];
  fc.assert(fc.property(fc.string(), (text) => {
    const hint = nearest(text, names);
    assert.ok(hint === undefined || names.includes(hint));
  }));
  for (const name of names) assert.equal(nearest(name, names), name);
});
