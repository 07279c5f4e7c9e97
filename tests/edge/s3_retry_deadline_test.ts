import assert from "node:assert/strict";
import { s3Error, scriptedServer, testStore } from "./scripted_s3.ts";

Deno.test({
  name: "retries end when the time for the call is over",
  // The SDK's timer for the next try runs out by itself; it would be counted against the next test
  // of this file, so there is none.
  sanitizeOps: false,
  sanitizeResources: false,
  fn: async () => {
    await using server = scriptedServer(async () => {
      await new Promise((resolve) => setTimeout(resolve, 150));
      return s3Error(503, "SlowDown");
    });
    using store = testStore(server.endpoint);
    await assert.rejects(
      store.list({ prefix: "" }, { timeoutMs: 200 }),
      /no answer within 200 ms$/,
    );
  },
});
