/**
 * An S3 server in memory, on loopback only: for the demo, the tests and the benchmark, and for trying
 * things by hand with the AWS CLI. Path-style addresses; signatures are not verified; conditional
 * writes and deletes as S3 has them; and faults on demand. Nothing is kept when it ends.
 */
import { parseArgs } from "node:util";
import type { HonouredConditions, MemoryBucket } from "./s3/bucket.ts";
import type { Faults } from "./s3/faults.ts";
import { close, serveConnection } from "./s3/http_connection.ts";
import { S3Service } from "./s3/service.ts";
import type { RequestLogEntry, ServerStatistics } from "./s3/statistics.ts";

const HOST = "127.0.0.1";

export interface S3ServerOptions {
  /** 0, the default, takes any that is free. */
  readonly port?: number;
  /**
   * Names of buckets that exist from the start (default: `fleet`), or buckets themselves: those of
   * another server that was closed, or with an observer. Such buckets keep their own clock and
   * conditions.
   */
  readonly buckets?: readonly string[] | Map<string, MemoryBucket>;
  /** Every request waits this long; 0 by default. */
  readonly delayMs?: number;
  /** The conditions honoured; all by default. Kept by reference: switching works at any time. */
  readonly conditions?: HonouredConditions;
  /** Answer unsigned requests with 403 AccessDenied. Off by default. */
  readonly requireCredentials?: boolean;
  /** Answer requests signed with these access key ids with 403 InvalidAccessKeyId. */
  readonly denyAccessKeys?: readonly string[];
  /** Told of every request, once it is decided how it ends and before the answer is sent. */
  readonly log?: (entry: RequestLogEntry) => void;
  /** Milliseconds since the epoch, for LastModified and Date; the system's clock by default. */
  readonly now?: () => number;
  /** Uniform in [0, 1), for faults with a probability. */
  readonly random?: () => number;
  /** The ETag of a body, quotes included; its MD5 by default. */
  readonly etagOf?: (body: Uint8Array) => string;
}

/** A server that runs until it is closed. */
export interface S3Server extends AsyncDisposable {
  readonly port: number;
  /** For `--endpoint-url`, such as `http://127.0.0.1:9000`. */
  readonly endpoint: string;
  /** The buckets by name, for looking inside without HTTP. */
  readonly buckets: Map<string, MemoryBucket>;
  readonly conditions: HonouredConditions;
  readonly faults: Faults;
  /** A bucket that exists; throws when there is none of that name. */
  bucket(name: string): MemoryBucket;
  stats(): ServerStatistics;
  resetStats(): void;
  /** Cuts all connections and resolves once nothing runs any more. The buckets stay as they are. */
  close(): Promise<void>;
}

/** Starts a server. Throws `Deno.errors.AddrInUse` when the port is taken. */
export function startS3Server(options: S3ServerOptions = {}): S3Server {
  const closing = new AbortController();
  const given = options.buckets ?? ["fleet"];
  const buckets = given instanceof Map ? given : new Map<string, MemoryBucket>();
  const conditions = options.conditions ?? { create: true, replace: true, delete: true };
  const service = new S3Service({
    buckets,
    conditions,
    delayMs: options.delayMs ?? 0,
    requireCredentials: options.requireCredentials ?? false,
    denyAccessKeys: options.denyAccessKeys ?? [],
    log: options.log,
    now: options.now ?? Date.now,
    random: options.random ?? Math.random,
    etagOf: options.etagOf,
    closing: closing.signal,
  });
  if (!(given instanceof Map)) {
    for (const name of given) {
      buckets.set(name, service.emptyBucket());
    }
  }

  const listener = Deno.listen({ hostname: HOST, port: options.port ?? 0 });
  const running = accept(listener, service, closing.signal);
  const { port } = listener.addr;
  const stop = async () => {
    if (!closing.signal.aborted) {
      closing.abort();
      listener.close();
    }
    await running;
  };
  return {
    port,
    endpoint: `http://${HOST}:${port}`,
    buckets,
    conditions,
    faults: service.faults,
    bucket: (name) => {
      const bucket = buckets.get(name);
      if (bucket === undefined) throw new Error(`There is no bucket ${name}`);
      return bucket;
    },
    stats: () => service.statistics.snapshot(),
    resetStats: () => service.statistics.reset(),
    close: stop,
    [Symbol.asyncDispose]: stop,
  };
}

