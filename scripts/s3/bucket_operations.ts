/** Operations on buckets, and on many objects at once: create, list, delete. */
import type { ListPage, ListRequest } from "../../lib/ports.ts";
import { MAX_PAGE_KEYS, type MemoryBucket } from "./bucket.ts";
import type { HttpResponse } from "./http_connection.ts";
import type { S3Request } from "./request.ts";
import { S3Error } from "./s3_error.ts";
import { compareKeys } from "./sorted_keys.ts";
import { document, parseDelete, text } from "./xml.ts";

/** An answer with an XML document. */
export function xmlResponse(body: string): HttpResponse {
  return { status: 200, headers: { "content-type": "application/xml" }, body };
}

/** `ListBuckets`. The buckets' age is not kept: each is as old as the epoch. */
export function listBuckets(buckets: ReadonlyMap<string, MemoryBucket>): HttpResponse {
  const created = text("CreationDate", new Date(0).toISOString());
  const entries = [...buckets.keys()].sort().map((name) =>
    `<Bucket>${text("Name", name)}${created}</Bucket>`
  );
  const owner = `<Owner>${text("ID", "embedded")}</Owner>`;
  return xmlResponse(
    document("ListAllMyBucketsResult", `${owner}<Buckets>${entries.join("")}</Buckets>`),
  );
}

/** `CreateBucket`; `create` makes an empty one. */
export function createBucket(
  buckets: Map<string, MemoryBucket>,
  name: string,
  create: () => MemoryBucket,
): HttpResponse {
  if (!/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/.test(name)) {
    throw new S3Error("InvalidBucketName", "The specified bucket is not valid.", {
      BucketName: name,
    });
  }
  if (buckets.has(name)) {
    throw new S3Error(
      "BucketAlreadyOwnedByYou",
      "Your previous request to create the named bucket succeeded and you already own it.",
      { BucketName: name },
    );
  }
  buckets.set(name, create());
  return { status: 200, headers: { location: `/${name}` } };
}

/** `DeleteBucket`, of an empty one. */
export function deleteBucket(
  buckets: Map<string, MemoryBucket>,
  name: string,
  bucket: MemoryBucket,
): HttpResponse {
  if (bucket.size > 0) {
    throw new S3Error("BucketNotEmpty", "The bucket you tried to delete is not empty", {
      BucketName: name,
    });
  }
  buckets.delete(name);
  return { status: 204, headers: {} };
}

/** `GetBucketLocation`: the region that has no name, us-east-1. */
export function getBucketLocation(): HttpResponse {
  return xmlResponse(document("LocationConstraint", ""));
}

/** `ListObjectsV2`. The continuation token is the last entry of the page before, in base64. */
export function listObjectsV2(bucket: MemoryBucket, request: S3Request): HttpResponse {
  const { query } = request;
  const token = query.get("continuation-token");
  const given = query.get("start-after") ?? undefined;
  const listing = listRequest(query, token === null ? given : fromToken(token));
  const page = bucket.list(listing);
  const encode = keyEncoding(query);
  const last = page.truncated ? lastEntry(page) : undefined;
  return xmlResponse(document(
    "ListBucketResult",
    head(request, listing, page, encode) +
      text("KeyCount", page.objects.length + page.commonPrefixes.length) +
      optional("StartAfter", given === undefined ? undefined : encode(given)) +
      optional("ContinuationToken", token ?? undefined) +
      optional("NextContinuationToken", last === undefined ? undefined : toToken(last)) +
      entries(page, encode),
  ));
}

/** `ListObjects`, the first version, which some tools still use. */
export function listObjects(bucket: MemoryBucket, request: S3Request): HttpResponse {
  const { query } = request;
  const marker = query.get("marker") ?? "";
  const listing = listRequest(query, marker === "" ? undefined : marker);
  const page = bucket.list(listing);
  const encode = keyEncoding(query);
  const next = page.truncated && listing.delimiter !== undefined ? lastEntry(page) : undefined;
  return xmlResponse(document(
    "ListBucketResult",
    head(request, listing, page, encode) + text("Marker", encode(marker)) +
      optional("NextMarker", next === undefined ? undefined : encode(next)) +
      entries(page, encode),
  ));
}

