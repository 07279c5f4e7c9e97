/**
 * A bucket, agents and a ledger for the tests of whole agents, and what must hold of every run of
 * them, judged by the bucket and the ledger alone.
 */
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { claimOfMetadata, decodeResult, type ResultRecord } from "../../lib/core/result.ts";
import {
  type BucketObject,
  type HonouredConditions,
  MemoryBucket,
} from "../../scripts/s3/bucket.ts";
import type { RequestLogEntry } from "../../scripts/s3/statistics.ts";
import { type S3Server, type S3ServerOptions, startS3Server } from "../../scripts/s3_server.ts";
import { FleetAgent, type FleetAgentOptions } from "./fleet_agent.ts";
import { Ledger } from "./ledger.ts";
import { processTable } from "./process_table.ts";
import { waitUntil } from "./wait_until.ts";

export const SUPERVISOR = fileURLToPath(new URL("ledger_supervisor.sh", import.meta.url));
const FOLDERS = ["pending", "claimed", "completed", "failed"] as const;
type Folder = (typeof FOLDERS)[number];

/** Settings of an agent beside those of the fleet, without the prefix `CELLOS_FLEET_`. */
export type AgentSettings = Readonly<Record<string, string | number>>;

export interface FleetOptions {
  readonly conditions?: HonouredConditions;
  readonly server?: Pick<S3ServerOptions, "denyAccessKeys">;
  /** Time of the bucket, milliseconds since the epoch. */
  readonly now?: () => number;
}

export class Fleet implements AsyncDisposable {
  readonly ledger: Ledger;
  readonly bucket: MemoryBucket;
  readonly agents: FleetAgent[] = [];
  /** Every request that was answered, cut or left hanging. */
  readonly requests: RequestLogEntry[] = [];
  /** Told of every request, before it is answered. */
  onRequest: (entry: RequestLogEntry) => void = () => {};
  /** Times that a terminal object was written, by spec id. */
  readonly filings = new Map<string, number>();
  server: S3Server;
  readonly #folder: string;
  readonly #submitted = new Map<string, Uint8Array>();
  readonly #violations: string[] = [];
  readonly #options: FleetOptions;
  #others: S3Server[] = [];

  constructor(folder: string, options: FleetOptions) {
    this.#folder = folder;
    this.#options = options;
    this.ledger = new Ledger(`${folder}/ledger`);
    this.bucket = new MemoryBucket({
      now: options.now ?? Date.now,
      conditions: options.conditions,
      observe: ({ kind, key }) => this.#observe(kind, key),
    });
    this.server = this.startServer();
  }

  /** Starts another server on the fleet's bucket. It is closed with the fleet. */
  startServer(port = 0): S3Server {
    const server = startS3Server({
      port,
      buckets: new Map([["fleet", this.bucket]]),
      log: (entry) => {
        this.requests.push(entry);
        this.onRequest(entry);
      },
      ...this.#options.server,
    });
    this.#others.push(server);
    return server;
  }

  /** Stores a spec whose supervisor does what `run` says, or a spec of these very bytes. */
  submit(
    id: string,
    spec: string | Uint8Array | { readonly run: string; readonly poolId?: string },
  ): void {
    const body = typeof spec === "string"
      ? new TextEncoder().encode(spec)
      : spec instanceof Uint8Array
      ? spec
      : new TextEncoder().encode(specText(spec.run, spec.poolId));
    this.#submitted.set(id, body);
    this.bucket.put(key("pending", id), body);
  }

  /** Starts an agent; by default one that notices everything soon, and trusts a lease for long. */
  agent(
    node: string,
    settings: AgentSettings = {},
    options: Partial<FleetAgentOptions> & { readonly server?: S3Server } = {},
  ): FleetAgent {
    const all: AgentSettings = {
      BUCKET: "fleet",
      NODE_ID: node,
      SUPERVISOR,
      LEASE_TTL_MS: 60_000,
      KILL_GRACE_MS: 500,
      POLL_INTERVAL_MS: 200,
      HEARTBEAT_INTERVAL_MS: 200,
      LOG_LEVEL: "debug",
      LOG_FORMAT: "json",
      ...settings,
    };
    const agent = new FleetAgent({
      args: options.args,
      ownGroup: options.ownGroup,
      environment: {
        ...Object.fromEntries(
          Object.entries(all).map(([name, value]) => [`CELLOS_FLEET_${name}`, String(value)]),
        ),
        FLEET_TEST_FOLDER: this.#folder,
        AWS_ENDPOINT_URL_S3: (options.server ?? this.server).endpoint,
        AWS_REGION: "us-east-1",
        AWS_ACCESS_KEY_ID: "test",
        AWS_SECRET_ACCESS_KEY: "test",
        ...options.environment,
      },
    });
    this.agents.push(agent);
    return agent;
  }