/** Serves connections until the listener is closed; resolves when the last one is. */
async function accept(
  listener: Deno.TcpListener,
  service: S3Service,
  closing: AbortSignal,
): Promise<void> {
  const connections = new Map<Deno.Conn, Promise<void>>();
  closing.addEventListener(
    "abort",
    () => connections.forEach((_, connection) => close(connection)),
  );
  for await (const connection of listener) {
    connection.setNoDelay(true);
    const served = serveConnection(connection, (request) => service.answer(request));
    connections.set(connection, served.finally(() => connections.delete(connection)));
    if (closing.aborted) close(connection);
  }
  await Promise.all(connections.values());
}

const USAGE = `Serves S3 from memory on ${HOST}, for trying things by hand

Usage: deno task s3 [options]

  --port NUMBER              port to listen on; 0 takes any that is free (default: 9000)
  --bucket NAME              bucket to create at the start; may be repeated (default: fleet)
  --delay-ms NUMBER          how long every request waits (default: 0)
  --ignore-conditions LIST   conditions to ignore, as old stores do: create, replace, delete
  --help                     show this text

Faults are set by HTTP while it runs: PUT, GET and DELETE /_faults; figures: GET /_stats
`;

class UsageError extends Error {}

/** Reads the command line: `help`, or options. Throws `UsageError`, or what `parseArgs` throws. */
function parseCommandLine(args: string[]): S3ServerOptions | "help" {
  const { values } = parseArgs({
    args,
    options: {
      port: { type: "string", default: "9000" },
      bucket: { type: "string", multiple: true, default: ["fleet"] },
      "delay-ms": { type: "string", default: "0" },
      "ignore-conditions": { type: "string", default: "" },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) return "help";
  const conditions: HonouredConditions = { create: true, replace: true, delete: true };
  for (const name of values["ignore-conditions"].split(",").filter((name) => name !== "")) {
    if (!Object.hasOwn(conditions, name)) {
      throw new UsageError(`Unknown condition ${name}: must be create, replace or delete`);
    }
    conditions[name as keyof HonouredConditions] = false;
  }
  return {
    port: wholeNumber("--port", values.port, 65_535),
    buckets: values.bucket,
    delayMs: wholeNumber("--delay-ms", values["delay-ms"], 3_600_000),
    conditions,
  };
}

function wholeNumber(option: string, value: string, max: number): number {
  if (/^\d+$/.test(value) && Number(value) <= max) return Number(value);
  throw new UsageError(`Cannot use ${option} ${value}: must be a whole number from 0 to ${max}`);
}

/** Runs the server until SIGINT or SIGTERM; returns the exit code. */
async function main(args: string[]): Promise<number> {
  let options: S3ServerOptions | "help";
  try {
    options = parseCommandLine(args);
  } catch (error) {
    console.error(`${(error as Error).message}\n\n${USAGE}`);
    return 64;
  }
  if (options === "help") {
    console.log(USAGE);
    return 0;
  }
  const server = startS3Server(options);
  const stopped = Promise.withResolvers<void>();
  const stop = () => stopped.resolve();
  for (const signal of ["SIGINT", "SIGTERM"] as const) Deno.addSignalListener(signal, stop);
  console.log(`S3 on ${server.endpoint}, buckets: ${[...server.buckets.keys()].join(", ")}`);
  console.log(
    "Try: AWS_ACCESS_KEY_ID=any AWS_SECRET_ACCESS_KEY=any AWS_REGION=us-east-1 " +
      `aws --endpoint-url ${server.endpoint} s3 ls s3://${[...server.buckets.keys()][0]}/`,
  );
  await stopped.promise;
  await server.close();
  for (const signal of ["SIGINT", "SIGTERM"] as const) Deno.removeSignalListener(signal, stop);
  return 0;
}

if (import.meta.main) Deno.exit(await main(Deno.args));
