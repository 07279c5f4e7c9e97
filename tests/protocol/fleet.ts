/**
 * A few agents on one bucket in virtual time, for tests that tell a story: what is stored when, which
 * request fails how, what the supervisor does. Clock, process and network are the simulator's.
 */
import { type AgentEnd, type AgentSettings, runAgent } from "../../lib/agent.ts";
import type { AgentContext } from "../../lib/claim_context.ts";
import { QueueKeys } from "../../lib/core/keys.ts";
import { leaseTiming } from "../../lib/core/lease_timing.ts";
import { decodeResult, type ResultRecord } from "../../lib/core/result.ts";
import type { FleetEvent } from "../../lib/events.ts";
import { Vitals } from "../../lib/vitals.ts";
import type { BucketObject } from "../../scripts/s3/bucket.ts";
import { History } from "../sim/history.ts";
import { NetworkStore, type RequestFacts } from "../sim/network_store.ts";
import type { Passage, PassageBounds } from "../sim/passage.ts";
import { SimulatedClock, simulatedEntropy, SimulatedProcess } from "../sim/process.ts";
import { PLAIN_NODE, PLAIN_STORE } from "../sim/scenario.ts";
import { Trace } from "../sim/trace.ts";
import { VirtualTime } from "../sim/virtual_time.ts";
import { type CellScript, type CellStart, ScriptedCells } from "./scripted_cells.ts";

export const TTL_MS = 60_000;
export const KILL_GRACE_MS = 5_000;
/** One way of a request. */
const LATENCY_MS = 5;
/** No story takes longer. */
const END_MS = 24 * 3_600_000;

export interface Request extends RequestFacts {
  readonly node: string;
  readonly atMs: number;
}

/** What happens to a request instead of a plain answer. */
export type Fault =
  /** Never arrives; nothing is heard. */
  | "lost"
  /** Takes effect; the connection breaks. */
  | "reply-lost"
  /** Nothing is heard, and it takes effect after the client has given up. */
  | "late"
  /** Nothing is heard, and it takes effect between the client's look at the object and its next try. */
  | "late-by-a-moment"
  /** Access denied. */
  | "denied"
  | { readonly status: 409 | 429 | 500 | 503; readonly effect: boolean };

/** `context` fields and settings that a story may set; all have plain values otherwise. */
export interface NodeOptions extends Partial<AgentSettings> {
  readonly poolId?: string;
  readonly maxAttempts?: number;
  readonly maxSpecBytes?: number;
}

export interface Logged {
  readonly atMs: number;
  readonly node: string;
  readonly event: FleetEvent;
}

export class Fleet {
  readonly time = new VirtualTime();
  readonly keys = new QueueKeys("fleet", "");
  readonly timing = leaseTiming(TTL_MS, KILL_GRACE_MS);
  readonly requests: Request[] = [];
  readonly logged: Logged[] = [];
  /** Every start of a supervisor, in order. */
  readonly starts: CellStart[] = [];
  readonly history: History;
  /** Decides over each request as it is sent. */
  fault: (request: Request) => Fault | undefined = () => undefined;
  /** What the supervisor does with a spec. */
  cell: (start: CellStart) => CellScript = () => ({});
  /** All agents, ended ones too. */
  readonly nodes: Node[] = [];
  readonly #conditionalDelete: boolean;

  constructor({ conditionalDelete = true } = {}) {
    this.#conditionalDelete = conditionalDelete;
    this.history = new History(this.time, this.#storePlan);
  }

  get #storePlan() {
    return {
      ...PLAIN_STORE,
      conditionalDelete: this.#conditionalDelete,
      latencyMs: 2 * LATENCY_MS,
    };
  }

  /** Does something at a time, as a person would: between any two requests. */
  at(ms: number, action: () => void): void {
    this.time.at(ms, action);
  }

  put(key: string, body: string | Uint8Array, metadata: Record<string, string> = {}): void {
    const bytes = typeof body === "string" ? new TextEncoder().encode(body) : body;
    this.history.as({ kind: "person" }, (bucket) => bucket.put(key, bytes, metadata));
  }

  submit(id: string, body: string | Uint8Array = `{"id":${JSON.stringify(id)}}`): void {
    this.put(this.keys.pending(id), body);
  }

  remove(key: string): void {
    this.history.as({ kind: "person" }, (bucket) => bucket.delete(key));
  }

  object(key: string): BucketObject | undefined {
    return this.history.get(key);
  }

  text(key: string): string | undefined {
    const object = this.object(key);
    return object && new TextDecoder().decode(object.body);
  }

  result(id: string): ResultRecord | undefined {
    const object = this.object(this.keys.result(id));
    return object && decodeResult(object.body);
  }

