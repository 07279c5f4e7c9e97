/**
 * What a failed S3 request means, in words for an operator and in the three kinds of `StoreError`.
 * Codes: https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
 *
 * The SDK's error objects hold the signed request. They are read here and go no further: neither as
 * `cause` nor in full, so that no credential gets into a log.
 */
import { StoreError, type StoreErrorKind } from "../core/store_error.ts";
import { ConnectTimeoutError, UnsendablePathError } from "./s3_transport.ts";

export type StoreOperation =
  | "list"
  | "get"
  | "head"
  | "create"
  | "replace"
  | "put"
  | "copy"
  | "delete";

/** What a request was about. */
export interface RequestContext {
  readonly operation: StoreOperation;
  readonly bucket: string;
  /** The prefix of a listing. */
  readonly key: string;
  readonly region: string;
  /** Of a configured endpoint, with its port; undefined for AWS itself. */
  readonly endpointHost: string | undefined;
  readonly connectTimeoutMs: number;
  readonly credentialsRenewable: boolean;
  readonly secrets: readonly string[];
}

/** A request that did not succeed. */
export interface RequestFailure {
  readonly kind: StoreErrorKind;
  /** HTTP status; undefined when there was no answer. */
  readonly status: number | undefined;
  /** S3's code, such as `NoSuchKey`; empty when there is none. */
  readonly code: string;
  readonly timedOut: boolean;
  /** What went wrong, without what was asked for. */
  readonly reason: string;
}

/** An answer that came in full, and is not what S3 sends. Its message says why. */
export class UnusableAnswerError extends Error {
  override name = "UnusableAnswerError";
}

/** The time for a request is over. */
export class DeadlineError extends Error {
  override name = "DeadlineError";

  constructor(timeoutMs: number) {
    super(`no answer within ${timeoutMs} ms`);
  }
}

const VERBS: Record<StoreOperation, { readonly verb: string; readonly permission: string }> = {
  list: { verb: "list", permission: "s3:ListBucket" },
  get: { verb: "read", permission: "s3:GetObject (and s3:ListBucket, or absent looks denied)" },
  head: { verb: "look up", permission: "s3:GetObject (and s3:ListBucket, or absent looks denied)" },
  create: { verb: "create", permission: "s3:PutObject" },
  replace: { verb: "replace", permission: "s3:PutObject" },
  put: { verb: "write", permission: "s3:PutObject" },
  copy: { verb: "copy", permission: "s3:GetObject and s3:PutObject" },
  delete: { verb: "delete", permission: "s3:DeleteObject" },
};

const STORE_MESSAGE_MAX_CHARACTERS = 300;
/** Shorter ones are no secrets but placeholders, and would be found in plain words. */
const SECRET_MIN_CHARACTERS = 8;

/** Codes that mean "ask less often", whatever the status. */
const THROTTLING_CODES = new Set([
  "SlowDown",
  "Throttling",
  "ThrottlingException",
  "TooManyRequests",
  "TooManyRequestsException",
  "RequestLimitExceeded",
]);

/** 4xx codes that heal by themselves. */
const TRANSIENT_CODES = new Set([
  "RequestTimeout",
  "RequestTimeTooSkewed",
  "OperationAborted",
  "ConditionalRequestConflict",
  "IncompleteBody",
  "BadDigest",
]);

const BAD_CREDENTIALS = "check the access key and the secret key";

/** The error to throw for a failed request. */
export function storeError(failure: RequestFailure, context: RequestContext): StoreError {
  const action = `Cannot ${VERBS[context.operation].verb} ${JSON.stringify(context.key)}`;
  return new StoreError(
    failure.kind,
    `${action} in bucket ${JSON.stringify(context.bucket)}: ${failure.reason}`,
  );
}

/** Reads an error of the SDK, the transport, the credentials source or the deadline. */
export function requestFailure(error: unknown, context: RequestContext): RequestFailure {
  const failure = error instanceof StoreError
    ? noAnswer(error.kind, error.message)
    : error instanceof DeadlineError
    ? { ...noAnswer("transient", error.message), timedOut: true }
    : error instanceof UnsendablePathError
    ? noAnswer("permanent", error.message)
    : error instanceof UnusableAnswerError
    ? noAnswer("transient", error.message)
    : statusOf(error) === undefined
    ? connectionFailure(error, context)
    : answeredFailure(error as SdkError, statusOf(error)!, context);
  return { ...failure, reason: redacted(failure.reason, context.secrets) };
}

