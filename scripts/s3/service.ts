/** The S3 service behind the HTTP connections: who may ask, what goes wrong, what is carried out. */
import { type HonouredConditions, MemoryBucket } from "./bucket.ts";
import {
  createBucket,
  deleteBucket,
  deleteObjects,
  getBucketLocation,
  listBuckets,
  listObjects,
  listObjectsV2,
} from "./bucket_operations.ts";
import { Control } from "./control.ts";
import { Faults, type Verdict } from "./faults.ts";
import type { HttpAnswer, HttpRequest, HttpResponse } from "./http_connection.ts";
import { MultipartUploads } from "./multipart.ts";
import {
  copyObject,
  deleteObject,
  getObject,
  noSuchBucket,
  putObject,
} from "./object_operations.ts";
import { accessKeyOf, parseRequest, type S3Request } from "./request.ts";
import { errorOfStatus, S3Error } from "./s3_error.ts";
import { type RequestLogEntry, StatisticsCounter } from "./statistics.ts";
import { errorDocument } from "./xml.ts";

export interface ServiceOptions {
  readonly buckets: Map<string, MemoryBucket>;
  readonly conditions: HonouredConditions;
  readonly delayMs: number;
  readonly requireCredentials: boolean;
  readonly denyAccessKeys: readonly string[];
  readonly log: ((entry: RequestLogEntry) => void) | undefined;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  readonly random: () => number;
  readonly etagOf: ((body: Uint8Array) => string) | undefined;
  /** Aborted when the server closes: requests that are still waiting are cut, not carried out. */
  readonly closing: AbortSignal;
}

export class S3Service {
  readonly faults: Faults;
  readonly statistics = new StatisticsCounter();
  readonly #uploads = new MultipartUploads();
  readonly #control: Control;
  #requestIds = 0;

  constructor(private readonly options: ServiceOptions) {
    this.faults = new Faults(options.random);
    this.faults.delayMs = options.delayMs;
    this.#control = new Control(this.faults, options.conditions, this.statistics);
  }

  /** A bucket under this service's clock and conditions, not yet in its list. */
  emptyBucket(): MemoryBucket {
    const { now, conditions, etagOf } = this.options;
    return new MemoryBucket({ now, conditions, etagOf });
  }

  /** Answers one request, with its faults. Never rejects. */
  async answer(http: HttpRequest): Promise<HttpAnswer> {
    if (http.target.startsWith("/_")) {
      const answer = this.#control.answer(http);
      if (answer !== undefined) return answer;
    }
    let request: S3Request;
    try {
      request = parseRequest(http);
    } catch (error) {
      if (error instanceof S3Error) return this.#errorResponse(error);
      throw error;
    }
    this.statistics.begin();
    const { delayMs, fault } = this.faults.verdict(request);
    if (delayMs > 0) await sleep(delayMs, this.options.closing);
    const answer = this.options.closing.aborted ? "cut" : this.#withFault(request, fault);
    this.#note(request, answer);
    return answer;
  }