  /** All keys there are, in order, without the probe's and the nodes' own. */
  get bucketKeys(): string[] {
    const keys: string[] = [];
    let more = true;
    while (more) {
      const page = this.history.bucket.list({ prefix: "", startAfter: keys.at(-1) });
      keys.push(...page.objects.map(({ key }) => key));
      more = page.truncated;
    }
    return keys.filter((key) => !/^fleet\/(nodes|probe)\//.test(key));
  }

  /** Starts an agent. */
  node(name = "node-1", options: NodeOptions = {}): Node {
    const node = new Node(this, name, options);
    this.nodes.push(node);
    return node;
  }

  named(name: string): Node {
    return this.nodes.find((node) => node.name === name)!;
  }

  /**
   * Runs until nothing is left to happen: every agent has ended or was killed. Rejects with the error
   * of an agent that failed.
   */
  async run(): Promise<void> {
    const end = this.time.at(END_MS, () => {
      throw new Error(`The story does not end; last: ${JSON.stringify(this.requests.at(-1))}`);
    });
    const all = this.time.run();
    const ended = Promise.all(this.nodes.map(({ gone }) => gone));
    await Promise.all([all, ended.then(() => this.time.cancel(end))]);
    for (const { end } of this.nodes) if (end instanceof Error) throw end;
  }

  /** For `Node`. */
  store(process: SimulatedProcess, node: string): NetworkStore {
    return new NetworkStore({
      process,
      author: { kind: "agent", node, process: process.name },
      clockRate: 1,
      landingMs: this.timing.landingMs,
      plan: this.#storePlan,
      history: this.history,
      trace: new Trace(this.time, false),
      passage: (facts, bounds) => {
        const request = { ...facts, node, atMs: this.time.nowMs };
        this.requests.push(request);
        return passageOf(this.fault(request), bounds);
      },
      onEffect: () => {},
      hostIsUp: () => true,
    });
  }

  /** Events of one kind, of all nodes. */
  events<Name extends FleetEvent["name"]>(
    name: Name,
  ): (Extract<FleetEvent, { name: Name }> & { atMs: number; node: string })[] {
    return this.logged.filter(({ event }) => event.name === name).map(({ event, atMs, node }) => ({
      ...(event as Extract<FleetEvent, { name: Name }>),
      atMs,
      node,
    }));
  }
}

/** One agent process. */
export class Node {
  readonly name: string;
  readonly process: SimulatedProcess;
  /** How it ended, once it has; undefined for one that was killed. */
  end: AgentEnd | Error | undefined;
  endedMs: number | undefined;
  readonly #drain = new AbortController();
  readonly #interrupt = new AbortController();
  readonly #cells: ScriptedCells;
  readonly #killed = Promise.withResolvers<void>();
  readonly gone: Promise<void>;

  constructor(fleet: Fleet, name: string, options: NodeOptions) {
    const number = fleet.nodes.length;
    this.name = name;
    this.process = new SimulatedProcess(fleet.time, name, 0, () => {
      throw new Error(`${name} is in an endless loop`);
    });
    this.#cells = new ScriptedCells(this.process, name, fleet);
    const context = contextOf(fleet, this.process, number, name, options);
    const control = { drain: this.#drain.signal, interrupt: this.#interrupt.signal };
    const ended = runAgent(context, this.#cells, settingsOf(options), control)
      .then((end) => this.end = end, (error) => this.end = error)
      .then(() => {
        this.endedMs = fleet.time.nowMs;
      });
    this.gone = Promise.race([this.#killed.promise, ended]);
  }

  /** The first SIGTERM. */
  drain(): void {
    this.process.deliver(() => this.#drain.abort("SIGTERM received"));
  }

  /** The second SIGTERM. */
  interrupt(): void {
    this.process.deliver(() => this.#interrupt.abort("second signal, SIGTERM, received"));
  }

  /** SIGKILL to the agent; its guard ends the cells at once. */
  kill(): void {
    this.process.kill();
    this.#cells.killAll();
    this.#killed.resolve();
  }
}

function contextOf(
  fleet: Fleet,
  process: SimulatedProcess,
  number: number,
  node: string,
  options: NodeOptions,
): AgentContext {
  const { keys, timing, time, logged } = fleet;
  const { poolId = "", maxAttempts = 3, maxSpecBytes = 1024, concurrency = 1 } = options;
  const clock = new SimulatedClock(process, PLAIN_NODE, number);
  return {
    store: fleet.store(process, node),
    clock,
    entropy: simulatedEntropy(process, number),
    log: { emit: (event) => void logged.push({ atMs: time.nowMs, node, event }) },
    keys,
    timing,
    node,
    poolId,
    maxAttempts,
    maxSpecBytes,
    vitals: new Vitals(clock, concurrency),
  };
}

function settingsOf(options: NodeOptions): AgentSettings {
  return {
    concurrency: 1,
    drainTimeoutMs: 0,
    fence: "strict",
    cellTimeoutMs: 0,
    pollIntervalMs: 5_000,
    exitWhenIdleMs: 0,
    once: false,
    version: "0.0.0",
    bucket: "bucket",
    prefix: "fleet",
    queueName: "",
    heartbeatIntervalMs: 30_000,
    ...options,
  };
}

function passageOf(fault: Fault | undefined, { timeoutMs, landingMs }: PassageBounds): Passage {
  const effectsAtMs = [LATENCY_MS];
  const atMs = 2 * LATENCY_MS;
  const way = { fault: undefined, effectsAtMs, outlivesHost: true };
  if (fault === undefined) return { ...way, reply: { kind: "answer", atMs } };
  switch (fault) {
    case "lost":
      return { ...way, effectsAtMs: [], reply: { kind: "silence" } };
    case "reply-lost":
      return { ...way, reply: { kind: "broken", atMs } };
    case "late":
      return { ...way, effectsAtMs: [timeoutMs + landingMs * 0.9], reply: { kind: "silence" } };
    case "late-by-a-moment":
      return { ...way, effectsAtMs: [timeoutMs + LATENCY_MS + 1], reply: { kind: "silence" } };
    case "denied":
      return { ...way, effectsAtMs: [], reply: { kind: "denied", atMs } };
    default: {
      const { status, effect } = fault;
      const reply = { kind: "error", atMs, status } as const;
      return { ...way, effectsAtMs: effect ? effectsAtMs : [], reply };
    }
  }
}
