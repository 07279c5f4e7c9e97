/**
 * Uses the S3 store once through, as a program of its own, so that a test can give it the permissions
 * and the environment of the real one. Prints what it found, as one line of JSON.
 */
import { createS3Store } from "../../lib/edge/s3_store.ts";

using store = createS3Store({ bucket: "jobs", userAgent: "cellos-fleet/test" });
const body = new TextEncoder().encode("spec");
try {
  const created = await store.create("a/ü b.json", body, { claim: "1" });
  const refused = await store.create("a/ü b.json", body, {});
  const found = await store.get("a/ü b.json", 100);
  const tooLarge = await store.get("a/ü b.json", 1);
  const etag = created.outcome === "stored" ? created.etag : "";
  const replaced = await store.replace("a/ü b.json", etag, body, {});
  const { objects } = await store.list({ prefix: "a/" });
  const deleted = await store.delete("a/ü b.json", undefined);
  const outcomes = [created, refused, found, tooLarge, replaced, deleted].map((r) => r.outcome);
  console.log(JSON.stringify({ outcomes, keys: objects.map(({ key }) => key) }));
} catch (error) {
  console.log(JSON.stringify({ error: String(error) }));
}
