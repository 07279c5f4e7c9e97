/** What a request asks of S3: path-style address, operation, conditions. */
import type { HttpRequest } from "./http_connection.ts";
import { S3Error } from "./s3_error.ts";

/** The operations that the server knows, by the names of the S3 API. */
export type Operation =
  | "ListBuckets"
  | "CreateBucket"
  | "HeadBucket"
  | "DeleteBucket"
  | "GetBucketLocation"
  | "ListObjects"
  | "ListObjectsV2"
  | "DeleteObjects"
  | "GetObject"
  | "HeadObject"
  | "PutObject"
  | "CopyObject"
  | "DeleteObject"
  | "CreateMultipartUpload"
  | "UploadPart"
  | "UploadPartCopy"
  | "CompleteMultipartUpload"
  | "AbortMultipartUpload";

export interface S3Request {
  readonly method: string;
  /** `Unknown` for what the server has no answer to. */
  readonly operation: Operation | "Unknown";
  /** Empty when the request is for the service itself. */
  readonly bucket: string;
  /** Empty when the request is for the bucket itself. */
  readonly key: string;
  readonly query: URLSearchParams;
  readonly headers: ReadonlyMap<string, string>;
  readonly body: Uint8Array;
  readonly ifMatch: string | undefined;
  readonly ifNoneMatch: string | undefined;
}

/**
 * Subresources with a meaning of their own that the server does not have. Without this list,
 * `PUT key?tagging` would pass for a plain upload.
 */
const OTHER_SUBRESOURCES = [
  ...["accelerate", "acl", "analytics", "attributes", "cors", "encryption", "inventory"],
  ...["legal-hold", "lifecycle", "logging", "metrics", "notification", "object-lock"],
  ...["ownershipControls", "policy", "policyStatus", "publicAccessBlock", "renameObject"],
  ...["replication", "requestPayment", "restore", "retention", "select", "session", "tagging"],
  ...["torrent", "versionId", "versioning", "versions", "website"],
];

const NO_QUERY = new URLSearchParams();

/** UTF-8 bytes. */
const MAX_KEY_BYTES = 1024;

/** Reads a request; throws `InvalidURI` or `KeyTooLongError` for an address that cannot be. */
export function parseRequest(http: HttpRequest): S3Request {
  const { method, target, headers, body } = http;
  const mark = target.indexOf("?");
  const path = mark < 0 ? target : target.slice(0, mark);
  const query = mark < 0 ? NO_QUERY : new URLSearchParams(target.slice(mark + 1));
  const slash = path.indexOf("/", 1);
  const bucket = decode(slash < 0 ? path.slice(1) : path.slice(1, slash));
  const key = slash < 0 ? "" : decode(path.slice(slash + 1));
  if (key.length * 3 > MAX_KEY_BYTES) checkKeyLength(key);
  return {
    method,
    operation: operationOf(method, bucket, key, query, headers) ?? "Unknown",
    bucket,
    key,
    query,
    headers,
    body,
    ifMatch: headers.get("if-match"),
    ifNoneMatch: headers.get("if-none-match"),
  };
}

/** The access key id that the request is signed with, in a header or in the query. */
export function accessKeyOf(request: S3Request): string | undefined {
  const authorization = request.headers.get("authorization");
  if (authorization !== undefined) {
    return /(?:Credential=|^AWS )([^/:,\s]+)/.exec(authorization)?.[1];
  }
  return request.query.get("X-Amz-Credential")?.split("/")[0] ??
    request.query.get("AWSAccessKeyId") ?? undefined;
}

/** Percent-decodes one part of a path; throws `InvalidURI`. */
export function decode(part: string): string {
  if (!part.includes("%")) return part;
  try {
    return decodeURIComponent(part);
  } catch {
    throw new S3Error("InvalidURI", `Couldn't parse the specified URI: ${part}`);
  }
}

function checkKeyLength(key: string): void {
  const bytes = new TextEncoder().encode(key).length;
  if (bytes <= MAX_KEY_BYTES) return;
  throw new S3Error("KeyTooLongError", "Your key is too long", {
    Size: String(bytes),
    MaxSizeAllowed: String(MAX_KEY_BYTES),
  });
}

function operationOf(
  method: string,
  bucket: string,
  key: string,
  query: URLSearchParams,
  headers: ReadonlyMap<string, string>,
): Operation | undefined {
  if (query.size > 0 && OTHER_SUBRESOURCES.some((name) => query.has(name))) return undefined;
  if (bucket === "") return method === "GET" ? "ListBuckets" : undefined;
  if (key === "") return bucketOperation(method, query);
  return objectOperation(method, query, headers);
}

function bucketOperation(method: string, query: URLSearchParams): Operation | undefined {
  switch (method) {
    case "PUT":
      return "CreateBucket";
    case "HEAD":
      return "HeadBucket";
    case "DELETE":
      return "DeleteBucket";
    case "POST":
      return query.has("delete") ? "DeleteObjects" : undefined;
    case "GET":
      if (query.has("location")) return "GetBucketLocation";
      if (query.has("uploads")) return undefined;
      return query.get("list-type") === "2" ? "ListObjectsV2" : "ListObjects";
  }
}

function objectOperation(
  method: string,
  query: URLSearchParams,
  headers: ReadonlyMap<string, string>,
): Operation | undefined {
  const upload = query.has("uploadId");
  switch (method) {
    case "GET":
      return upload ? undefined : "GetObject";
    case "HEAD":
      return "HeadObject";
    case "DELETE":
      return upload ? "AbortMultipartUpload" : "DeleteObject";
    case "POST":
      if (upload) return "CompleteMultipartUpload";
      return query.has("uploads") ? "CreateMultipartUpload" : undefined;
    case "PUT": {
      const copy = headers.has("x-amz-copy-source");
      if (upload) return copy ? "UploadPartCopy" : "UploadPart";
      return copy ? "CopyObject" : "PutObject";
    }
  }
}
