import assert from "node:assert/strict";
import fc from "fast-check";
import {
  type CellOutcome,
  claimOfMetadata,
  decodeResult,
  encodeResult,
  newResult,
  type Reason,
  REASONS,
  resultMetadata,
  type ResultRecord,
  withEarlierRun,
} from "../../lib/core/result.ts";
import { decodeNodeRecord, encodeNodeRecord } from "../../lib/core/node_record.ts";
import { sampleNodeRecord, sampleResult } from "./sample_records.ts";

const ORIGIN = {
  specId: "a",
  claim: "nonce",
  attempt: 1,
  claimedAt: "2026-01-01T00:00:00.000Z",
  attempts: [],
  node: "node-1",
  poolId: "",
  specBytes: 3,
};

function outcome(reason: Reason, exitCode?: number, signal?: string): CellOutcome {
  const bytes = new TextEncoder().encode("end");
  const streams = { stdoutBytes: 9, stderrBytes: 3, stdoutTail: bytes, stderrTail: bytes };
  return { reason, exit: { exitCode, signal, ...streams }, endedAtMs: 0 };
}

Deno.test("only a supervisor that exits by itself with 0 completes a spec", () => {
  for (const reason of REASONS) {
    for (const exitCode of [undefined, 0, 1, 3, 137, 255]) {
      const { status } = newResult(ORIGIN, outcome(reason, exitCode));
      const completed = reason === "exit" && exitCode === 0;
      assert.equal(status, completed ? "completed" : "failed", `${reason} ${exitCode}`);
    }
  }
  assert.equal(newResult(ORIGIN, { reason: "exit", endedAtMs: 0 }).status, "failed");
});

Deno.test("a result has what the run left, and nothing of a run that never started", () => {
  const ran = newResult({ ...ORIGIN, poolId: "gpu" }, {
    ...outcome("signal", undefined, "SIGKILL"),
    startedAtMs: 1_000,
    endedAtMs: 2_500,
    durationMs: 1_499.6,
  });
  assert.equal(ran.signal, "SIGKILL");
  assert.equal(ran.poolId, "gpu");
  assert.equal(ran.startedAt, "1970-01-01T00:00:01.000Z");
  assert.equal(ran.endedAt, "1970-01-01T00:00:02.500Z");
  assert.equal(ran.durationMs, 1_500);
  assert.deepEqual(ran.stdout, { bytes: 9, tail: "end" });
  const text = new TextDecoder().decode(encodeResult(newResult(ORIGIN, {
    reason: "lost",
    endedAtMs: 0,
  })));
  for (const absent of ["exitCode", "signal", "poolId", "startedAt", "durationMs"]) {
    assert.equal(text.includes(absent), false, absent);
  }
});

Deno.test("output that is not UTF-8 or cut in a character stays readable", () => {
  const tail = Uint8Array.of(0x82, 0xac, 0x61, 0xff, 0x62);
  const exit = { ...outcome("exit", 0).exit!, stdoutTail: tail };
  const result = newResult(ORIGIN, { reason: "exit", exit, endedAtMs: 0 });
  assert.equal(result.stdout.tail, "\ufffd\ufffda\ufffdb");
  assert.deepEqual(decodeResult(encodeResult(result))?.stdout, result.stdout);
});

Deno.test("a terminal object's metadata has the facts of the run", () => {
  assert.deepEqual(resultMetadata(sampleResult()), {
    "cellos-status": "failed",
    "cellos-reason": "exit",
    "cellos-exit-code": "3",
    "cellos-signal": "SIGTERM",
    "cellos-node": "node-1",
    "cellos-attempt": "2",
    "cellos-claim": "nonce-2",
    "cellos-started-at": "2026-03-01T12:00:00.000Z",
    "cellos-ended-at": "2026-03-01T12:00:00.000Z",
  });
  assert.equal(claimOfMetadata(resultMetadata(sampleResult())), "nonce-2");
  assert.equal(claimOfMetadata({}), undefined);
});

Deno.test("metadata is printable ASCII, as headers must be, whatever a node is called", () => {
  const text = fc.string({ unit: "binary" });
  fc.assert(fc.property(text, text, text, (node, signal, claim) => {
    const metadata = resultMetadata(sampleResult({ node, signal, claim, exitCode: undefined }));
    for (const [name, value] of Object.entries(metadata)) {
      assert.match(name, /^cellos-[a-z-]+$/);
      assert.match(value, /^[\x20-\x7e]*$/);
    }
    assert.equal("cellos-exit-code" in metadata, false);
  }));
});

Deno.test("an earlier run of the same id is kept, the newest first", () => {
  const first = sampleResult({ claim: "1", earlierRuns: [] });
  const second = withEarlierRun(sampleResult({ claim: "2", earlierRuns: [] }), first);
  const third = withEarlierRun(sampleResult({ claim: "3", earlierRuns: [] }), second);
  assert.deepEqual(third.earlierRuns.map(({ claim }) => claim), ["2", "1"]);
  assert.equal(third.claim, "3");
  assert.deepEqual(decodeResult(encodeResult(third)), third);
});

Deno.test("however often an id is run again, its history has ten runs at most", () => {
  let record: ResultRecord | undefined;
  for (let run = 1; run <= 50; run++) {
    record = withEarlierRun(sampleResult({ claim: String(run), earlierRuns: [] }), record);
    assert.equal(record.earlierRuns.length, Math.min(run - 1, 10));
  }
  const claims = record!.earlierRuns.map(({ claim }) => Number(claim));
  assert.deepEqual(claims, [49, 48, 47, 46, 45, 44, 43, 42, 41, 40]);
});

Deno.test("a record filed a second time is not its own earlier run", () => {
  const filed = sampleResult({ claim: "1" });
  assert.equal(withEarlierRun(filed, filed), filed);
  assert.equal(withEarlierRun(filed, undefined), filed);
});

Deno.test("result and node records come back as they were stored", () => {
  assert.deepEqual(decodeResult(encodeResult(sampleResult())), sampleResult());
  assert.deepEqual(decodeNodeRecord(encodeNodeRecord(sampleNodeRecord())), sampleNodeRecord());
});
