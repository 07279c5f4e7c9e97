/** Multipart uploads: what `aws s3 cp` does with files above 8 MiB. */
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { etagMatches, type MemoryBucket, quotedMd5 } from "./bucket.ts";
import { xmlResponse } from "./bucket_operations.ts";
import type { HttpResponse } from "./http_connection.ts";
import {
  copyResult,
  copySource,
  describedObject,
  requestedRange,
  writeCondition,
  writtenEtag,
} from "./object_operations.ts";
import type { S3Request } from "./request.ts";
import { S3Error } from "./s3_error.ts";
import { uploadedContent } from "./upload_body.ts";
import { document, parseParts, type PartReference, text } from "./xml.ts";

const MIN_PART_BYTES = 5 * 1024 * 1024;
const MAX_PART_NUMBER = 10_000;

interface Part {
  readonly body: Uint8Array;
  readonly etag: string;
}

interface Upload {
  readonly bucket: string;
  readonly key: string;
  readonly described: ReturnType<typeof describedObject>;
  readonly parts: Map<number, Part>;
}

/** The uploads under way. */
export class MultipartUploads {
  readonly #uploads = new Map<string, Upload>();
  #created = 0;

  create(request: S3Request): HttpResponse {
    const id = `upload-${++this.#created}`;
    const { bucket, key } = request;
    const described = describedObject(request);
    this.#uploads.set(id, { bucket, key, described, parts: new Map() });
    return xmlResponse(document(
      "InitiateMultipartUploadResult",
      text("Bucket", bucket) + text("Key", key) + text("UploadId", id),
    ));
  }

  uploadPart(request: S3Request): HttpResponse {
    const upload = this.#upload(request);
    const content = uploadedContent(request.body, request.headers);
    const etag = storePart(upload, partNumber(request), content);
    return { status: 200, headers: { etag } };
  }

  uploadPartCopy(
    request: S3Request,
    buckets: ReadonlyMap<string, MemoryBucket>,
    now: () => number,
  ): HttpResponse {
    const upload = this.#upload(request);
    const { source } = copySource(request, buckets);
    const range = requestedRange(request.headers.get("x-amz-copy-source-range"), source.size);
    const content = range === undefined
      ? source.body
      : source.body.subarray(range.start, range.end);
    const etag = storePart(upload, partNumber(request), content);
    return xmlResponse(copyResult("CopyPartResult", etag, now()));
  }

  complete(bucket: MemoryBucket, request: S3Request): HttpResponse {
    const upload = this.#upload(request);
    const parts = namedParts(upload, parseParts(request.body));
    const { metadata, kept } = upload.described;
    const result = bucket.put(
      upload.key,
      new Uint8Array(Buffer.concat(parts.map(({ body }) => body))),
      metadata,
      writeCondition(request),
      { headers: kept, etag: multipartEtag(parts) },
    );
    const etag = writtenEtag(result, request);
    this.#uploads.delete(request.query.get("uploadId")!);
    return xmlResponse(document(
      "CompleteMultipartUploadResult",
      text("Bucket", upload.bucket) + text("Key", upload.key) + text("ETag", etag),
    ));
  }

  abort(request: S3Request): HttpResponse {
    this.#upload(request);
    this.#uploads.delete(request.query.get("uploadId")!);
    return { status: 204, headers: {} };
  }

  #upload(request: S3Request): Upload {
    const id = request.query.get("uploadId") ?? "";
    const upload = this.#uploads.get(id);
    if (upload?.bucket === request.bucket && upload.key === request.key) return upload;
    throw new S3Error("NoSuchUpload", "The specified multipart upload does not exist.", {
      UploadId: id,
    });
  }
}

function partNumber(request: S3Request): number {
  const number = Number(request.query.get("partNumber"));
  if (Number.isInteger(number) && number >= 1 && number <= MAX_PART_NUMBER) return number;
  throw new S3Error(
    "InvalidArgument",
    `Part number must be an integer between 1 and ${MAX_PART_NUMBER}, inclusive`,
  );
}

function storePart(upload: Upload, number: number, body: Uint8Array): string {
  const etag = quotedMd5(body);
  upload.parts.set(number, { body, etag });
  return etag;
}

function namedParts(upload: Upload, references: readonly PartReference[]): Part[] {
  return references.map(({ number, etag }, index) => {
    if (index > 0 && references[index - 1].number >= number) {
      throw new S3Error("InvalidPartOrder", "The list of parts was not in ascending order.");
    }
    const part = upload.parts.get(number);
    if (part === undefined || !etagMatches(etag, part.etag)) {
      throw new S3Error("InvalidPart", `Part ${number} could not be found or its ETag differs`);
    }
    if (part.body.length < MIN_PART_BYTES && index < references.length - 1) {
      throw new S3Error(
        "EntityTooSmall",
        `Part ${number} is smaller than the minimum allowed size`,
      );
    }
    return part;
  });
}

/** S3's form: MD5 over the parts' MD5s, a dash, and the number of parts. */
function multipartEtag(parts: readonly Part[]): string {
  const digests = Buffer.from(parts.map(({ etag }) => etag.slice(1, -1)).join(""), "hex");
  return `"${createHash("md5").update(digests).digest("hex")}-${parts.length}"`;
}
