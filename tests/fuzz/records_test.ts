import assert from "node:assert/strict";
import fc from "fast-check";
import { decodeCancelMark, encodeCancelMark } from "../../lib/core/cancel_mark.ts";
import { decodeLease, encodeLease } from "../../lib/core/lease.ts";
import { decodeNodeRecord, encodeNodeRecord } from "../../lib/core/node_record.ts";
import { decodeResult, encodeResult } from "../../lib/core/result.ts";
import {
  sampleCancelMark,
  sampleExitedLease,
  sampleLease,
  sampleNodeRecord,
  sampleResult,
} from "../core/sample_records.ts";

type Json = null | boolean | number | string | Json[] | { [name: string]: Json };
type Path = readonly (string | number)[];

interface Decoder {
  readonly name: string;
  readonly sample: Json;
  /** Fields that need not be there; `*` stands for any index. */
  readonly optional: readonly string[];
  decode(bytes: Uint8Array): unknown;
  encode(record: never): Uint8Array;
}

const RUN_OPTIONAL = ["exitCode", "signal"];
const RESULT_OPTIONAL = [
  ...RUN_OPTIONAL,
  ...["poolId", "startedAt", "durationMs"],
  ...RUN_OPTIONAL.map((field) => `earlierRuns.*.${field}`),
];

const lease = { decode: decodeLease, encode: encodeLease };
const DECODERS: readonly Decoder[] = [
  {
    name: "lease",
    sample: plain(sampleLease()),
    optional: ["poolId"],
    ...lease,
  },
  {
    name: "committed lease",
    sample: plain(sampleExitedLease()),
    optional: ["poolId", ...RESULT_OPTIONAL.map((field) => `commit.result.${field}`)],
    ...lease,
  },
  {
    name: "result record",
    sample: plain(sampleResult()),
    optional: RESULT_OPTIONAL,
    decode: decodeResult,
    encode: encodeResult,
  },
  {
    name: "node record",
    sample: plain(sampleNodeRecord()),
    optional: ["poolId", "lastPollAgeMs", "totals.claimed", "totals.completed"],
    decode: decodeNodeRecord,
    encode: encodeNodeRecord,
  },
  {
    name: "cancel mark",
    sample: plain(sampleCancelMark()),
    optional: [],
    decode: decodeCancelMark,
    encode: encodeCancelMark,
  },
];

function plain(value: unknown): Json {
  return JSON.parse(JSON.stringify(value));
}

function bytesOf(value: Json): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(value));
}

/** The paths of all fields, and of all elements of arrays. */
function pathsOf(value: Json, at: Path = []): Path[] {
  if (typeof value !== "object" || value === null) return [];
  const entries: [string | number, Json][] = Array.isArray(value)
    ? value.map((item, index) => [index, item])
    : Object.entries(value);
  return entries.flatMap(([name, item]) => [[...at, name], ...pathsOf(item, [...at, name])]);
}

function valueAt(value: Json, path: Path): Json {
  return path.reduce<Json>((inner, name) => (inner as Record<string, Json>)[name], value);
}

/** A copy with the value at a path replaced, or removed where `replacement` is undefined. */
function changed(value: Json, path: Path, replacement: Json | undefined): Json {
  const copy = structuredClone(value);
  const parent = valueAt(copy, path.slice(0, -1)) as Record<string, Json>;
  const name = String(path.at(-1));
  if (replacement === undefined) delete parent[name];
  else parent[name] = replacement;
  return copy;
}

function fieldOf(path: Path): string {
  return path.map((name) => typeof name === "number" ? "*" : name).join(".");
}

function typeOf(value: Json): string {
  return value === null ? "null" : Array.isArray(value) ? "array" : typeof value;
}

const isJson = (text: string) => {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
};

const anyJson = fc.jsonValue({ maxDepth: 3 }).map((value) => value as Json);