  /** Lets every script go on that waits at this gate. */
  open(gate: string): void {
    Deno.writeTextFileSync(this.path(gate), "");
  }

  /** A file of the fleet's folder. */
  path(name: string): string {
    return `${this.#folder}/${name}`;
  }

  keys(prefix: string): string[] {
    const keys: string[] = [];
    for (;;) {
      const page = this.bucket.list({ prefix, startAfter: keys.at(-1) });
      keys.push(...page.objects.map((object) => object.key));
      if (!page.truncated) return keys;
    }
  }

  object(folder: Folder, id: string): BucketObject | undefined {
    return this.bucket.get(key(folder, id));
  }

  /** The result record of a spec; fails when there is none. */
  result(id: string): ResultRecord {
    const object = this.bucket.get(`fleet/results/${id}.json`);
    const result = object && decodeResult(object.body);
    assert.ok(result, `${id} has a result record`);
    return result;
  }

  /** Waits until a spec is filed and nothing of its claim is left; returns the result record. */
  async untilFiled(
    id: string,
    folder: "completed" | "failed" = "completed",
  ): Promise<ResultRecord> {
    await this.#until(`${id} is in ${folder}/ and no longer claimed`, () => {
      return this.object(folder, id) !== undefined && !this.#isClaimed(id);
    });
    return this.result(id);
  }

  /**
   * Waits until so many runs of a spec have got it from their agents; returns the process group of
   * the last one.
   */
  async untilRunning(id: string, times = 1): Promise<number> {
    await this.#until(`${id} ran ${times} ×`, () => {
      return this.ledger.of("running", id).length >= times;
    });
    return this.ledger.of("running", id)[times - 1].pid;
  }

  /** Waits until nothing is pending or claimed. */
  async untilEmpty(): Promise<void> {
    await this.#until("pending/ and claimed/ are empty", () => this.#unsettled().length === 0);
  }

  /**
   * What must hold whatever happened: every spec submitted is in exactly one folder, byte for byte,
   * was never without a place, and was never run twice at a time; a terminal object and its result
   * record are of the same claim, and whatever is said to have run has run.
   */
  judge({ mayOverlap = false }: { readonly mayOverlap?: boolean } = {}): void {
    assert.deepEqual(this.#violations, []);
    const overlaps = this.ledger.of("overlap").map(({ specId }) => specId);
    if (!mayOverlap) assert.deepEqual(overlaps, [], "specs of which two runs were there at a time");
    for (const [id, bytes] of this.#submitted) {
      const found = FOLDERS.filter((folder) => this.object(folder, id) !== undefined);
      assert.equal(found.length, 1, `${id} is in ${found.length === 0 ? "no folder" : found}`);
      const object = this.object(found[0], id)!;
      assert.deepEqual(object.body, bytes, `the bytes of ${id} are unchanged`);
      if (found[0] === "completed" || found[0] === "failed") this.#judgeFiled(id, found[0], object);
    }
  }

  /** Fails unless the spec was started once, came to its end once, and was filed once. */
  judgeRunOnce(id: string, exitCode = 0): void {
    const events = this.ledger.entries()
      .filter(({ specId, event }) => specId === id && event !== "running")
      .map(({ event, detail }) => `${event} ${detail}`.trim());
    assert.deepEqual(events, ["start", `end ${exitCode}`], `the ledger of ${id}`);
    const result = this.result(id);
    assert.deepEqual([result.attempt, result.reason, result.exitCode], [1, "exit", exitCode], id);
    assert.deepEqual(result.earlierRuns, [], `${id} was filed once`);
    assert.equal(this.filings.get(id), 1, `${id} was filed once`);
    assert.deepEqual(this.#unsettled().filter((key) => key.includes(`/${id}.`)), []);
  }

  /** The log of every agent, for a test that failed. */
  logs(): string {
    return this.agents.map((agent) =>
      agent.lines.slice(-80).map(({ timestamp, level, fields }) =>
        `${timestamp} ${level} ${JSON.stringify(fields)}`
      ).join("\n") + `\n${agent.stderr}`
    ).join("\n\n");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // A stopped agent would not hear of its end before it is continued.
    await Promise.all(this.agents.map((agent) => agent[Symbol.asyncDispose]()));
    await Promise.all(this.#others.map((server) => server.close()));
    const runs = new Set(this.ledger.of("start").map(({ pid }) => pid));
    await waitUntil("all cells have ended", async () => {
      return (await processTable()).every(({ group }) => !runs.has(group));
    });
    await Deno.remove(this.#folder, { recursive: true });
  }

  #judgeFiled(id: string, folder: "completed" | "failed", object: BucketObject): void {
    const result = this.result(id);
    assert.equal(result.status, folder, `the result of ${id} agrees with its folder`);
    assert.equal(claimOfMetadata(object.metadata), result.claim, `${id} is of one claim`);
    if (result.reason === "spec-too-large" || result.reason === "lost") return;
    const started = this.ledger.of("start", id).filter(({ claim }) => claim === result.claim);
    assert.equal(started.length, 1, `${id} was started once under the claim that is filed`);
    if (result.reason !== "exit") return;
    const ended = this.ledger.of("end", id).filter(({ claim }) => claim === result.claim);
    assert.deepEqual(ended.map(({ detail }) => detail), [String(result.exitCode)], id);
  }

  /** Waits for what agents have to do; without one it would be in vain. */
  async #until(what: string, condition: () => boolean): Promise<void> {
    await waitUntil(what, () => {
      if (condition()) return true;
      if (this.agents.some((agent) => !agent.hasEnded)) return false;
      throw new Error(`All agents have ended before ${what}`);
    });
  }

  #isClaimed(id: string): boolean {
    return [".json", ".lease"].some((end) => this.bucket.get(`fleet/claimed/${id}${end}`));
  }

  #unsettled(): string[] {
    return [...this.keys("fleet/pending/"), ...this.keys("fleet/claimed/")];
  }

  /** Notes when a spec has no place any more, at the very moment. */
  #observe(kind: "put" | "delete", changed: string): void {
    const found = /^fleet\/(pending|claimed|completed|failed)\/(.+)\.json$/.exec(changed);
    if (found === null) return;
    const [, folder, id] = found;
    if (kind === "put" && (folder === "completed" || folder === "failed")) {
      this.filings.set(id, (this.filings.get(id) ?? 0) + 1);
    }
    if (kind === "delete" && this.#submitted.has(id)) {
      const kept = FOLDERS.some((other) => this.object(other, id) !== undefined);
      if (!kept) this.#violations.push(`${id} was nowhere after ${changed} was deleted`);
    }
  }
}

