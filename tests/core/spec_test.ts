import assert from "node:assert/strict";
import { mayRun, type Placement, readPlacement } from "../../lib/core/spec.ts";

const bytes = (text: string) => new TextEncoder().encode(text);
const placed = (document: unknown) => readPlacement(bytes(JSON.stringify(document)));
const ofPool = (poolId: unknown) => ({ spec: { placement: { poolId } } });

Deno.test("a spec without a pool may run anywhere", () => {
  const documents = [
    {},
    { spec: null },
    { spec: {} },
    { spec: { placement: null } },
    { spec: { placement: {} } },
    ofPool(null),
    ofPool(""),
    { placement: { poolId: "x" } },
    { poolId: "x" },
  ];
  for (const document of documents) {
    assert.deepEqual(placed(document), { kind: "anywhere" }, JSON.stringify(document));
  }
});

Deno.test("the pool of a spec is read as it stands", () => {
  for (const poolId of ["gpu", " gpu ", "GPU", "日本", "a/b", "0"]) {
    assert.deepEqual(placed(ofPool(poolId)), { kind: "pool", poolId });
  }
});

Deno.test("a placement that cannot be read says why", () => {
  const table: [Uint8Array, string][] = [
    [bytes(""), "it is not JSON"],
    [bytes("{"), "it is not JSON"],
    [bytes("poolId: gpu"), "it is not JSON"],
    [Uint8Array.of(0xff, 0xfe), "it is not UTF-8"],
    [bytes("null"), "it is not a JSON object"],
    [bytes("[]"), "it is not a JSON object"],
    [bytes('"gpu"'), "it is not a JSON object"],
    [bytes('{"spec":[]}'), "spec is not an object"],
    [bytes('{"spec":"x"}'), "spec is not an object"],
    [bytes('{"spec":{"placement":[]}}'), "spec.placement is not an object"],
    [bytes('{"spec":{"placement":"gpu"}}'), "spec.placement is not an object"],
    [bytes('{"spec":{"placement":{"poolId":7}}}'), "spec.placement.poolId is not a string"],
    [bytes('{"spec":{"placement":{"poolId":["gpu"]}}}'), "spec.placement.poolId is not a string"],
    [bytes('{"spec":{"placement":{"poolId":false}}}'), "spec.placement.poolId is not a string"],
  ];
  for (const [input, cause] of table) {
    assert.deepEqual(readPlacement(input), { kind: "unreadable", cause });
  }
});

Deno.test("the placement gate: which node may run which spec", () => {
  const anywhere: Placement = { kind: "anywhere" };
  const unreadable: Placement = { kind: "unreadable", cause: "it is not JSON" };
  const gpu: Placement = { kind: "pool", poolId: "gpu" };
  const table: [Placement, string, boolean][] = [
    [anywhere, "", true],
    [anywhere, "gpu", true],
    [unreadable, "", true],
    [unreadable, "gpu", true],
    [gpu, "", true],
    [gpu, "gpu", true],
    [gpu, "GPU", false],
    [gpu, "gpu ", false],
    [gpu, "cpu", false],
  ];
  for (const [placement, pool, expected] of table) {
    assert.equal(mayRun(placement, pool), expected, `${JSON.stringify(placement)} on "${pool}"`);
  }
});

Deno.test("a byte order mark does not keep a spec from being read", () => {
  const document = bytes(`\ufeff${JSON.stringify(ofPool("gpu"))}`);
  assert.deepEqual(readPlacement(document), { kind: "pool", poolId: "gpu" });
});
