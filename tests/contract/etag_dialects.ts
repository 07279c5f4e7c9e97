/** ETags are opaque: what a store gave comes back to it unchanged, in whatever dialect it speaks. */
import assert from "node:assert/strict";
import { bytes, type OpenStore } from "./store_contract.ts";

/** The ETag in a store's own way of writing, from a quoted MD5. */
export type EtagDialect = (quotedMd5: string) => string;

const DIALECTS: Readonly<Record<string, EtagDialect>> = {
  quoted: (etag) => etag,
  unquoted: (etag) => etag.replaceAll('"', ""),
  weak: (etag) => `W/${etag}`,
  "of a multipart upload": (etag) => etag.replace(/"$/, '-3"'),
  "with odd characters": (etag) => etag.replace(/"$/, '/+=&<>"'),
  long: (etag) => `"${etag.replaceAll('"', "").repeat(8)}"`,
};

/** Registers a test for each dialect, on a store whose ETags are written by the function given. */
export function etagDialects(
  name: string,
  open: (dialect: EtagDialect) => Promise<OpenStore>,
): void {
  for (const [dialect, write] of Object.entries(DIALECTS)) {
    Deno.test(`${name}: an ETag that is ${dialect} is given back as it came`, async () => {
      await using opened = await open(write);
      const { store } = opened;
      const first = await store.create("a", bytes("1"), {}) as { outcome: string; etag: string };
      assert.equal(first.outcome, "stored");
      assert.equal(first.etag, write('"c4ca4238a0b923820dcc509a6f75849b"'));
      assert.equal((await store.head("a"))?.etag, first.etag);
      const get = await store.get("a", 10) as { object: { etag: string } };
      assert.equal(get.object.etag, first.etag);
      const { objects } = await store.list({ prefix: "" });
      assert.deepEqual(objects.map(({ etag }) => etag), [first.etag]);

      const second = await store.replace("a", first.etag, bytes("2"), {});
      assert.equal(second.outcome, "stored");
      const { etag } = second as { etag: string };
      assert.notEqual(etag, first.etag);
      assert.equal((await store.replace("a", first.etag, bytes("3"), {})).outcome, "refused");
      assert.equal((await store.delete("a", first.etag)).outcome, "refused");
      assert.equal((await store.delete("a", etag)).outcome, "deleted");
    });
  }
}
