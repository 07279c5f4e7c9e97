/** Child processes of the benchmark whose output is read by lines. */

/** Calls `onLine` for each line of the stream until it ends. */
export async function eachLine(
  stream: ReadableStream<Uint8Array>,
  onLine: (line: string) => void,
): Promise<void> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of stream) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = lines.pop()!;
    lines.forEach(onLine);
  }
  if (rest !== "") onLine(rest);
}

/** This process's environment without anything that would set an agent or an S3 client up. */
export function plainEnvironment(): Record<string, string> {
  return Object.fromEntries(
    Object.entries(Deno.env.toObject()).filter(([name]) =>
      !/^(CELLOS_FLEET_|AWS_|RUST_LOG$|NOTIFY_SOCKET$|WATCHDOG_)|_PROXY$/i.test(name)
    ),
  );
}

/** The variables by which an S3 client finds a server that takes any credentials. */
export function s3Environment(endpoint: string): Record<string, string> {
  return {
    AWS_ENDPOINT_URL_S3: endpoint,
    AWS_ENDPOINT_URL: endpoint,
    AWS_REGION: "us-east-1",
    AWS_ACCESS_KEY_ID: "benchmark",
    AWS_SECRET_ACCESS_KEY: "benchmark",
  };
}

/** Waits until `condition` holds, looking every few milliseconds; throws after `deadlineMs`. */
export async function until(
  what: string,
  deadlineMs: number,
  condition: () => Promise<boolean> | boolean,
): Promise<void> {
  const startedMs = performance.now();
  while (!await condition()) {
    if (performance.now() - startedMs > deadlineMs) {
      throw new Error(`Waited ${deadlineMs} ms in vain: ${what}`);
    }
    await pause(20);
  }
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
