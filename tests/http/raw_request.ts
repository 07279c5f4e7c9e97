/** HTTP as bytes, to send what no client library would. */

/** Sends the text and reads until the server closes; the answer, or what there was of it. */
export async function rawRequest(address: string, text: string): Promise<string> {
  await using connection = await connect(address);
  await connection.send(text);
  return await connection.readAll();
}

export interface RawConnection extends AsyncDisposable {
  send(text: string): Promise<void>;
  /** Resolves when the server has closed the connection. */
  readAll(): Promise<string>;
}

// deno-lint-ignore require-await -- the disposal alone is asynchronous
async function disposeOf(connection: Deno.Conn): Promise<void> {
  try {
    connection.close();
  } catch {
    // Closed before.
  }
}

export async function connect(address: string): Promise<RawConnection> {
  const [hostname, port] = address.split(":");
  const connection = await Deno.connect({ hostname, port: Number(port) });
  return {
    async send(text) {
      let rest = new TextEncoder().encode(text);
      while (rest.length > 0) rest = rest.subarray(await connection.write(rest));
    },
    async readAll() {
      const decoder = new TextDecoder();
      const buffer = new Uint8Array(4_096);
      let answer = "";
      try {
        for (let read = await connection.read(buffer); read !== null;) {
          answer += decoder.decode(buffer.subarray(0, read), { stream: true });
          read = await connection.read(buffer);
        }
      } catch (error) {
        if (!(error instanceof Deno.errors.ConnectionReset)) throw error;
      }
      return answer;
    },
    [Symbol.asyncDispose]: () => disposeOf(connection),
  };
}
