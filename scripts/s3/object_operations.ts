/** Operations on one object: get, head, put, copy, delete. */
import {
  type BucketObject,
  etagMatches,
  type MemoryBucket,
  type WriteCondition,
} from "./bucket.ts";
import { xmlResponse } from "./bucket_operations.ts";
import type { HttpResponse } from "./http_connection.ts";
import { decode, type S3Request } from "./request.ts";
import { noSuchKey, preconditionFailed, S3Error } from "./s3_error.ts";
import { keptContentEncoding, uploadedContent } from "./upload_body.ts";
import { document, text } from "./xml.ts";

const METADATA_PREFIX = "x-amz-meta-";
const MAX_METADATA_BYTES = 2048;
const KEPT_HEADERS = [
  "cache-control",
  "content-disposition",
  "content-encoding",
  "content-language",
  "content-type",
  "expires",
];

/** `GetObject` and `HeadObject`, with `Range`, `If-Match` and `If-None-Match`. */
export function getObject(bucket: MemoryBucket, request: S3Request): HttpResponse {
  const object = existing(bucket, request.key);
  const { ifMatch, ifNoneMatch } = request;
  if (ifMatch !== undefined && !anyMatches(ifMatch, object.etag)) {
    throw preconditionFailed(request.key, "If-Match");
  }
  const headers = objectHeaders(object);
  if (ifNoneMatch !== undefined && anyMatches(ifNoneMatch, object.etag)) {
    return { status: 304, headers };
  }
  const range = requestedRange(request.headers.get("range"), object.size);
  if (range === undefined) {
    return { status: 200, headers, body: object.body, contentLength: object.size };
  }
  headers["content-range"] = `bytes ${range.start}-${range.end - 1}/${object.size}`;
  return { status: 206, headers, body: object.body.subarray(range.start, range.end) };
}

/** `PutObject`, with `If-None-Match: *` or `If-Match`. */
export function putObject(bucket: MemoryBucket, request: S3Request): HttpResponse {
  const { key, headers } = request;
  const condition = writeCondition(request);
  const content = uploadedContent(request.body, headers);
  const { metadata, kept } = describedObject(request);
  const result = bucket.put(key, content, metadata, condition, { headers: kept });
  return { status: 200, headers: { etag: writtenEtag(result, request) } };
}

/** `CopyObject`, with both metadata directives and conditions on source and target. */
export function copyObject(
  bucket: MemoryBucket,
  request: S3Request,
  buckets: ReadonlyMap<string, MemoryBucket>,
  now: () => number,
): HttpResponse {
  const { source, bucketName } = copySource(request, buckets);
  const replaces = request.headers.get("x-amz-metadata-directive") === "REPLACE";
  if (bucketName === request.bucket && source.key === request.key && !replaces) {
    throw new S3Error(
      "InvalidRequest",
      "This copy request is illegal because it is trying to copy an object to itself without " +
        "changing the object's metadata, storage class, website redirect location or encryption " +
        "attributes.",
    );
  }
  const described = replaces
    ? describedObject(request)
    : { metadata: source.metadata, kept: source.headers };
  const result = bucket.put(
    request.key,
    source.body,
    described.metadata,
    writeCondition(request),
    { headers: described.kept },
  );
  const etag = writtenEtag(result, request);
  return xmlResponse(copyResult("CopyObjectResult", etag, now()));
}

/** `DeleteObject`: 204 whether or not there was one, unless a condition says otherwise. */
export function deleteObject(bucket: MemoryBucket, request: S3Request): HttpResponse {
  const { key, ifMatch } = request;
  const outcome = bucket.delete(key, ifMatch);
  if (outcome === "refused") throw preconditionFailed(key, "If-Match");
  if (outcome === "absent" && ifMatch !== undefined) throw noSuchKey(key);
  return { status: 204, headers: {} };
}

