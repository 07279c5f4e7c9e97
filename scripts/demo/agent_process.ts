/** An agent as a process of its own, with exactly the permissions that the program has. */
import { fileURLToPath } from "node:url";
import { BUCKET } from "./demo_bucket.ts";
import { POOL, PREFIX } from "./specs.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const PERMISSIONS = ["--no-prompt", "--allow-net", "--allow-env", "--allow-run"];

/** Short, so that a takeover can be watched. */
export const LEASE_TTL_MS = 3_000;
const KILL_GRACE_MS = 500;

/** The part of a log line that the demo reads. */
export interface AgentLine {
  readonly level: string;
  readonly fields: { readonly message: string } & Readonly<Record<string, unknown>>;
}

export interface AgentOptions {
  readonly node: string;
  readonly endpoint: string;
  /** Takes each line of the agent's log. */
  onLine(line: AgentLine): void;
  /** Takes whatever else the agent writes. */
  onText(text: string): void;
  /** Called when the agent ends although nobody told it to. */
  onUnexpectedEnd(code: number): void;
}

/** Fetches what the agent imports, so that its first start takes no longer than later ones. */
export async function fetchDependencies(): Promise<void> {
  const { success } = await new Deno.Command(Deno.execPath(), {
    args: ["cache", "--frozen", "main.ts"],
    cwd: ROOT,
    stdin: "null",
    stdout: "inherit",
    stderr: "inherit",
  }).output();
  if (!success) throw new Error("Could not fetch the packages that the agent needs");
}

export class AgentProcess implements AsyncDisposable {
  readonly node: string;
  /** Resolves when the process has ended and everything that it wrote has been handed on. */
  readonly ended: Promise<Deno.CommandStatus>;
  readonly #child: Deno.ChildProcess;
  #hasEnded = false;
  #told = false;

  constructor(options: AgentOptions) {
    this.node = options.node;
    this.#child = new Deno.Command(Deno.execPath(), {
      args: ["run", "--frozen", ...PERMISSIONS, "main.ts"],
      cwd: ROOT,
      clearEnv: true,
      env: agentEnvironment(options),
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const { status, stdout, stderr } = this.#child;
    const outputs = [
      eachLine(stdout, (text) => {
        const line = parseLine(text);
        if (line === undefined) options.onText(text);
        else options.onLine(line);
      }),
      eachLine(stderr, options.onText),
    ];
    void status.then(({ code }) => {
      this.#hasEnded = true;
      if (!this.#told) options.onUnexpectedEnd(code);
    });
    this.ended = Promise.all(outputs).then(() => status);
  }

  /** Does nothing once the process has ended. */
  signal(name: "SIGTERM" | "SIGKILL"): void {
    this.#told = true;
    if (!this.#hasEnded) this.#child.kill(name);
  }

  /** Kills the agent; its guard ends its cells. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.signal("SIGKILL");
    await this.ended;
  }
}

/** The demo's own environment, without anything that would set the agent up otherwise. */
function agentEnvironment({ node, endpoint }: AgentOptions): Record<string, string> {
  const inherited = Object.entries(Deno.env.toObject()).filter(([name]) =>
    !/^(CELLOS_FLEET_|AWS_|RUST_LOG$|NOTIFY_SOCKET$|WATCHDOG_)|_PROXY$/i.test(name)
  );
  return {
    ...Object.fromEntries(inherited),
    AWS_ENDPOINT_URL_S3: endpoint,
    AWS_REGION: "us-east-1",
    AWS_ACCESS_KEY_ID: "demo",
    AWS_SECRET_ACCESS_KEY: "demo",
    CELLOS_FLEET_BUCKET: BUCKET,
    CELLOS_FLEET_PREFIX: PREFIX,
    CELLOS_FLEET_POOL_ID: POOL,
    CELLOS_FLEET_NODE_ID: node,
    CELLOS_FLEET_SUPERVISOR: fileURLToPath(new URL("../sample_supervisor.sh", import.meta.url)),
    CELLOS_FLEET_LEASE_TTL_MS: String(LEASE_TTL_MS),
    CELLOS_FLEET_KILL_GRACE_MS: String(KILL_GRACE_MS),
    CELLOS_FLEET_POLL_INTERVAL_MS: "500",
    CELLOS_FLEET_HEARTBEAT_INTERVAL_MS: "3000",
    CELLOS_FLEET_LOG_FORMAT: "json",
  };
}

async function eachLine(
  stream: ReadableStream<Uint8Array>,
  onLine: (line: string) => void,
): Promise<void> {
  let rest = "";
  for await (const chunk of stream.pipeThrough(new TextDecoderStream() as TransformStream)) {
    const lines = (rest + chunk).split("\n");
    rest = lines.pop()!;
    lines.forEach(onLine);
  }
  if (rest !== "") onLine(rest);
}

function parseLine(text: string): AgentLine | undefined {
  try {
    const line = JSON.parse(text);
    return typeof line?.fields?.message === "string" ? line : undefined;
  } catch {
    return undefined;
  }
}
