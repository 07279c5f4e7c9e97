/**
 * Where credentials come from: environment variables, the container endpoint (ECS, EKS) or the EC2
 * instance metadata service, in this order. The S3 client keeps what it got and asks again before it
 * expires.
 *
 * The SDK's own chain cannot be used: the program has no file access, and the chain ends in a
 * permission error when `HOME` is not set (as under systemd); its container step waits for ever for
 * an endpoint that does not answer. Protocols:
 * https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html and
 * https://docs.aws.amazon.com/sdkref/latest/guide/feature-imds-credentials.html (version 2 only).
 */
import { StoreError } from "../core/store_error.ts";
import { openTransport } from "./s3_open_transport.ts";

/** Environment variables by name. */
export type Environment = Readonly<Record<string, string | undefined>>;

export interface Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
  readonly expiration?: Date;
}

/** A source of credentials, and what is to be kept out of messages. */
export interface CredentialsSource {
  /** Rejects with a `StoreError`; `permanent` when waiting does not help. */
  provide(): Promise<Credentials>;
  /** Whether later credentials may differ from earlier ones. */
  readonly renewable: boolean;
  /** Every secret that was seen so far. */
  secrets(): readonly string[];
}

const AVAILABLE = "Available are AWS_ACCESS_KEY_ID with AWS_SECRET_ACCESS_KEY (and " +
  "AWS_SESSION_TOKEN), container credentials, and EC2 instance metadata";
const METADATA_TIMEOUT_MS = 1000;
const METADATA_MAX_BYTES = 65_536;
const CONTAINER_HOST = "http://169.254.170.2";
/** Hosts that may be asked over plain HTTP: the fixed addresses of ECS and EKS. */
const CONTAINER_HOSTS = ["169.254.170.2", "169.254.170.23", "[fd00:ec2::23]"];

/** Chooses the source by the variables that are set. Asks nobody before `provide`. */
export function credentialsSource(environment: Environment): CredentialsSource {
  const steps = chooseSource(environment);
  const secrets = new Set<string>(
    [
      environment.AWS_SECRET_ACCESS_KEY,
      environment.AWS_SESSION_TOKEN,
      environment.AWS_CONTAINER_AUTHORIZATION_TOKEN,
    ].filter((value) => value !== undefined && value !== "") as string[],
  );
  let last: Credentials | undefined;
  return {
    renewable: steps.renewable,
    secrets: () => [...secrets],
    async provide() {
      try {
        last = await steps.load();
      } catch (error) {
        // What was handed out before stays good until it expires, however the renewal goes.
        if (last?.expiration !== undefined && last.expiration.getTime() > Date.now()) return last;
        if (last !== undefined && error instanceof StoreError) {
          throw new StoreError("transient", error.message);
        }
        throw error;
      }
      secrets.add(last.secretAccessKey);
      if (last.sessionToken !== undefined) secrets.add(last.sessionToken);
      return last;
    },
  };
}

/**
 * Says where credentials come from, and until when they are good, without showing them. Asks for
 * them, and rejects with a `StoreError` when there are none to be had.
 */
export async function describeCredentials(environment: Environment): Promise<string> {
  const { name, load } = chooseSource(environment);
  const { expiration } = await load();
  const until = expiration === undefined ? "" : `, good until ${expiration.toISOString()}`;
  return `${name}${until}`;
}

interface ChosenSource {
  readonly name: string;
  readonly renewable: boolean;
  load(): Promise<Credentials>;
}

function chooseSource(environment: Environment): ChosenSource {
  const accessKeyId = environment.AWS_ACCESS_KEY_ID || undefined;
  const secretAccessKey = environment.AWS_SECRET_ACCESS_KEY || undefined;
  if (accessKeyId !== undefined && secretAccessKey !== undefined) {
    const sessionToken = environment.AWS_SESSION_TOKEN || undefined;
    const credentials = { accessKeyId, secretAccessKey, sessionToken };
    const name = "environment variables";
    return { name, renewable: false, load: () => Promise.resolve(credentials) };
  }
  const problem = unavailable(environment, accessKeyId, secretAccessKey);
  if (problem !== undefined) {
    const load = () => Promise.reject(new StoreError("permanent", problem));
    return { name: "none", renewable: false, load };
  }
  if (
    environment.AWS_CONTAINER_CREDENTIALS_RELATIVE_URI ||
    environment.AWS_CONTAINER_CREDENTIALS_FULL_URI
  ) {
    const name = "container endpoint";
    return { name, renewable: true, load: () => fromContainer(environment) };
  }
  const name = "EC2 instance metadata";
  return { name, renewable: true, load: () => fromInstanceMetadata(environment) };
}