/** The object that `x-amz-copy-source` names, if the conditions on it hold. */
export function copySource(
  request: S3Request,
  buckets: ReadonlyMap<string, MemoryBucket>,
): { source: BucketObject; bucketName: string } {
  const path = request.headers.get("x-amz-copy-source")!.replace(/^\//, "");
  const [bucketName, ...rest] = decode(path).split("/");
  const key = rest.join("/");
  const bucket = buckets.get(bucketName);
  if (bucket === undefined) throw noSuchBucket(bucketName);
  const source = existing(bucket, key);
  const ifMatch = request.headers.get("x-amz-copy-source-if-match");
  const ifNoneMatch = request.headers.get("x-amz-copy-source-if-none-match");
  if (
    (ifMatch !== undefined && !anyMatches(ifMatch, source.etag)) ||
    (ifNoneMatch !== undefined && anyMatches(ifNoneMatch, source.etag))
  ) throw preconditionFailed(key, "x-amz-copy-source-If-Match");
  return { source, bucketName };
}

/** The body of an answer to a copy. */
export function copyResult(root: string, etag: string, nowMs: number): string {
  const modified = new Date(Math.floor(nowMs / 1000) * 1000).toISOString();
  return document(root, text("LastModified", modified) + text("ETag", etag));
}

/** User metadata and the headers to keep, as the request states them. */
export function describedObject(request: S3Request) {
  const metadata: Record<string, string> = {};
  const kept: Record<string, string> = {};
  let metadataBytes = 0;
  for (const [name, value] of request.headers) {
    if (!name.startsWith(METADATA_PREFIX)) continue;
    metadata[name.slice(METADATA_PREFIX.length)] = value;
    metadataBytes += name.length - METADATA_PREFIX.length + value.length;
  }
  for (const name of KEPT_HEADERS) {
    const value = request.headers.get(name);
    if (value !== undefined) kept[name] = value;
  }
  if (kept["content-encoding"] !== undefined) {
    kept["content-encoding"] = keptContentEncoding(kept["content-encoding"]);
    if (kept["content-encoding"] === "") delete kept["content-encoding"];
  }
  kept["content-type"] ??= "binary/octet-stream";
  if (metadataBytes > MAX_METADATA_BYTES) {
    throw new S3Error(
      "MetadataTooLarge",
      "Your metadata headers exceed the maximum allowed metadata size",
      { Size: String(metadataBytes), MaxSizeAllowed: String(MAX_METADATA_BYTES) },
    );
  }
  return { metadata, kept };
}

/** The condition on the object to be written; throws `NotImplemented` for those S3 does not have. */
export function writeCondition({ ifMatch, ifNoneMatch }: S3Request): WriteCondition | undefined {
  if (ifMatch === undefined && ifNoneMatch === undefined) return undefined;
  if (ifMatch !== undefined && ifNoneMatch === undefined) return { ifMatch };
  if (ifMatch === undefined && ifNoneMatch === "*") return { ifNoneMatch: true };
  throw new S3Error(
    "NotImplemented",
    "A header you provided implies functionality that is not implemented",
    { Header: "If-None-Match" },
  );
}

/** The ETag of a write that was done; throws the error of one that was not. */
export function writtenEtag(result: ReturnType<MemoryBucket["put"]>, request: S3Request): string {
  if (result === "absent") throw noSuchKey(request.key);
  if (result !== "refused") return result.etag;
  throw preconditionFailed(
    request.key,
    request.ifMatch === undefined ? "If-None-Match" : "If-Match",
  );
}

/** The error of a bucket that does not exist. */
export function noSuchBucket(name: string): S3Error {
  return new S3Error("NoSuchBucket", "The specified bucket does not exist", { BucketName: name });
}

/**
 * The bytes that a `Range` header asks for, `end` exclusive; undefined for all of them, also when the
 * header is not understood (RFC 9110, section 14.2). Throws `InvalidRange` for a range outside.
 */
export function requestedRange(
  header: string | undefined,
  size: number,
): { start: number; end: number } | undefined {
  const match = /^bytes=(\d*)-(\d*)$/.exec(header ?? "");
  if (match === null || (match[1] === "" && match[2] === "")) return undefined;
  const [first, last] = [match[1], match[2]];
  if (first !== "" && last !== "" && Number(last) < Number(first)) return undefined;
  const start = first === "" ? Math.max(0, size - Number(last)) : Number(first);
  const end = first === "" || last === "" ? size : Math.min(size, Number(last) + 1);
  if (start < end) return { start, end };
  throw new S3Error("InvalidRange", "The requested range is not satisfiable", {
    RangeRequested: header!,
    ActualObjectSize: String(size),
  });
}

function existing(bucket: MemoryBucket, key: string): BucketObject {
  const object = bucket.get(key);
  if (object === undefined) throw noSuchKey(key);
  return object;
}

function anyMatches(header: string, etag: string): boolean {
  return header.split(",").some((wanted) => etagMatches(wanted.trim(), etag));
}

function objectHeaders(object: BucketObject): Record<string, string> {
  const headers: Record<string, string> = {
    ...object.headers,
    etag: object.etag,
    "last-modified": new Date(object.lastModifiedMs).toUTCString(),
    "accept-ranges": "bytes",
  };
  for (const name in object.metadata) headers[METADATA_PREFIX + name] = object.metadata[name];
  return headers;
}
