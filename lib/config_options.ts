/**
 * Every environment variable of the agent, once: name, default, meaning and what is allowed. Parsing,
 * the error messages, `--help` and the table in the README are all made from this.
 */
import { STATE_FOLDERS } from "./core/keys.ts";

/** One environment variable. */
export interface ConfigOption<Value> {
  readonly name: string;
  readonly meaning: string;
  /** Completes the sentence "must be …". */
  readonly allowed: string;
  /** The value when the variable is unset or empty. */
  readonly fallback: Value;
  /** How the default reads in the documentation. */
  readonly shownDefault: string;
  readonly required: boolean;
  /** The value that the text stands for, or undefined when it is not allowed. */
  parse(text: string): Value | undefined;
}

export interface HttpAddress {
  /** Without the brackets that an IPv6 address is written in. */
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
}

/** The agent's settings: data only, all of them checked. */
export interface Config {
  readonly bucket: string;
  /** Without a slash at its ends, never empty. */
  readonly prefix: string;
  /** Empty: no lane. */
  readonly queueName: string;
  /** Empty: takes every spec. */
  readonly poolId: string;
  readonly supervisor: string;
  readonly supervisorArgs: readonly string[];
  readonly pollIntervalMs: number;
  readonly heartbeatIntervalMs: number;
  /** Undefined: the host name. */
  readonly nodeId: string | undefined;
  readonly concurrency: number;
  readonly leaseTtlMs: number;
  readonly fence: "strict" | "confirmed";
  readonly maxAttempts: number;
  /** 0: no limit. */
  readonly cellTimeoutMs: number;
  readonly killGraceMs: number;
  /** 0: as long as the cells take. */
  readonly drainTimeoutMs: number;
  /** 0: never. */
  readonly exitWhenIdleMs: number;
  readonly cellOutput: "log" | "inherit" | "discard";
  readonly maxSpecBytes: number;
  /** Of each output stream, kept in the result record. 0: none. */
  readonly resultTailBytes: number;
  /** Undefined: no HTTP endpoint. */
  readonly httpAddress: HttpAddress | undefined;
  readonly logLevel: "debug" | "info" | "warn" | "error";
  readonly logFormat: "auto" | "json" | "text";
  readonly s3PathStyle: "auto" | "true" | "false";
}

type ConfigOptions = { readonly [Field in keyof Config]: ConfigOption<Config[Field]> };

const SECOND_MS = 1_000;
const HOUR_MS = 3_600 * SECOND_MS;
const DAY_MS = 24 * HOUR_MS;
const MIB = 1024 * 1024;