/** What is configured but cannot be had, or only by half. Going on to the next source would be to run as somebody else. */
function unavailable(
  environment: Environment,
  accessKeyId: string | undefined,
  secretAccessKey: string | undefined,
): string | undefined {
  if (accessKeyId !== undefined || secretAccessKey !== undefined) {
    return accessKeyId === undefined
      ? "AWS_SECRET_ACCESS_KEY is set, but AWS_ACCESS_KEY_ID is not"
      : "AWS_ACCESS_KEY_ID is set, but AWS_SECRET_ACCESS_KEY is not";
  }
  const files: readonly [string, string][] = [
    ["AWS_WEB_IDENTITY_TOKEN_FILE", "a web identity token is read from a file"],
    ["AWS_PROFILE", "profiles and SSO sessions are kept in files"],
  ];
  for (const [name, reason] of files) {
    if (environment[name]) return needsFiles(name, reason);
  }
  if (
    environment.AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE &&
    !environment.AWS_CONTAINER_AUTHORIZATION_TOKEN &&
    (environment.AWS_CONTAINER_CREDENTIALS_RELATIVE_URI ||
      environment.AWS_CONTAINER_CREDENTIALS_FULL_URI)
  ) {
    return needsFiles(
      "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
      "the token for the container endpoint is read from a file",
    );
  }
  return undefined;
}

function needsFiles(name: string, reason: string): string {
  return `${name} is set, but ${reason}, and the program has no file access. ${AVAILABLE}`;
}

async function fromContainer(environment: Environment): Promise<Credentials> {
  const relative = environment.AWS_CONTAINER_CREDENTIALS_RELATIVE_URI;
  const address = relative
    ? CONTAINER_HOST + relative
    : environment.AWS_CONTAINER_CREDENTIALS_FULL_URI!;
  const url = URL.canParse(address) ? new URL(address) : undefined;
  if (url === undefined || !isContainerHost(url)) {
    const name = relative
      ? "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"
      : "AWS_CONTAINER_CREDENTIALS_FULL_URI";
    const allowed = "an HTTPS URL, or HTTP to loopback or a container credentials address";
    throw new StoreError("permanent", `${name} must be ${allowed}`);
  }
  const token = environment.AWS_CONTAINER_AUTHORIZATION_TOKEN;
  if (token !== undefined && /[\r\n]/.test(token)) {
    throw new StoreError("permanent", "AWS_CONTAINER_AUTHORIZATION_TOKEN holds a line break");
  }
  const headers: Record<string, string> = token ? { authorization: token } : {};
  const place = `the container credentials endpoint ${url.host}`;
  let answer: MetadataAnswer;
  try {
    answer = await ask("GET", url, headers);
  } catch (error) {
    throw new StoreError("transient", `${place} did not answer (${reasonOf(error)})`);
  }
  if (answer.status !== 200) {
    const kind = answer.status >= 500 || answer.status === 429 ? "transient" : "permanent";
    throw new StoreError(kind, `${place} answered HTTP ${answer.status}`);
  }
  return decodeCredentials(answer.text, place);
}

function isContainerHost(url: URL): boolean {
  if (url.protocol === "https:") return true;
  return url.protocol === "http:" &&
    (CONTAINER_HOSTS.includes(url.hostname) || url.hostname === "localhost" ||
      url.hostname === "[::1]" || url.hostname.startsWith("127."));
}