/** `DeleteObjects`: up to 1,000 keys, each with a condition of its own or none. */
export function deleteObjects(bucket: MemoryBucket, request: S3Request): HttpResponse {
  const { quiet, entries } = parseDelete(request.body);
  const results = entries.map(({ key, etag }) => {
    const outcome = bucket.delete(key, etag);
    if (outcome === "refused") {
      return refusedDelete(key, "PreconditionFailed", "At least one precondition did not hold");
    }
    if (outcome === "absent" && etag !== undefined) {
      return refusedDelete(key, "NoSuchKey", "The specified key does not exist.");
    }
    return quiet ? "" : `<Deleted>${text("Key", key)}</Deleted>`;
  });
  return xmlResponse(document("DeleteResult", results.join("")));
}

function refusedDelete(key: string, code: string, message: string): string {
  return `<Error>${text("Key", key)}${text("Code", code)}${text("Message", message)}</Error>`;
}

function listRequest(query: URLSearchParams, startAfter: string | undefined) {
  const asked = query.get("max-keys") ?? String(MAX_PAGE_KEYS);
  if (!/^\d+$/.test(asked)) {
    throw new S3Error("InvalidArgument", "Provided max-keys not an integer or within range", {
      ArgumentName: "max-keys",
      ArgumentValue: asked,
    });
  }
  return {
    prefix: query.get("prefix") ?? "",
    startAfter,
    delimiter: query.get("delimiter") || undefined,
    maxKeys: Math.min(Number(asked), MAX_PAGE_KEYS),
  } satisfies ListRequest;
}

function head(
  request: S3Request,
  listing: ReturnType<typeof listRequest>,
  page: ListPage,
  encode: (key: string) => string,
): string {
  const { delimiter } = listing;
  return text("Name", request.bucket) + text("Prefix", encode(listing.prefix)) +
    text("MaxKeys", listing.maxKeys) + text("IsTruncated", page.truncated) +
    optional("Delimiter", delimiter === undefined ? undefined : encode(delimiter)) +
    optional("EncodingType", request.query.get("encoding-type") ?? undefined);
}

function entries(page: ListPage, encode: (key: string) => string): string {
  let result = "";
  for (const { key, etag, size, lastModifiedMs } of page.objects) {
    result += `<Contents>${text("Key", encode(key))}` +
      text("LastModified", new Date(lastModifiedMs).toISOString()) + text("ETag", etag) +
      `<Size>${size}</Size><StorageClass>STANDARD</StorageClass></Contents>`;
  }
  for (const prefix of page.commonPrefixes) {
    result += `<CommonPrefixes>${text("Prefix", encode(prefix))}</CommonPrefixes>`;
  }
  return result;
}

function optional(name: string, value: string | undefined): string {
  return value === undefined ? "" : text(name, value);
}

function lastEntry({ objects, commonPrefixes }: ListPage): string {
  const key = objects.at(-1)?.key ?? "";
  const group = commonPrefixes.at(-1) ?? "";
  return compareKeys(key, group) < 0 ? group : key;
}

function keyEncoding(query: URLSearchParams): (key: string) => string {
  if (query.get("encoding-type") !== "url") return (key) => key;
  return (key) => encodeURIComponent(key).replaceAll("%2F", "/");
}

function toToken(entry: string): string {
  return btoa(String.fromCharCode(...new TextEncoder().encode(entry)));
}

function fromToken(token: string): string {
  try {
    const bytes = Uint8Array.from(atob(token), (character) => character.charCodeAt(0));
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new S3Error("InvalidArgument", "The continuation token provided is incorrect", {
      ArgumentName: "continuation-token",
    });
  }
}
