/**
 * The `Store` port on an S3 bucket.
 *
 * Every request has one deadline over everything: credentials, connecting, retries, and the body.
 * Conditional writes and deletes are sent once; what is not known of them afterwards is `unknown`,
 * for the caller to find out.
 */
import {
  CopyObjectCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
} from "@aws-sdk/client-s3";
import { keyProblem, metadataProblem } from "../core/object_limits.ts";
import { StoreError } from "../core/store_error.ts";
import type {
  DeleteResult,
  GetResult,
  ListPage,
  ListRequest,
  Metadata,
  ObjectHead,
  RequestOptions,
  Store,
  UnknownOutcome,
  WriteResult,
} from "../ports.ts";
import { answeredAtMs, listPage, objectHead, readBody } from "./s3_answers.ts";
import { connectS3, type S3Connection } from "./s3_client.ts";
import type { Environment } from "./s3_credentials.ts";
import {
  DeadlineError,
  type RequestContext,
  type RequestFailure,
  requestFailure,
  saysAbsent,
  storeError,
  type StoreOperation,
} from "./s3_errors.ts";

const CONNECT_TIMEOUT_MS = 5_000;
const REQUEST_TIMEOUT_MS = 15_000;
/** S3's own bound on one page of a listing. */
const MAX_PAGE_KEYS = 1_000;
/** Sorts after every key of a group when put behind the group's name. */
const LAST_CHARACTER = "\u{10FFFF}";

export interface S3StoreOptions {
  readonly bucket: string;
  /** `auto`, the default: path style when an endpoint is set. */
  readonly pathStyle?: "auto" | "true" | "false";
  /** A URL; from `AWS_ENDPOINT_URL_S3` or `AWS_ENDPOINT_URL` when absent. */
  readonly endpoint?: string;
  /** From `AWS_REGION` or `AWS_DEFAULT_REGION` when absent. */
  readonly region?: string;
  /** For one connection; 5 s by default. */
  readonly connectTimeoutMs?: number;
  /** For one call in all; 15 s by default. */
  readonly requestTimeoutMs?: number;
  /** Cells run at once; the number of connections follows from it. */
  readonly concurrency?: number;
  /** Product and version, such as `cellos-fleet/1.0.0`. */
  readonly userAgent: string;
  /** Where the `AWS_*` variables are read; those of the process by default. */
  readonly environment?: Environment;
  /** Told of every call once it has ended, for metrics. Must not throw. */
  readonly onRequest?: (request: RequestReport) => void;
}

/** One call of the store, its retries included. */
export interface RequestReport {
  readonly operation: StoreOperation;
  /** HTTP status of the last answer to a call that failed; 200 for a success, undefined without answer. */
  readonly status: number | undefined;
  readonly durationMs: number;
  readonly outcome: "ok" | "refused" | "absent" | "throttled" | "timeout" | "error";
}

/**
 * A store on one bucket. Sends nothing yet: a missing bucket or bad credentials show at the first
 * request. Throws a permanent `StoreError` when region or endpoint cannot be told.
 */
export function createS3Store(options: S3StoreOptions): Store & Disposable {
  const connectTimeoutMs = options.connectTimeoutMs ?? CONNECT_TIMEOUT_MS;
  const connection = connectS3({
    pathStyle: options.pathStyle ?? "auto",
    endpoint: options.endpoint,
    region: options.region,
    connectTimeoutMs,
    // Per cell: renewal, outcome, filing, and the next claim; besides: listing, scan, heartbeat.
    maxSockets: 4 * (options.concurrency ?? 1) + 8,
    userAgent: options.userAgent,
    environment: options.environment ?? Deno.env.toObject(),
  });
  return new S3Store(connection, { ...options, connectTimeoutMs });
}

/** What became of one request. */
type Answer<Output> =
  | { readonly output: Output; readonly failure?: undefined }
  | { readonly failure: RequestFailure; readonly context: RequestContext };

/** Sends one request. `stop` ends it, and what is left of the answer's body. */
type Send<Output> = (
  call: { readonly abortSignal: AbortSignal },
  stop: () => void,
) => Promise<Output>;

class S3Store implements Store, Disposable {
  readonly #connection: S3Connection;
  readonly #options: S3StoreOptions & { readonly connectTimeoutMs: number };
  readonly #bucket: string;

  constructor(
    connection: S3Connection,
    options: S3StoreOptions & { readonly connectTimeoutMs: number },
  ) {
    this.#connection = connection;
    this.#options = options;
    this.#bucket = options.bucket;
  }

  [Symbol.dispose](): void {
    this.#connection[Symbol.dispose]();
  }

