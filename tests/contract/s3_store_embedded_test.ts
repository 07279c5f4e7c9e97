import { createS3Store } from "../../lib/edge/s3_store.ts";
import { quotedMd5 } from "../../scripts/s3/bucket.ts";
import { type S3ServerOptions, startS3Server } from "../../scripts/s3_server.ts";
import { etagDialects } from "./etag_dialects.ts";
import { type OpenStore, storeContract } from "./store_contract.ts";
import { unsendableKeys } from "./unsendable_keys.ts";

function open(options: S3ServerOptions = {}): Promise<OpenStore> {
  const server = startS3Server({ buckets: ["contract"], ...options });
  const store = createS3Store({
    bucket: "contract",
    endpoint: server.endpoint,
    userAgent: "cellos-fleet/test",
    environment: { AWS_ACCESS_KEY_ID: "test", AWS_SECRET_ACCESS_KEY: "test" },
    requestTimeoutMs: 60_000,
  });
  return Promise.resolve({
    store,
    async [Symbol.asyncDispose]() {
      store[Symbol.dispose]();
      await server.close();
    },
  });
}

storeContract("S3 store on the embedded server", () => open(), {
  keys: unsendableKeys(),
});

etagDialects(
  "S3 store on the embedded server",
  (dialect) => open({ etagOf: (body) => dialect(quotedMd5(body)) }),
);