/** Whether the failure says that the object is not there (and the bucket is). */
export function saysAbsent(failure: RequestFailure): boolean {
  return failure.status === 404 && failure.code !== "NoSuchBucket" && failure.code !== NOT_S3;
}

/** Takes secrets, and what looks like one, out of a text that came from elsewhere. */
export function redacted(text: string, secrets: readonly string[]): string {
  let clean = text;
  for (const secret of secrets) {
    if (secret.length >= SECRET_MIN_CHARACTERS) clean = clean.replaceAll(secret, "[redacted]");
  }
  return clean
    .replace(/\b(Signature|Credential|X-Amz-[A-Za-z-]+)=[^\s,;&"'<]+/g, "$1=[redacted]")
    .replace(/\b(?:AKIA|ASIA)[A-Z0-9]{12,}\b/g, "[redacted]");
}

/** The fields of the SDK's errors that are read. */
interface SdkError {
  readonly name?: string;
  readonly message?: string;
  readonly Code?: string;
  readonly Region?: string;
  readonly Endpoint?: string;
  readonly $metadata?: { readonly httpStatusCode?: number };
  readonly $response?: {
    readonly statusCode?: number;
    readonly headers?: Readonly<Record<string, string>>;
  };
}

/** The place of a code for an answer that is no S3 answer. */
const NOT_S3 = "not S3";

function noAnswer(kind: StoreErrorKind, reason: string): RequestFailure {
  return { kind, status: undefined, code: "", timedOut: false, reason };
}

function statusOf(error: unknown): number | undefined {
  const { $metadata, $response } = (error ?? {}) as SdkError;
  return $metadata?.httpStatusCode ?? $response?.statusCode;
}

function answeredFailure(
  error: SdkError,
  status: number,
  context: RequestContext,
): RequestFailure {
  const code = codeOf(error);
  const explained = explanation(error, code, status, context);
  const said = code === NOT_S3 ? "" : storeMessage(error, code);
  const label = code === "" || code === NOT_S3 ? `HTTP ${status}` : `${code}, HTTP ${status}`;
  const parts = [`${explained?.what ?? "the store refused"} (${label})`];
  if (said !== "") parts.push(`: ${said}`);
  if (explained?.hint !== undefined) parts.push(`; ${explained.hint}`);
  return {
    kind: explained?.kind ?? kindOf(code, status),
    status,
    code,
    timedOut: false,
    reason: parts.join(""),
  };
}

function codeOf(error: SdkError): string {
  if (/deserialization error|parse error/i.test(error.message ?? "")) return NOT_S3;
  const code = error.Code ?? error.name ?? "";
  // No code at all, or the SDK's stand-ins for an answer without a body.
  return !/^[\w.-]+$/.test(code) ||
      /^(\d+|Error|Unknown\w*|S3ServiceException|\w*Forbidden|BadRequest)$/.test(code)
    ? ""
    : code;
}

function kindOf(code: string, status: number): StoreErrorKind {
  if (status === 429 || status === 503 || THROTTLING_CODES.has(code)) return "throttled";
  if (TRANSIENT_CODES.has(code) || status === 408 || status === 409 || status === 425) {
    return "transient";
  }
  return status >= 400 && status < 500 || status === 501 ? "permanent" : "transient";
}

interface Explanation {
  readonly what: string;
  readonly hint?: string;
  readonly kind?: StoreErrorKind;
}

function explanation(
  error: SdkError,
  code: string,
  status: number,
  context: RequestContext,
): Explanation | undefined {
  switch (code) {
    case NOT_S3:
      return {
        what: "the answer is not from an S3 service",
        hint: context.endpointHost === undefined
          ? "check the network"
          : `check the endpoint ${context.endpointHost}`,
      };
    case "NoSuchBucket":
      return { what: "there is no such bucket", hint: "check the name, region and endpoint" };
    case "InvalidAccessKeyId":
    case "SignatureDoesNotMatch":
    case "InvalidToken":
      return { what: "the credentials are not valid", hint: BAD_CREDENTIALS };
    case "ExpiredToken":
    case "ExpiredTokenException":
      return expiredToken(context);
    case "RequestTimeTooSkewed":
      return {
        what: "the clock of this node is wrong",
        hint: "set it by NTP; the store allows a few minutes of difference",
      };
    case "AuthorizationHeaderMalformed":
    case "PermanentRedirect":
    case "IllegalLocationConstraintException":
      return wrongRegion(error, context);
    case "NotImplemented":
      return { what: "the store does not implement this request" };
  }
  if (status === 301) return wrongRegion(error, context);
  if (THROTTLING_CODES.has(code) || status === 503 || status === 429) {
    return { what: "the store asks for fewer requests" };
  }
  if (status >= 500) return { what: "the store failed" };
  if (status === 403) {
    return {
      what: "access denied",
      hint: `check that the policy allows ${VERBS[context.operation].permission}`,
    };
  }
  return undefined;
}

/**
 * With credentials that are renewed, an expired token heals with the next ones. Those from the
 * environment stay what they are for the life of the process.
 */
function expiredToken({ credentialsRenewable }: RequestContext): Explanation {
  return credentialsRenewable
    ? { what: "the session token has expired", hint: "it is renewed", kind: "transient" }
    : {
      what: "the session token has expired",
      hint: "AWS_SESSION_TOKEN and its keys are read at start only; restart with new ones",
      kind: "permanent",
    };
}

function wrongRegion(error: SdkError, context: RequestContext): Explanation {
  const region = error.Region ?? error.$response?.headers?.["x-amz-bucket-region"];
  const known = region !== undefined && /^[a-z0-9-]+$/.test(region);
  return {
    what: `the bucket is not in region ${context.region}`,
    hint: known ? `set AWS_REGION=${region}` : "set AWS_REGION to the bucket's region",
    kind: "permanent",
  };
}

/** The store's own words, on one line and bounded. */
function storeMessage(error: SdkError, code: string): string {
  // deno-lint-ignore no-control-regex
  const text = (error.message ?? "").replace(/[\u0000-\u001f\u007f-\u009f]+/g, " ").trim();
  if (text === "" || text === code || /^(Unknown\w*|S3ServiceException)$/.test(text)) return "";
  return text.slice(0, STORE_MESSAGE_MAX_CHARACTERS).replace(/[.\s]+$/, "");
}

/** No answer at all: by the system's code, or by the words of `fetch`, which has no codes. */
function connectionFailure(error: unknown, context: RequestContext): RequestFailure {
  const { code, text } = systemError(error);
  const host = hostPart(context);
  if (error instanceof ConnectTimeoutError || code === "ETIMEDOUT") {
    return noAnswer("transient", `no connection${host} within ${context.connectTimeoutMs} ms`);
  }
  if (code === "ENOTFOUND" || code === "EAI_AGAIN" || /dns error|getaddrinfo/i.test(text)) {
    return noAnswer("transient", `the host name of the endpoint${host} cannot be resolved`);
  }
  if (
    /certificate|\btls\b|\bssl\b|handshake|corrupt message/i.test(text) ||
    /^(CERT|ERR_TLS|ERR_SSL)/.test(code)
  ) {
    return noAnswer("transient", `no TLS connection${host}: ${text}`);
  }
  if (code === "ECONNREFUSED" || /connection refused/i.test(text)) {
    return noAnswer("transient", `the connection${host} was refused`);
  }
  if (code === "ECONNRESET" || code === "EPIPE" || /connection (closed|reset)/i.test(text)) {
    return noAnswer("transient", `the connection${host} was lost before an answer`);
  }
  return noAnswer("transient", text === "" ? "the request failed without a reason" : text);
}

function systemError(error: unknown): { readonly code: string; readonly text: string } {
  let code = "";
  const texts: string[] = [];
  for (
    let current = error, depth = 0;
    current instanceof Error && depth < 5;
    current = current.cause, depth++
  ) {
    if ("code" in current && typeof current.code === "string") code ||= current.code;
    if (current.message !== "") texts.push(current.message);
  }
  if (texts.length === 0 && !(error instanceof Error)) texts.push(String(error));
  // What fetch puts in front holds the whole URL.
  const text = texts.join(": ").replace(/^error sending request .*client error \(\w+\): /, "");
  return { code, text: text.slice(0, STORE_MESSAGE_MAX_CHARACTERS) };
}

function hostPart({ endpointHost }: RequestContext): string {
  return endpointHost === undefined ? "" : ` to ${endpointHost}`;
}