/** In the order in which the documentation lists them. */
export const CONFIG_OPTIONS: ConfigOptions = {
  bucket: {
    name: "CELLOS_FLEET_BUCKET",
    meaning: "Bucket that holds the queue",
    allowed: "a bucket name of 3 to 255 letters, digits, dots, hyphens and underscores",
    fallback: "",
    shownDefault: "required",
    required: true,
    parse: (text) => /^[A-Za-z0-9][A-Za-z0-9._-]{2,254}$/.test(text) ? text : undefined,
  },
  prefix: optional({
    name: "CELLOS_FLEET_PREFIX",
    meaning: "Key prefix of the queue; slashes at its end are trimmed",
    allowed:
      "a key prefix of at most 512 bytes without a slash at its start, `//`, a `.` or `..` " +
      "segment, or control characters",
    fallback: "fleet",
    parse(text) {
      const trimmed = text.replace(/\/+$/, "");
      return isKeyPath(trimmed) && keyBytes(trimmed) <= 512 ? trimmed : undefined;
    },
  }),
  queueName: optional({
    name: "CELLOS_FLEET_QUEUE_NAME",
    meaning: "Named lane below the prefix: <prefix>/<queue>/pending/…",
    allowed: "a name of at most 128 bytes without a slash at its ends, `//`, a `.` or `..` " +
      `segment, or control characters, and with no segment named ${oneOf(STATE_FOLDERS)}`,
    fallback: "",
    shownDefault: "none",
    parse(text) {
      const segments: readonly string[] = text.split("/");
      const taken = STATE_FOLDERS.some((folder) => segments.includes(folder));
      return isKeyPath(text) && keyBytes(text) <= 128 && !taken ? text : undefined;
    },
  }),
  poolId: optional({
    name: "CELLOS_FLEET_POOL_ID",
    meaning: "Placement gate: skip a spec whose spec.placement.poolId is set and differs",
    allowed: "at most 256 characters without control characters",
    fallback: "",
    shownDefault: "none",
    parse: (text) => isPrintable(text) && text.length <= 256 ? text : undefined,
  }),
  supervisor: optional({
    name: "CELLOS_FLEET_SUPERVISOR",
    meaning: "Program to run for each spec",
    allowed: "the name or path of a program",
    fallback: "cellos-supervisor",
    parse: (text) => isPrintable(text) && text.trim() !== "" ? text : undefined,
  }),
  supervisorArgs: optional<readonly string[]>({
    name: "CELLOS_FLEET_SUPERVISOR_ARGS",
    meaning: "Arguments for the supervisor, split at spaces; a single space means none. The spec " +
      "comes on its standard input",
    allowed: "arguments separated by spaces, without control characters",
    fallback: ["/dev/stdin"],
    shownDefault: "/dev/stdin",
    parse: (text) =>
      isPrintable(text) ? text.split(" ").filter((argument) => argument !== "") : undefined,
  }),
  pollIntervalMs: wholeNumber({
    name: "CELLOS_FLEET_POLL_INTERVAL_MS",
    meaning: "Wait between polls of an empty queue, give or take a tenth",
    fallback: 5 * SECOND_MS,
    least: 100,
    most: HOUR_MS,
  }),
  heartbeatIntervalMs: wholeNumber({
    name: "CELLOS_FLEET_HEARTBEAT_INTERVAL_MS",
    meaning: "Time between heartbeats",
    fallback: 30 * SECOND_MS,
    least: 100,
    most: HOUR_MS,
  }),
  nodeId: optional<string | undefined>({
    name: "CELLOS_FLEET_NODE_ID",
    meaning: "Name of this node; no two nodes of a queue may share one",
    allowed: "at most 128 characters without a slash or control characters",
    fallback: undefined,
    shownDefault: "host name",
    parse: (text) =>
      isPrintable(text) && !text.includes("/") && text.length <= 128 ? text : undefined,
  }),
  concurrency: wholeNumber({
    name: "CELLOS_FLEET_CONCURRENCY",
    meaning: "Cells run at once",
    fallback: 1,
    least: 1,
    most: 1_024,
  }),
  leaseTtlMs: wholeNumber({
    name: "CELLOS_FLEET_LEASE_TTL_MS",
    meaning: "Lifetime of a claim's lease; renewed every third of it",
    fallback: 120 * SECOND_MS,
    least: 1_500,
    most: DAY_MS,
  }),
  fence: choice({
    name: "CELLOS_FLEET_FENCE",
    meaning: "strict: stop a cell whose lease could not be renewed in time; confirmed: only once " +
      "another owner is seen",
    values: ["strict", "confirmed"],
    fallback: "strict",
  }),
  maxAttempts: wholeNumber({
    name: "CELLOS_FLEET_MAX_ATTEMPTS",
    meaning: "How often a spec whose node died is started in all; then it is filed as failed, " +
      "reason lost",
    fallback: 3,
    least: 1,
    most: 100,
  }),
  cellTimeoutMs: wholeNumber({
    name: "CELLOS_FLEET_CELL_TIMEOUT_MS",
    meaning: "Longest run of one cell; 0: no limit",
    fallback: 0,
    least: 0,
    most: 30 * DAY_MS,
  }),
  killGraceMs: wholeNumber({
    name: "CELLOS_FLEET_KILL_GRACE_MS",
    meaning: "Time between SIGTERM and SIGKILL to a cell's processes; at most half of the lease " +
      "lifetime. Default: 10000, or a quarter of the lease lifetime where that is less",
    fallback: 10 * SECOND_MS,
    least: 0,
    most: DAY_MS / 2,
  }),
  drainTimeoutMs: wholeNumber({
    name: "CELLOS_FLEET_DRAIN_TIMEOUT_MS",
    meaning: "After SIGTERM, how long running cells may go on; 0: as long as they take",
    fallback: 0,
    least: 0,
    most: 30 * DAY_MS,
  }),
  exitWhenIdleMs: wholeNumber({
    name: "CELLOS_FLEET_EXIT_WHEN_IDLE_MS",
    meaning: "Exit with code 0 after so long without work; 0: never",
    fallback: 0,
    least: 0,
    most: 30 * DAY_MS,
  }),
  cellOutput: choice({
    name: "CELLOS_FLEET_CELL_OUTPUT",
    meaning:
      "The supervisor's output: log (one event per line), inherit (straight through), discard",
    values: ["log", "inherit", "discard"],
    fallback: "log",
  }),
  maxSpecBytes: wholeNumber({
    name: "CELLOS_FLEET_MAX_SPEC_BYTES",
    meaning: "A larger spec is filed as failed, reason spec-too-large, and never read whole",
    fallback: MIB,
    least: 1,
    most: 100 * MIB,
  }),
  resultTailBytes: wholeNumber({
    name: "CELLOS_FLEET_RESULT_TAIL_BYTES",
    meaning: "Last bytes of each output stream kept in the result record; 0: none",
    fallback: 8_192,
    least: 0,
    most: 65_536,
  }),
  httpAddress: optional<HttpAddress | undefined>({
    name: "CELLOS_FLEET_HTTP_ADDR",
    meaning: "Address that serves metrics and health, such as 127.0.0.1:9464",
    allowed: "host:port with a port up to 65535, an IPv6 host in brackets",
    fallback: undefined,
    shownDefault: "off",
    parse: parseHttpAddress,
  }),
  logLevel: choice({
    name: "CELLOS_FLEET_LOG_LEVEL",
    meaning: "Least level to log; when unset, a plain level in RUST_LOG counts",
    values: ["debug", "info", "warn", "error"],
    fallback: "info",
  }),
  logFormat: choice({
    name: "CELLOS_FLEET_LOG_FORMAT",
    meaning: "auto: text on a terminal, JSON lines elsewhere",
    values: ["auto", "json", "text"],
    fallback: "auto",
  }),
  s3PathStyle: choice({
    name: "CELLOS_FLEET_S3_PATH_STYLE",
    meaning: "Bucket in the path instead of the host name; auto: where an endpoint is set",
    values: ["auto", "true", "false"],
    fallback: "auto",
  }),
};