async function fromInstanceMetadata(environment: Environment): Promise<Credentials> {
  if (environment.AWS_EC2_METADATA_DISABLED?.toLowerCase() === "true") {
    throw new StoreError(
      "permanent",
      `no credentials: none are set, and AWS_EC2_METADATA_DISABLED is true. ${AVAILABLE}`,
    );
  }
  const ipv6 = environment.AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE?.toLowerCase() === "ipv6";
  const base = environment.AWS_EC2_METADATA_SERVICE_ENDPOINT ||
    (ipv6 ? "http://[fd00:ec2::254]" : "http://169.254.169.254");
  if (!URL.canParse(base)) {
    throw new StoreError("permanent", "AWS_EC2_METADATA_SERVICE_ENDPOINT must be a URL");
  }
  const token = await metadataToken(base);
  const headers = { "x-aws-ec2-metadata-token": token };
  const roles = "/latest/meta-data/iam/security-credentials/";
  const role = await metadata(base, roles, headers);
  const name = role.trim().split("\n")[0];
  return decodeCredentials(
    await metadata(base, roles + encodeURIComponent(name), headers),
    "instance metadata",
  );
}

async function metadataToken(base: string): Promise<string> {
  try {
    const url = new URL("/latest/api/token", base);
    const answer = await ask("PUT", url, { "x-aws-ec2-metadata-token-ttl-seconds": "21600" });
    if (answer.status === 200) return answer.text;
    throw new Error(`HTTP ${answer.status}`);
  } catch (error) {
    throw new StoreError(
      "permanent",
      `no credentials: none are set, and EC2 instance metadata (version 2) is not to be had ` +
        `(${reasonOf(error)}); in a container, its hop limit must be 2 or more. ${AVAILABLE}`,
    );
  }
}

async function metadata(
  base: string,
  path: string,
  headers: Record<string, string>,
): Promise<string> {
  let answer: MetadataAnswer;
  try {
    answer = await ask("GET", new URL(path, base), headers);
  } catch (error) {
    throw new StoreError("transient", `instance metadata did not answer (${reasonOf(error)})`);
  }
  if (answer.status === 200) return answer.text;
  if (answer.status === 404) {
    throw new StoreError("permanent", "no credentials: the instance has no IAM role attached");
  }
  throw new StoreError("transient", `instance metadata answered HTTP ${answer.status}`);
}

/** Reads the document that containers and instances share; its fields never get into a message. */
function decodeCredentials(text: string, place: string): Credentials {
  let fields: Record<string, unknown> | null;
  try {
    fields = JSON.parse(text);
  } catch {
    fields = null;
  }
  const { AccessKeyId, SecretAccessKey, Token, Expiration } = fields ?? {};
  const expiration = typeof Expiration === "string" ? new Date(Expiration) : undefined;
  if (
    typeof AccessKeyId !== "string" || typeof SecretAccessKey !== "string" ||
    (Token !== undefined && typeof Token !== "string") || Number.isNaN(expiration?.getTime())
  ) {
    throw new StoreError("transient", `${place} answered with something that is no credentials`);
  }
  return {
    accessKeyId: AccessKeyId,
    secretAccessKey: SecretAccessKey,
    sessionToken: Token,
    expiration,
  };
}

interface MetadataAnswer {
  readonly status: number;
  readonly text: string;
}

/** One request, over in `METADATA_TIMEOUT_MS`; not by a proxy, which would have another's metadata. */
async function ask(
  method: string,
  url: URL,
  headers: Record<string, string>,
): Promise<MetadataAnswer> {
  const deadline = new AbortController();
  const timer = setTimeout(
    () => deadline.abort(new Error(`no answer within ${METADATA_TIMEOUT_MS} ms`)),
    METADATA_TIMEOUT_MS,
  );
  const transport = openTransport({
    connectTimeoutMs: METADATA_TIMEOUT_MS,
    maxSockets: 1,
    keepAlive: false,
  });
  try {
    const { response } = await transport.handle({
      method,
      protocol: url.protocol,
      hostname: url.hostname,
      port: url.port === "" ? undefined : Number(url.port),
      path: url.pathname + url.search,
      headers: { host: url.host, ...headers },
    }, { abortSignal: deadline.signal });
    const decoder = new TextDecoder();
    let text = "";
    for await (const chunk of response.body ?? []) {
      text += decoder.decode(chunk, { stream: true });
      if (text.length > METADATA_MAX_BYTES) throw new Error("the answer is too long");
    }
    return { status: response.statusCode, text };
  } catch (error) {
    deadline.abort();
    throw error;
  } finally {
    clearTimeout(timer);
    transport.destroy();
  }
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