  #withFault(request: S3Request, fault: Verdict["fault"]): HttpAnswer {
    switch (fault?.action) {
      case undefined:
        return this.#carryOut(request);
      case "lose-request":
        return "cut";
      case "drop-reply":
        this.#carryOut(request);
        return "cut";
      case "hang":
        if (fault.stored) this.#carryOut(request);
        return "hang";
      case "status":
        if (fault.stored) this.#carryOut(request);
        return this.#errorResponse(errorOfStatus(fault.status), request);
    }
  }

  #carryOut(request: S3Request): HttpResponse {
    try {
      this.#checkAccess(request);
      const { status, headers, body, contentLength } = this.#operate(request);
      return { status, headers: { ...this.#commonHeaders(), ...headers }, body, contentLength };
    } catch (error) {
      if (error instanceof S3Error) return this.#errorResponse(error, request);
      console.error(`Cannot carry out ${request.operation} of ${request.key}`, error);
      return this.#errorResponse(new S3Error("InternalError", String(error)), request);
    }
  }

  #checkAccess(request: S3Request): void {
    const accessKey = accessKeyOf(request);
    if (accessKey === undefined && this.options.requireCredentials) {
      throw new S3Error("AccessDenied", "Access Denied");
    }
    if (accessKey !== undefined && this.options.denyAccessKeys.includes(accessKey)) {
      throw new S3Error(
        "InvalidAccessKeyId",
        "The AWS Access Key Id you provided does not exist in our records.",
        { AWSAccessKeyId: accessKey },
      );
    }
  }

  #operate(request: S3Request): HttpResponse {
    const { buckets, now } = this.options;
    const { operation } = request;
    if (operation === "Unknown") throw unknownOperation(request);
    if (operation === "ListBuckets") return listBuckets(buckets);
    if (operation === "CreateBucket") {
      return createBucket(buckets, request.bucket, () => this.emptyBucket());
    }
    const bucket = buckets.get(request.bucket);
    if (bucket === undefined) throw noSuchBucket(request.bucket);
    switch (operation) {
      case "HeadBucket":
        return { status: 200, headers: { "x-amz-bucket-region": "us-east-1" } };
      case "DeleteBucket":
        return deleteBucket(buckets, request.bucket, bucket);
      case "GetBucketLocation":
        return getBucketLocation();
      case "ListObjectsV2":
        return listObjectsV2(bucket, request);
      case "ListObjects":
        return listObjects(bucket, request);
      case "DeleteObjects":
        return deleteObjects(bucket, request);
      case "GetObject":
      case "HeadObject":
        return getObject(bucket, request);
      case "PutObject":
        return putObject(bucket, request);
      case "CopyObject":
        return copyObject(bucket, request, buckets, now);
      case "DeleteObject":
        return deleteObject(bucket, request);
      case "CreateMultipartUpload":
        return this.#uploads.create(request);
      case "UploadPart":
        return this.#uploads.uploadPart(request);
      case "UploadPartCopy":
        return this.#uploads.uploadPartCopy(request, buckets, now);
      case "CompleteMultipartUpload":
        return this.#uploads.complete(bucket, request);
      case "AbortMultipartUpload":
        return this.#uploads.abort(request);
    }
  }

  #errorResponse(error: S3Error, request?: S3Request): HttpResponse {
    const headers = this.#commonHeaders();
    const body = errorDocument({
      Code: error.code,
      Message: error.message,
      ...(request !== undefined && request.bucket !== "" ? { BucketName: request.bucket } : {}),
      ...(request !== undefined && request.key !== "" ? { Key: request.key } : {}),
      ...error.details,
      RequestId: headers["x-amz-request-id"],
    });
    return {
      status: error.status,
      headers: { ...headers, "content-type": "application/xml" },
      body,
    };
  }

  #commonHeaders() {
    const id = (++this.#requestIds).toString(16).toUpperCase().padStart(16, "0");
    return { "x-amz-request-id": id, date: new Date(this.options.now()).toUTCString() };
  }

  #note(request: S3Request, answer: HttpAnswer): void {
    const { method, operation, bucket, key, ifMatch, ifNoneMatch } = request;
    const status = typeof answer === "string" ? answer : answer.status;
    this.statistics.end(operation, status);
    const prefix = request.query.get("prefix") ?? undefined;
    this.options.log?.({ method, operation, bucket, key, prefix, ifMatch, ifNoneMatch, status });
  }
}

function unknownOperation({ method, key, query }: S3Request): S3Error {
  if (query.size === 0) {
    return new S3Error(
      "MethodNotAllowed",
      "The specified method is not allowed against this resource.",
      { Method: method, ResourceType: key === "" ? "BUCKET" : "OBJECT" },
    );
  }
  return new S3Error("NotImplemented", `The embedded server has no ${method} ?${query}`);
}

async function sleep(ms: number, signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, ms);
  const end = () => resolve();
  signal.addEventListener("abort", end, { once: true });
  if (signal.aborted) resolve();
  await promise;
  clearTimeout(timer);
  signal.removeEventListener("abort", end);
}