/** The options as a list, in the order of the documentation. */
export function listOptions(): readonly ConfigOption<unknown>[] {
  return Object.values(CONFIG_OPTIONS);
}

function optional<Value>(
  option: Omit<ConfigOption<Value>, "required" | "shownDefault"> & { shownDefault?: string },
): ConfigOption<Value> {
  return { shownDefault: String(option.fallback), ...option, required: false };
}

function wholeNumber(
  option: Pick<ConfigOption<number>, "name" | "meaning" | "fallback"> & {
    readonly least: number;
    readonly most: number;
  },
): ConfigOption<number> {
  const { least, most } = option;
  return optional({
    ...option,
    allowed: `a whole number from ${least} to ${most}, in decimal digits only`,
    parse(text) {
      if (!/^[0-9]{1,15}$/.test(text)) return undefined;
      const value = Number(text);
      return value >= least && value <= most ? value : undefined;
    },
  });
}

function choice<Value extends string>(
  option: Pick<ConfigOption<Value>, "name" | "meaning" | "fallback"> & {
    readonly values: readonly Value[];
  },
): ConfigOption<Value> {
  return optional({
    ...option,
    allowed: oneOf(option.values),
    parse: (text) => option.values.find((value) => value === text),
  });
}

function oneOf(values: readonly string[]): string {
  return `${values.slice(0, -1).join(", ")} or ${values[values.length - 1]}`;
}

function isPrintable(text: string): boolean {
  // Beside the control characters: line separators, and halves of characters that no key can hold.
  return text.isWellFormed() && !/[\p{Cc}\u2028\u2029]/u.test(text);
}

/** Whether every S3 client and server takes the text for the same key, and lists it as a folder. */
function isKeyPath(text: string): boolean {
  // Clients that tidy URLs up take `a/./b` and `a//b` for `a/b`, and sign something else.
  return isPrintable(text) &&
    text.split("/").every((segment) => segment !== "" && segment !== "." && segment !== "..");
}

/** S3 bounds keys in bytes of UTF-8: 1,024 for the whole. */
function keyBytes(text: string): number {
  return new TextEncoder().encode(text).length;
}

function parseHttpAddress(text: string): HttpAddress | undefined {
  const match = /^(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9.-]+)):([0-9]{1,5})$/.exec(text);
  const host = match?.[1] ?? match?.[2];
  if (match === null || host === undefined) return undefined;
  const port = Number(match[3]);
  return port <= 65_535 ? { host, port } : undefined;
}
