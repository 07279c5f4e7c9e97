/** The `Store` port on a bucket in memory. Every call takes effect at once; none fails by itself. */
import { keyProblem, metadataProblem } from "../../lib/core/object_limits.ts";
import { StoreError } from "../../lib/core/store_error.ts";
import type {
  DeleteResult,
  GetResult,
  ListPage,
  ListRequest,
  Metadata,
  ObjectHead,
  Store,
  WriteResult,
} from "../../lib/ports.ts";
import { etagMatches, MemoryBucket } from "../../scripts/s3/bucket.ts";

/** Rejects, as every store does, keys and metadata that S3 does not take. */
export class MemoryStore implements Store {
  readonly bucket: MemoryBucket;

  constructor(bucket: MemoryBucket = new MemoryBucket({ now: Date.now })) {
    this.bucket = bucket;
  }

  // deno-lint-ignore require-await
  async list(request: ListRequest): Promise<ListPage> {
    return this.bucket.list(request);
  }

  // deno-lint-ignore require-await
  async get(key: string, maxBytes: number): Promise<GetResult> {
    check(key);
    const object = this.bucket.get(key);
    if (object === undefined) return { outcome: "absent" };
    const { etag, size, lastModifiedMs, metadata, body } = object;
    const head = { key, etag, size, lastModifiedMs, metadata };
    return size > maxBytes
      ? { outcome: "too-large", head }
      : { outcome: "found", object: { ...head, body } };
  }

  async head(key: string): Promise<ObjectHead | undefined> {
    const answer = await this.get(key, -1);
    return answer.outcome === "too-large" ? answer.head : undefined;
  }

  // deno-lint-ignore require-await
  async create(key: string, body: Uint8Array, metadata: Metadata): Promise<WriteResult> {
    check(key, metadata);
    return writeResult(this.bucket.put(key, body, metadata, { ifNoneMatch: true }));
  }

  // deno-lint-ignore require-await
  async replace(
    key: string,
    etag: string,
    body: Uint8Array,
    metadata: Metadata,
  ): Promise<WriteResult> {
    check(key, metadata);
    return writeResult(this.bucket.put(key, body, metadata, { ifMatch: etag }));
  }

  // deno-lint-ignore require-await
  async put(key: string, body: Uint8Array, metadata: Metadata): Promise<void> {
    check(key, metadata);
    this.bucket.put(key, body, metadata);
  }

  // deno-lint-ignore require-await
  async copy(
    from: string,
    fromEtag: string,
    to: string,
    metadata: Metadata,
  ): Promise<WriteResult> {
    check(from);
    check(to, metadata);
    const source = this.bucket.head(from);
    return source !== undefined && etagMatches(fromEtag, source.etag)
      ? writeResult(this.bucket.copy(from, to, metadata))
      : { outcome: "refused" };
  }

  // deno-lint-ignore require-await
  async delete(key: string, etag: string | undefined): Promise<DeleteResult> {
    check(key);
    return { outcome: this.bucket.delete(key, etag) === "refused" ? "refused" : "deleted" };
  }
}

function writeResult(written: { readonly etag: string } | "refused" | "absent"): WriteResult {
  return typeof written === "string"
    ? { outcome: "refused" }
    : { outcome: "stored", etag: written.etag };
}

function check(key: string, metadata: Metadata = {}): void {
  const problem = keyProblem(key) ?? metadataProblem(metadata);
  if (problem !== undefined) {
    throw new StoreError("permanent", `Cannot use ${JSON.stringify(key)}: ${problem}`);
  }
}