/** The spec that makes the supervisor of the tests run this script. */
export function specText(run: string, poolId?: string): string {
  if (/["\\]/.test(run)) throw new Error(`A script must not have quotes or backslashes: ${run}`);
  return JSON.stringify({ spec: poolId === undefined ? {} : { placement: { poolId } }, run });
}

function key(folder: Folder, id: string): string {
  return `fleet/${folder}/${id}.json`;
}

export interface Scenario extends FleetOptions {
  readonly name: string;
  readonly ignore?: boolean;
  run(fleet: Fleet): Promise<void>;
}

/** One scenario as a test, with a fleet of its own. Logs of the agents are printed when it fails. */
export async function runScenario({ run, ...options }: Scenario): Promise<void> {
  const fleet = new Fleet(await Deno.makeTempDir({ prefix: "cellos-fleet-" }), options);
  try {
    await run(fleet);
  } catch (error) {
    console.error(fleet.logs());
    console.error(fleet.ledger.entries());
    throw error;
  } finally {
    await fleet[Symbol.asyncDispose]();
  }
}

/**
 * Registers scenarios that run side by side, since most of their time is waiting. Leaks are not
 * looked for, which the test runner can do for one thing at a time only.
 */
export function scenarios(title: string, list: readonly Scenario[]): void {
  const unchecked = { sanitizeOps: false, sanitizeResources: false, sanitizeExit: false };
  Deno.test({
    name: title,
    ...unchecked,
    async fn(test) {
      await Promise.all(list.map((scenario) =>
        test.step({
          name: scenario.name,
          ignore: scenario.ignore ?? false,
          ...unchecked,
          fn: () => runScenario(scenario),
        })
      ));
    },
  });
}
