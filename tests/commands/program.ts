/** The program as an operator starts it, with exactly its permissions, beside an S3 server of the test's own. */
import { fileURLToPath } from "node:url";
import { type S3Server, type S3ServerOptions, startS3Server } from "../../scripts/s3_server.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const PERMISSIONS = ["--no-prompt", "--allow-net", "--allow-env", "--allow-run"];
export const SAMPLE_SUPERVISOR = `${ROOT}/scripts/sample_supervisor.sh`;
/** Far more than anything here takes. */
const DEADLINE_MS = 60_000;

export interface Ended {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

export class Bench implements AsyncDisposable {
  readonly server: S3Server;
  readonly #children: Deno.ChildProcess[] = [];
  readonly #settings: Readonly<Record<string, string>>;

  constructor(settings: Record<string, string> = {}, server: S3ServerOptions = {}) {
    this.server = startS3Server(server);
    this.#settings = {
      CELLOS_FLEET_BUCKET: "fleet",
      CELLOS_FLEET_NODE_ID: "node-a",
      CELLOS_FLEET_SUPERVISOR: SAMPLE_SUPERVISOR,
      CELLOS_FLEET_LEASE_TTL_MS: "6000",
      CELLOS_FLEET_POLL_INTERVAL_MS: "100",
      CELLOS_FLEET_HEARTBEAT_INTERVAL_MS: "200",
      CELLOS_FLEET_KILL_GRACE_MS: "500",
      AWS_ACCESS_KEY_ID: "test",
      AWS_SECRET_ACCESS_KEY: "test",
      AWS_REGION: "us-east-1",
      AWS_ENDPOINT_URL: this.server.endpoint,
      USER: "mo",
      ...settings,
    };
  }

  /** Starts the program; its input and output are left to the caller, or there are none. */
  start(args: string[], streams: "piped" | "null" = "piped"): Deno.ChildProcess {
    const child = this.#spawn(Deno.execPath(), this.commandLine(args), streams);
    this.#children.push(child);
    return child;
  }

  /** The arguments for the runtime that start the program. */
  commandLine(args: string[]): string[] {
    return ["run", "--frozen", ...PERMISSIONS, `${ROOT}/main.ts`, ...args];
  }

  /** Runs the program to its end, with `input` on its standard input. */
  async run(args: string[], input = ""): Promise<Ended> {
    return await endOf(this.start(args), input);
  }

  /** Runs a line of bash, in which `$PROGRAM` starts the program. */
  async bash(line: string): Promise<Ended> {
    const program = [Deno.execPath(), ...this.commandLine([])].join(" ");
    return await endOf(this.#spawn("bash", ["-c", line], "piped", { PROGRAM: program }), "");
  }

  #spawn(
    program: string,
    args: string[],
    streams: "piped" | "null",
    more: Record<string, string> = {},
  ): Deno.ChildProcess {
    const inherited = Object.entries(Deno.env.toObject())
      .filter(([name]) => !/^(CELLOS_FLEET_|AWS_|RUST_LOG$|NO_COLOR$)/.test(name));
    return new Deno.Command(program, {
      args,
      clearEnv: true,
      env: { ...Object.fromEntries(inherited), ...this.#settings, ...more },
      stdin: streams,
      stdout: streams,
      stderr: streams,
    }).spawn();
  }

  /** All keys of the bucket below the queue's prefix. */
  keys(): string[] {
    const { objects } = this.server.bucket("fleet").list({ prefix: "fleet/" });
    return objects.map(({ key }) => key.slice("fleet/".length));
  }

  body(key: string): string | undefined {
    const object = this.server.bucket("fleet").get(`fleet/${key}`);
    return object === undefined ? undefined : new TextDecoder().decode(object.body);
  }

  put(key: string, body: string): void {
    this.server.bucket("fleet").put(`fleet/${key}`, new TextEncoder().encode(body));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of this.#children) {
      try {
        child.kill("SIGKILL");
      } catch {
        // It has ended already.
      }
      await child.status;
    }
    await this.server.close();
  }
}

async function endOf(child: Deno.ChildProcess, input: string): Promise<Ended> {
  const writer = child.stdin.getWriter();
  // A program that needs no input may have ended before.
  await writer.write(new TextEncoder().encode(input)).then(() => writer.close(), () => {});
  const { code, stdout, stderr } = await child.output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, out: text(stdout), err: text(stderr) };
}

/** Waits until the condition holds; rejects with `what` when it never does. */
export async function until(what: string, condition: () => boolean): Promise<void> {
  const deadlineMs = performance.now() + DEADLINE_MS;
  while (!condition()) {
    if (performance.now() > deadlineMs) throw new Error(`Waited in vain until ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