for (const { name, sample, optional, decode, encode } of DECODERS) {
  const paths = pathsOf(sample);
  const anyPath = fc.constantFrom(...paths);

  Deno.test(`${name}: any bytes at its key are no record, and are no error`, () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      assert.equal(decode(bytes), undefined);
    }));
  });

  Deno.test(`${name}: any JSON at its key is no record, and is no error`, () => {
    fc.assert(fc.property(anyJson, (value) => {
      assert.equal(decode(bytesOf(value)), undefined);
    }));
  });

  Deno.test(`${name}: without any one field that it must have, it is no record`, () => {
    assert.ok(decode(bytesOf(sample)) !== undefined);
    for (const path of paths.filter((path) => typeof path.at(-1) === "string")) {
      const field = fieldOf(path);
      const without = decode(bytesOf(changed(sample, path, undefined)));
      assert.equal(without !== undefined, optional.includes(field), field);
    }
  });

  Deno.test(`${name}: with a value of another type in any one field, it is no record`, () => {
    fc.assert(
      fc.property(anyPath, anyJson, (path, value) => {
        fc.pre(typeOf(value) !== typeOf(valueAt(sample, path)));
        assert.equal(decode(bytesOf(changed(sample, path, value))), undefined, fieldOf(path));
      }),
      { numRuns: 1_000 },
    );
  });

  Deno.test(`${name}: whatever is read as valid is the same when it is stored again`, () => {
    // As text, since JSON has numbers that JavaScript does not.
    const odd = fc.constantFrom("1e999", "-1e999", "-1", "0.5", "1e300", "0", '""', '"\\u0000"');
    const values = fc.oneof(odd, anyJson.map((value) => JSON.stringify(value)));
    fc.assert(
      fc.property(anyPath, values, (path, text) => {
        const marker = "a marker that stands nowhere else";
        const whole = JSON.stringify(changed(sample, path, marker));
        const decoded = decode(new TextEncoder().encode(whole.replace(`"${marker}"`, () => text)));
        if (decoded === undefined) return;
        const again = decode(encode(decoded as never));
        assert.deepEqual(again, decoded, `${fieldOf(path)} = ${text}`);
      }),
      { numRuns: 1_000 },
    );
  });

  Deno.test(`${name}: cut off anywhere, it is no record`, () => {
    const bytes = bytesOf(sample);
    for (let length = 0; length < bytes.length; length++) {
      assert.equal(decode(bytes.subarray(0, length)), undefined, `${length} bytes`);
    }
  });

  Deno.test(`${name}: with any one byte changed, it is no error`, () => {
    const bytes = bytesOf(sample);
    const index = fc.nat({ max: bytes.length - 1 });
    fc.assert(
      fc.property(index, fc.integer({ min: 0, max: 255 }), (at, byte) => {
        const broken = bytes.with(at, byte);
        const decoded = decode(broken);
        if (decoded !== undefined) assert.ok(isJson(new TextDecoder().decode(broken)));
      }),
      { numRuns: 2_000 },
    );
  });

  Deno.test(`${name}: a field of a later version does not keep it from being read`, () => {
    assert.ok(decode(bytesOf({ ...(sample as Record<string, Json>), later: { a: 1 } })));
  });

  Deno.test(`${name}: another version's record is not read as one of this version`, () => {
    fc.assert(fc.property(fc.string(), (schema) => {
      fc.pre(schema !== valueAt(sample, ["schema"]));
      assert.equal(decode(bytesOf(changed(sample, ["schema"], schema))), undefined);
    }));
    for (const other of DECODERS) {
      if (other.decode !== decode) assert.equal(decode(bytesOf(other.sample)), undefined);
    }
  });
}

Deno.test("a lease whose state and commit contradict each other is not read", () => {
  const committed = plain(sampleExitedLease());
  for (const state of ["claimed", "releasing", "running", "EXITED", ""]) {
    assert.equal(decodeLease(bytesOf(changed(committed, ["state"], state))), undefined, state);
  }
  assert.equal(decodeLease(bytesOf(changed(plain(sampleLease()), ["state"], "exited"))), undefined);
});

Deno.test("a lease with the outcome of another spec is not read", () => {
  const moved = changed(plain(sampleExitedLease()), ["specId"], "team/b");
  assert.equal(decodeLease(bytesOf(moved)), undefined);
});

Deno.test("counts that no agent writes are not read", () => {
  for (const count of [0, -1, 1.5, 2 ** 53, 1e300]) {
    const attempt = changed(plain(sampleLease()), ["attempt"], count);
    assert.equal(decodeLease(bytesOf(attempt)), undefined, `attempt ${count}`);
    if (count === 0) continue;
    const sequence = changed(plain(sampleLease()), ["sequence"], count);
    assert.equal(decodeLease(bytesOf(sequence)), undefined, `sequence ${count}`);
    const specBytes = changed(plain(sampleResult()), ["specBytes"], count);
    assert.equal(decodeResult(bytesOf(specBytes)), undefined, `specBytes ${count}`);
  }
  assert.equal(decodeLease(bytesOf(changed(plain(sampleLease()), ["nonce"], ""))), undefined);
});
