/** The schemas and the program's decoders take the same records, however these are broken. */
import assert from "node:assert/strict";
import type { ValidateFunction } from "ajv/dist/2020.js";
import fc from "fast-check";
import { decodeCancelMark } from "../../lib/core/cancel_mark.ts";
import { decodeLease } from "../../lib/core/lease.ts";
import { decodeNodeRecord } from "../../lib/core/node_record.ts";
import { decodeResult, REASONS } from "../../lib/core/result.ts";
import {
  sampleCancelMark,
  sampleExitedLease,
  sampleLease,
  sampleNodeRecord,
  sampleResult,
} from "../core/sample_records.ts";
import { compileSchemas } from "./validators.ts";

type Json = null | boolean | number | string | Json[] | { [name: string]: Json };
type Path = readonly (string | number)[];

const validators = await compileSchemas({ formats: false });

interface Kind {
  readonly name: string;
  readonly sample: unknown;
  readonly validate: ValidateFunction;
  decode(bytes: Uint8Array): unknown;
}

const KINDS: readonly Kind[] = [
  {
    name: "result record",
    sample: sampleResult(),
    validate: validators.result,
    decode: decodeResult,
  },
  { name: "lease", sample: sampleLease(), validate: validators.lease, decode: decodeLease },
  {
    name: "committed lease",
    sample: sampleExitedLease(),
    validate: validators.lease,
    decode: decodeLease,
  },
  {
    name: "node record",
    sample: sampleNodeRecord(),
    validate: validators.node,
    decode: decodeNodeRecord,
  },
  {
    name: "cancel mark",
    sample: sampleCancelMark(),
    validate: validators.cancel,
    decode: decodeCancelMark,
  },
];

function pathsOf(value: Json, at: Path = []): Path[] {
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([name, item]) => {
    return [[...at, name], ...pathsOf(item, [...at, name])];
  });
}

/** A copy with the value at a path replaced, or removed where `replacement` is undefined. */
function changed(value: Json, path: Path, replacement: Json | undefined): Json {
  const copy = structuredClone(value);
  let parent = copy as Record<string, Json>;
  for (const name of path.slice(0, -1)) parent = parent[name] as Record<string, Json>;
  if (replacement === undefined) delete parent[path.at(-1)!];
  else parent[path.at(-1)!] = replacement;
  return copy;
}

/**
 * The one rule that JSON Schema cannot state: a committed lease and its result are of the same spec.
 */
function isCrossField(path: Path, kind: Kind): boolean {
  return kind.name === "committed lease" && path.at(-1) === "specId";
}

/** Near misses first: values that a careless schema would let through, or refuse. */
const ODD: readonly Json[] = [
  ...["", "x", "exited", "claimed", "releasing", "completed", "failed", "pending"],
  ...REASONS,
  ...[0, -0, -1, 1, 1.5, 2 ** 53 - 1, 2 ** 53, 1e300, -1e300],
  ...[null, true, false, [], {}, [[]], [{}]],
];
const anyValue = fc.oneof(
  fc.constantFrom(...ODD),
  fc.jsonValue({ maxDepth: 2 }).map((value) => value as Json),
  fc.constant(undefined),
);

for (const kind of KINDS) {
  const sample: Json = JSON.parse(JSON.stringify(kind.sample));
  const paths = pathsOf(sample);

  const assertAgree = (record: Json, what: string) => {
    // What is not JSON (undefined in an array, -0) is what it is once it has been stored.
    const text = JSON.stringify(record);
    const valid = kind.validate(JSON.parse(text));
    const decoded = kind.decode(new TextEncoder().encode(text)) !== undefined;
    assert.equal(valid, decoded, `${what}: the schema says ${valid}, the decoder ${decoded}`);
  };

  Deno.test(`${kind.name}: the sample is valid, and every field of it is in the schema`, () => {
    assert.ok(kind.validate(sample), JSON.stringify(kind.validate.errors));
    assertAgree(sample, "the sample");
    const properties = Object.keys((kind.validate.schema as { properties: object }).properties);
    assert.deepEqual(
      Object.keys(sample as object).filter((name) => !properties.includes(name)),
      [],
    );
  });

  Deno.test(`${kind.name}: schema and decoder agree on records with one field changed`, () => {
    for (const path of paths) {
      if (isCrossField(path, kind)) continue;
      for (const value of [...ODD, undefined]) {
        assertAgree(changed(sample, path, value), `${path.join(".")} = ${JSON.stringify(value)}`);
      }
    }
  });

  Deno.test(`${kind.name}: schema and decoder agree on records with several fields changed`, () => {
    const change = fc.tuple(
      fc.constantFrom(...paths.filter((path) => !isCrossField(path, kind))),
      anyValue,
    );
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 3 }), (changes) => {
        // The deepest first: a change further up takes away what is below.
        const ordered = changes.toSorted(([a], [b]) => b.length - a.length);
        const record = ordered.reduce((so, [path, value]) => changed(so, path, value), sample);
        assertAgree(record, JSON.stringify(record));
      }),
      { numRuns: 3_000 },
    );
  });

  Deno.test(`${kind.name}: schema and decoder agree that anything else is none`, () => {
    fc.assert(fc.property(fc.jsonValue(), (value) => assertAgree(value as Json, "any JSON")));
  });
}
