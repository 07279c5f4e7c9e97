import { MemoryBucket, quotedMd5 } from "../../scripts/s3/bucket.ts";
import { MemoryStore } from "../sim/memory_store.ts";
import { etagDialects } from "./etag_dialects.ts";
import { storeContract } from "./store_contract.ts";

storeContract("store in memory", () =>
  Promise.resolve({
    store: new MemoryStore(),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  }));

etagDialects("store in memory", (etagOf) =>
  Promise.resolve({
    store: new MemoryStore(
      new MemoryBucket({ now: Date.now, etagOf: (body) => etagOf(quotedMd5(body)) }),
    ),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  }));
