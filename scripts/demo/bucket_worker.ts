/**
 * The demo's bucket: the embedded S3 server in a thread of its own, so that it answers whatever the
 * demo itself is doing. Tells of each change, and hands out all objects when asked.
 */
import { MemoryBucket } from "../s3/bucket.ts";
import { startS3Server } from "../s3_server.ts";
import type { BucketMessage } from "./demo_bucket.ts";

/** The part of a worker's global scope in use; the type checker is set up for the main thread. */
interface WorkerScope {
  postMessage(message: BucketMessage): void;
  onmessage: ((event: MessageEvent) => void) | null;
}

const scope = globalThis as unknown as WorkerScope;

const bucket = new MemoryBucket({
  now: Date.now,
  observe: ({ kind, key, previous }) =>
    scope.postMessage({ kind: "change", change: { kind, key, isNew: previous === undefined } }),
});
const server = startS3Server({ buckets: new Map([["fleet", bucket]]) });
scope.onmessage = () => {
  const objects = [];
  let startAfter: string | undefined;
  for (let truncated = true; truncated;) {
    const page = bucket.list({ prefix: "", startAfter });
    for (const { key } of page.objects) {
      const { body, metadata } = bucket.get(key)!;
      objects.push({ key, body, metadata });
    }
    startAfter = page.objects.at(-1)?.key;
    truncated = page.truncated;
  }
  scope.postMessage({ kind: "objects", objects });
};
scope.postMessage({ kind: "listening", endpoint: server.endpoint });
