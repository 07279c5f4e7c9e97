/** Errors as S3 states them: a code, its HTTP status and an XML body. */

const STATUSES = {
  AccessDenied: 403,
  BadDigest: 400,
  BucketAlreadyOwnedByYou: 409,
  BucketNotEmpty: 409,
  ConditionalRequestConflict: 409,
  EntityTooSmall: 400,
  IncompleteBody: 400,
  InternalError: 500,
  InvalidAccessKeyId: 403,
  InvalidArgument: 400,
  InvalidBucketName: 400,
  InvalidPart: 400,
  InvalidPartOrder: 400,
  InvalidRange: 416,
  InvalidRequest: 400,
  InvalidURI: 400,
  KeyTooLongError: 400,
  MalformedXML: 400,
  MetadataTooLarge: 400,
  MethodNotAllowed: 405,
  NoSuchBucket: 404,
  NoSuchKey: 404,
  NoSuchUpload: 404,
  NotImplemented: 501,
  PreconditionFailed: 412,
  ServiceUnavailable: 503,
  SlowDown: 503,
  TooManyRequests: 429,
} as const;

export type S3ErrorCode = keyof typeof STATUSES;

/** A request that the server refuses. `details` are further elements of the XML body. */
export class S3Error extends Error {
  readonly status: number;

  constructor(
    readonly code: S3ErrorCode,
    message: string,
    readonly details: Readonly<Record<string, string>> = {},
  ) {
    super(message);
    this.status = STATUSES[code];
  }
}

/** The error of a bare status, for faults that are asked for by status. */
export function errorOfStatus(status: FaultStatus): S3Error {
  switch (status) {
    case 409:
      return new S3Error(
        "ConditionalRequestConflict",
        "The conditional request cannot succeed due to a conflicting operation against this resource.",
      );
    case 429:
      return new S3Error("TooManyRequests", "Please reduce your request rate.");
    case 500:
      return new S3Error("InternalError", "We encountered an internal error. Please try again.");
    case 503:
      return new S3Error("SlowDown", "Please reduce your request rate.");
  }
}

/** The statuses that can be asked for as a fault. */
export const FAULT_STATUSES = [409, 429, 500, 503] as const;
export type FaultStatus = typeof FAULT_STATUSES[number];

/** The object or bucket named does not exist. */
export function noSuchKey(key: string): S3Error {
  return new S3Error("NoSuchKey", "The specified key does not exist.", { Key: key });
}

/** A condition of the request does not hold. */
export function preconditionFailed(key: string, condition: string): S3Error {
  return new S3Error(
    "PreconditionFailed",
    "At least one of the pre-conditions you specified did not hold",
    { Condition: condition, Key: key },
  );
}
