/**
 * The SDK's clients, set up so that they need no file and no system information: every setting that
 * the SDK would look up in `~/.aws` is given here. Looking there fails without `HOME` (as under
 * systemd), for the program may not ask for the user's home directory.
 */
import { S3Client, type S3ClientConfig } from "@aws-sdk/client-s3";
import { StoreError } from "../core/store_error.ts";
import { type CredentialsSource, credentialsSource, type Environment } from "./s3_credentials.ts";
import { openTransport } from "./s3_open_transport.ts";

/** How often a read or a plain write is tried in all. */
const READ_ATTEMPTS = 3;
const DEFAULT_REGION = "us-east-1";

export interface S3ConnectionOptions {
  /** `auto`: path style when an endpoint is set. */
  readonly pathStyle: "auto" | "true" | "false";
  /** A URL; from `AWS_ENDPOINT_URL_S3` or `AWS_ENDPOINT_URL` when absent. */
  readonly endpoint?: string;
  /** From `AWS_REGION` or `AWS_DEFAULT_REGION` when absent. */
  readonly region?: string;
  readonly connectTimeoutMs: number;
  readonly maxSockets: number;
  /** Product and version, such as `cellos-fleet/1.0.0`. */
  readonly userAgent: string;
  readonly environment: Environment;
}

export interface S3Connection extends Disposable {
  /** For what may be sent again: tries up to three times. */
  readonly retrying: S3Client;
  /** For what must be sent at most once. */
  readonly once: S3Client;
  readonly region: string;
  /** Undefined for AWS itself. */
  readonly endpointHost: string | undefined;
  readonly credentials: CredentialsSource;
}

/** Sends nothing yet. Throws a permanent `StoreError` when region or endpoint cannot be told. */
export function connectS3(options: S3ConnectionOptions): S3Connection {
  const { environment } = options;
  const endpoint = endpointUrl(options);
  const region = options.region || environment.AWS_REGION || environment.AWS_DEFAULT_REGION ||
    (endpoint === undefined ? undefined : DEFAULT_REGION);
  if (region === undefined) {
    throw new StoreError(
      "permanent",
      "No region is set; set AWS_REGION to the region of the bucket",
    );
  }
  const credentials = credentialsSource(environment);
  const transport = openTransport({
    connectTimeoutMs: options.connectTimeoutMs,
    maxSockets: options.maxSockets,
    keepAlive: true,
    proxyEnv: environment,
  });
  const config: S3ClientConfig = {
    ...settingsWithoutFiles(environment),
    region,
    endpoint: endpoint?.href,
    forcePathStyle: options.pathStyle === "auto"
      ? endpoint !== undefined
      : options.pathStyle === "true",
    requestHandler: transport as S3ClientConfig["requestHandler"],
    defaultUserAgentProvider: () => Promise.resolve([userAgentPair(options.userAgent)]),
  };
  const retrying = new S3Client({
    ...config,
    credentials: credentials.provide,
    maxAttempts: READ_ATTEMPTS,
  });
  // The credentials of the first client, so that both share what it keeps.
  const once = new S3Client({
    ...config,
    credentials: retrying.config.credentials,
    maxAttempts: 1,
  });
  return {
    retrying,
    once,
    region,
    endpointHost: endpoint?.host,
    credentials,
    [Symbol.dispose]() {
      retrying.destroy();
      once.destroy();
      transport.destroy();
    },
  };
}

function endpointUrl(options: S3ConnectionOptions): URL | undefined {
  const { environment } = options;
  const ignored = environment.AWS_IGNORE_CONFIGURED_ENDPOINT_URLS?.toLowerCase() === "true";
  const name = environment.AWS_ENDPOINT_URL_S3 ? "AWS_ENDPOINT_URL_S3" : "AWS_ENDPOINT_URL";
  const text = options.endpoint || (ignored ? undefined : environment[name]);
  if (!text) return undefined;
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const usable = url !== undefined && /^https?:$/.test(url.protocol) && url.username === "" &&
    url.search === "";
  if (!usable) {
    const source = options.endpoint ? "The endpoint" : name;
    throw new StoreError(
      "permanent",
      `${source} must be an http or https URL without credentials and query`,
    );
  }
  return url;
}

/**
 * All that the SDK otherwise reads from files. Checksums only where S3 requires them: other stores
 * often do not know the trailing kind.
 */
function settingsWithoutFiles(environment: Environment): S3ClientConfig {
  return {
    authSchemePreference: [],
    defaultsMode: "standard",
    disableClockSkewCorrection: false,
    disableS3ExpressSessionAuth: false,
    expectContinueHeader: false,
    ignoreConfiguredEndpointUrls: true,
    requestChecksumCalculation: "WHEN_REQUIRED",
    responseChecksumValidation: "WHEN_REQUIRED",
    retryMode: "standard",
    sigv4aSigningRegionSet: [],
    useArnRegion: false,
    useDualstackEndpoint: environment.AWS_USE_DUALSTACK_ENDPOINT?.toLowerCase() === "true",
    useFipsEndpoint: environment.AWS_USE_FIPS_ENDPOINT?.toLowerCase() === "true",
    userAgentAppId: () => Promise.resolve(environment.AWS_SDK_UA_APP_ID),
  };
}

function userAgentPair(userAgent: string): [string, string] {
  const slash = userAgent.indexOf("/");
  return slash < 0 ? [userAgent, ""] : [userAgent.slice(0, slash), userAgent.slice(slash + 1)];
}
