/** The demo's verdict: it must find what the demo is there to show the absence of. */
import assert from "node:assert/strict";
import { encodeResult, newResult, resultMetadata } from "../lib/core/result.ts";
import type { BucketObject } from "../scripts/demo/demo_bucket.ts";
import { type DemoSpec, PREFIX, SPECS } from "../scripts/demo/specs.ts";
import { judgeBucket } from "../scripts/demo/verdict.ts";

/** What a spec leaves behind when it ends as it should. */
function traces({ id, body, end }: DemoSpec): BucketObject[] {
  const object = (folder: string, bytes: Uint8Array, metadata = {}): BucketObject => ({
    key: `${PREFIX}/${folder}/${id}.json`,
    body: bytes,
    metadata,
  });
  const spec = new TextEncoder().encode(body);
  if (end.folder === "pending") return [object("pending", spec)];
  const origin = {
    specId: id,
    claim: `claim of ${id}`,
    attempt: end.attempt,
    claimedAt: "2026-01-02T03:04:05.678Z",
    attempts: [],
    node: "node-a",
    specBytes: spec.length,
    poolId: "blue",
  };
  const none = new Uint8Array();
  const exit = {
    exitCode: end.exitCode,
    stdoutBytes: 0,
    stderrBytes: 0,
    stdoutTail: none,
    stderrTail: none,
  };
  const result = newResult(origin, { reason: "exit", exit, endedAtMs: 0 });
  return [
    object(end.folder, spec, resultMetadata(result)),
    object("results", encodeResult(result)),
  ];
}

/** The end that the demo should come to, with some of its objects changed, left out or added. */
function failures(change: (objects: Map<string, BucketObject>) => void): string[] {
  const objects = new Map(SPECS.flatMap(traces).map((object) => [object.key, object]));
  change(objects);
  return judgeBucket([...objects.values()], SPECS)
    .filter(({ failure }) => failure !== undefined)
    .map(({ name, failure }) => `${name}: ${failure}`);
}

const key = (folder: string, id: string) => `${PREFIX}/${folder}/${id}.json`;

function copy(objects: Map<string, BucketObject>, from: string, to: string): void {
  objects.set(to, { ...objects.get(from)!, key: to });
}

Deno.test("the demo is content when every spec ended where it should", () => {
  assert.deepEqual(failures(() => {}), []);
});

Deno.test("the demo finds a spec that is lost, doubled, stuck, changed or run once too little", () => {
  const changes: readonly (readonly [(objects: Map<string, BucketObject>) => void, string[]])[] = [
    [
      (objects) => void objects.delete(key("completed", "hello")),
      ["hello is completed with exit code 0: it is in no folder"],
    ],
    [
      (objects) => copy(objects, key("completed", "hello"), key("failed", "hello")),
      ["hello is completed with exit code 0: it is in completed and failed"],
    ],
    [
      (objects) => {
        copy(objects, key("completed", "hello"), key("claimed", "hello"));
        objects.delete(key("completed", "hello"));
      },
      [
        "hello is completed with exit code 0: it is in claimed",
        "claimed/ is empty: it holds fleet/claimed/hello.json",
      ],
    ],
    [
      (objects) => copy(objects, key("completed", "hello"), `${PREFIX}/claimed/hello.lease`),
      ["claimed/ is empty: it holds fleet/claimed/hello.lease"],
    ],
    [
      (objects) => copy(objects, key("failed", "broken"), key("completed", "hello")),
      [
        "hello is completed with exit code 0: its result is of another claim",
        "every spec has the bytes that were submitted: not hello",
      ],
    ],
    [
      (objects) => {
        for (const object of traces({ ...SPECS[0], end: SPECS[1].end })) {
          objects.set(object.key, object);
        }
      },
      [
        "backup is completed at attempt 2 with exit code 0: its result record says completed, " +
        "exit code 0, attempt 1",
      ],
    ],
    [
      (objects) => copy(objects, key("results", "hello"), key("results", "elsewhere")),
      ["elsewhere is still pending: it has a result record"],
    ],
    [
      (objects) => copy(objects, key("pending", "elsewhere"), key("pending", "stray")),
      ["pending/ holds nothing but elsewhere: it holds fleet/pending/stray.json"],
    ],
  ];
  for (const [change, found] of changes) assert.deepEqual(failures(change), found);
});