  async list(request: ListRequest, options?: RequestOptions): Promise<ListPage> {
    const { prefix, delimiter, startAfter } = request;
    // S3 itself would give the group again: its keys sort after its name.
    const afterGroup = startAfter !== undefined && delimiter !== undefined && delimiter !== "" &&
      startAfter.length > prefix.length && startAfter.endsWith(delimiter);
    const command = new ListObjectsV2Command({
      Bucket: this.#bucket,
      Prefix: prefix,
      StartAfter: afterGroup ? startAfter + LAST_CHARACTER : startAfter,
      Delimiter: delimiter,
      MaxKeys: Math.min(request.maxKeys ?? MAX_PAGE_KEYS, MAX_PAGE_KEYS),
      // XML has no form for most control characters.
      EncodingType: "url",
    });
    let servedAtMs: number | undefined;
    command.middlewareStack.add(
      (next) => async (args) => {
        const result = await next(args);
        servedAtMs = answeredAtMs(result.response);
        return result;
      },
      { step: "deserialize", name: "answeredAt" },
    );
    const answer = await this.#request("list", prefix, options, async (call) => {
      const page = listPage(await this.#connection.retrying.send(command, call), startAfter);
      return { ...page, servedAtMs };
    });
    if (answer.failure !== undefined) throw storeError(answer.failure, answer.context);
    return answer.output;
  }

  async get(key: string, maxBytes: number, options?: RequestOptions): Promise<GetResult> {
    this.#checkKey("get", key);
    const command = new GetObjectCommand({ Bucket: this.#bucket, Key: key });
    const answer = await this.#request<GetResult>("get", key, options, async (call, stop) => {
      const output = await this.#connection.retrying.send(command, call);
      const head = objectHead(key, output);
      if (head.size > maxBytes) {
        stop();
        return { outcome: "too-large", head };
      }
      return { outcome: "found", object: { ...head, body: await readBody(output, head.size) } };
    });
    if (answer.failure === undefined) return answer.output;
    if (saysAbsent(answer.failure)) return { outcome: "absent" };
    throw storeError(answer.failure, answer.context);
  }

  async head(key: string, options?: RequestOptions): Promise<ObjectHead | undefined> {
    this.#checkKey("head", key);
    const command = new HeadObjectCommand({ Bucket: this.#bucket, Key: key });
    const answer = await this.#request("head", key, options, async (call) => {
      return objectHead(key, await this.#connection.retrying.send(command, call));
    });
    if (answer.failure === undefined) return answer.output;
    if (saysAbsent(answer.failure)) return undefined;
    throw storeError(answer.failure, answer.context);
  }

  create(
    key: string,
    body: Uint8Array,
    metadata: Metadata,
    options?: RequestOptions,
  ): Promise<WriteResult> {
    return this.#conditionalPut("create", { IfNoneMatch: "*" }, key, body, metadata, options);
  }

  replace(
    key: string,
    etag: string,
    body: Uint8Array,
    metadata: Metadata,
    options?: RequestOptions,
  ): Promise<WriteResult> {
    return this.#conditionalPut("replace", { IfMatch: etag }, key, body, metadata, options);
  }

  async put(
    key: string,
    body: Uint8Array,
    metadata: Metadata,
    options?: RequestOptions,
  ): Promise<void> {
    this.#checkKey("put", key);
    this.#checkMetadata("put", key, metadata);
    const input = { Bucket: this.#bucket, Key: key, Body: body, Metadata: metadata };
    const answer = await this.#request("put", key, options, (call) => {
      return this.#connection.retrying.send(new PutObjectCommand(input), call);
    });
    if (answer.failure !== undefined) throw storeError(answer.failure, answer.context);
  }

  async copy(
    from: string,
    fromEtag: string,
    to: string,
    metadata: Metadata,
    options?: RequestOptions,
  ): Promise<WriteResult> {
    this.#checkKey("copy", from);
    this.#checkKey("copy", to);
    this.#checkMetadata("copy", to, metadata);
    const command = new CopyObjectCommand({
      Bucket: this.#bucket,
      Key: to,
      CopySource: [this.#bucket, ...from.split("/")].map(encodeURIComponent).join("/"),
      CopySourceIfMatch: fromEtag,
      MetadataDirective: "REPLACE",
      Metadata: metadata,
    });
    const answer = await this.#request("copy", from, options, async (call) => {
      const { CopyObjectResult } = await this.#connection.once.send(command, call);
      return CopyObjectResult?.ETag;
    });
    return writeResult(answer, true);
  }

  async delete(
    key: string,
    etag: string | undefined,
    options?: RequestOptions,
  ): Promise<DeleteResult> {
    this.#checkKey("delete", key);
    const command = new DeleteObjectCommand({ Bucket: this.#bucket, Key: key, IfMatch: etag });
    const answer = await this.#request("delete", key, options, (call) => {
      return this.#connection.once.send(command, call);
    });
    if (answer.failure === undefined || saysAbsent(answer.failure)) return { outcome: "deleted" };
    return refusedOrUnknown(answer.failure, answer.context);
  }

  async #conditionalPut(
    operation: "create" | "replace",
    condition: { readonly IfNoneMatch: string } | { readonly IfMatch: string },
    key: string,
    body: Uint8Array,
    metadata: Metadata,
    options: RequestOptions | undefined,
  ): Promise<WriteResult> {
    this.#checkKey(operation, key);
    this.#checkMetadata(operation, key, metadata);
    const command = new PutObjectCommand({
      Bucket: this.#bucket,
      Key: key,
      Body: body,
      Metadata: metadata,
      ...condition,
    });
    const answer = await this.#request(operation, key, options, async (call) => {
      return (await this.#connection.once.send(command, call)).ETag;
    });
    return writeResult(answer, operation === "replace");
  }

  /** Sends a request under a deadline, and reports it. Never rejects. */
  async #request<Output>(
    operation: StoreOperation,
    key: string,
    options: RequestOptions | undefined,
    send: Send<Output>,
  ): Promise<Answer<Output>> {
    const timeoutMs = options?.timeoutMs ?? this.#options.requestTimeoutMs ?? REQUEST_TIMEOUT_MS;
    const startedMs = performance.now();
    let answer: Answer<Output>;
    try {
      answer = { output: await withDeadline(timeoutMs, send) };
    } catch (error) {
      const context = this.#context(operation, key);
      answer = { failure: requestFailure(error, context), context };
    }
    this.#options.onRequest?.({
      operation,
      status: answer.failure === undefined ? 200 : answer.failure.status,
      durationMs: performance.now() - startedMs,
      outcome: reportedOutcome(answer.failure),
    });
    return answer;
  }

  #context(operation: StoreOperation, key: string): RequestContext {
    const { region, endpointHost, credentials } = this.#connection;
    return {
      operation,
      bucket: this.#bucket,
      key,
      region,
      endpointHost,
      connectTimeoutMs: this.#options.connectTimeoutMs,
      credentialsRenewable: credentials.renewable,
      secrets: credentials.secrets(),
    };
  }

  #checkKey(operation: StoreOperation, key: string): void {
    this.#refuse(operation, key, keyProblem(key));
  }

  #checkMetadata(operation: StoreOperation, key: string, metadata: Metadata): void {
    this.#refuse(operation, key, metadataProblem(metadata));
  }

  #refuse(operation: StoreOperation, key: string, problem: string | undefined): void {
    if (problem === undefined) return;
    const context = this.#context(operation, key);
    throw storeError(requestFailure(new StoreError("permanent", problem), context), context);
  }
}

