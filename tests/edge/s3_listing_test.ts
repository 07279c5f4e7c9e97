import assert from "node:assert/strict";
import { listPage } from "../../lib/edge/s3_answers.ts";

const page = (keys: string[], truncated: boolean) => ({
  $metadata: {},
  Contents: keys.map((Key) => ({ Key, ETag: '"e"', Size: 1, LastModified: new Date(0) })),
  IsTruncated: truncated,
});

Deno.test("a store that does not know start-after is refused, not listed for ever", () => {
  assert.throws(() => listPage(page(["a", "b"], true), "b"), /does not go on after the key/);
});

Deno.test("a page that goes on, and the last page, are taken", () => {
  assert.deepEqual(listPage(page(["c"], true), "b").objects.map(({ key }) => key), ["c"]);
  assert.equal(listPage(page([], false), "b").truncated, false);
});
