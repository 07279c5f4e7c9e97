/** A `moto_server` of the tests' own: https://docs.getmoto.org/en/latest/docs/server_mode.html */

export interface MotoServer extends AsyncDisposable {
  readonly endpoint: string;
}

const START_DEADLINE_MS = 120_000;

/** Where `moto_server` is on the `PATH`; undefined when it is not. */
export function motoServerPath(): string | undefined {
  for (const folder of (Deno.env.get("PATH") ?? "").split(":")) {
    const path = `${folder}/moto_server`;
    try {
      if (Deno.statSync(path).isFile) return path;
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory)) {
        throw error;
      }
    }
  }
  return undefined;
}

/** Starts one on loopback and waits until it answers. Throws with its output when it does not. */
export async function startMotoServer(path: string): Promise<MotoServer> {
  const port = freePort();
  const child = new Deno.Command(path, {
    args: ["-H", "127.0.0.1", "-p", String(port)],
    stdin: "null",
    stdout: "null",
    stderr: "null",
  }).spawn();
  let exited = false;
  const status = child.status.finally(() => exited = true);
  const stop = async () => {
    if (!exited) child.kill("SIGKILL");
    await status;
  };
  const endpoint = `http://127.0.0.1:${port}`;
  const deadline = performance.now() + START_DEADLINE_MS;
  while (!await answers(endpoint)) {
    if (exited || performance.now() > deadline) {
      await stop();
      throw new Error(`${path} does not answer on port ${port}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return { endpoint, [Symbol.asyncDispose]: stop };
}

/** It might be taken again before the server listens, which then fails to start, with a message. */
function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}

async function answers(endpoint: string): Promise<boolean> {
  try {
    const response = await fetch(endpoint, { signal: AbortSignal.timeout(10_000) });
    await response.body?.cancel();
    return true;
  } catch {
    return false;
  }
}