/**
 * Runs a request and ends it, body included, when the time is over. Leaves nothing behind but, at
 * most, the SDK's timer for its next try, which then does nothing.
 */
async function withDeadline<Output>(timeoutMs: number, send: Send<Output>): Promise<Output> {
  const controller = new AbortController();
  const { promise: expired, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => {
    const error = new DeadlineError(timeoutMs);
    controller.abort(error);
    // Not every wait inside the SDK heeds the signal.
    reject(error);
  }, timeoutMs);
  try {
    return await Promise.race([
      send({ abortSignal: controller.signal }, () => controller.abort()),
      expired,
    ]);
  } catch (error) {
    // A body that nobody wants any more would hold its connection.
    controller.abort();
    throw controller.signal.reason instanceof DeadlineError ? controller.signal.reason : error;
  } finally {
    clearTimeout(timer);
  }
}

/** The outcome of a conditional write, of which `output` is the new ETag. */
function writeResult(answer: Answer<string | undefined>, absentRefuses: boolean): WriteResult {
  if (answer.failure !== undefined) {
    return absentRefuses && saysAbsent(answer.failure)
      ? { outcome: "refused" }
      : refusedOrUnknown(answer.failure, answer.context);
  }
  if (answer.output) return { outcome: "stored", etag: answer.output };
  const cause = "the store answered without an ETag";
  return { outcome: "unknown", answered: true, throttled: false, cause };
}

/** The outcome of a conditional write that failed. Throws what asking again cannot change. */
function refusedOrUnknown(
  failure: RequestFailure,
  context: RequestContext,
): { readonly outcome: "refused" } | UnknownOutcome {
  if (failure.status === 412) return { outcome: "refused" };
  if (failure.kind === "permanent") throw storeError(failure, context);
  return {
    outcome: "unknown",
    answered: failure.status !== undefined,
    throttled: failure.kind === "throttled",
    cause: failure.reason,
  };
}

function reportedOutcome(failure: RequestFailure | undefined): RequestReport["outcome"] {
  if (failure === undefined) return "ok";
  if (failure.timedOut) return "timeout";
  if (failure.status === 412) return "refused";
  if (saysAbsent(failure)) return "absent";
  return failure.kind === "throttled" ? "throttled" : "error";
}
