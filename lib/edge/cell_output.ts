/** Reads one output stream of a supervisor, as fast as it comes and without keeping it. */
import { type OutputLine, OutputLines, OutputTail } from "../core/output_lines.ts";

/**
 * Bytes read at once, into one buffer for the whole stream. Without it the runtime makes one of 64 KiB
 * for each read, and cells that say nothing leave tens of megabytes of them for the collector.
 */
const BUFFER_BYTES = 16_384;
/** How long lines may be handed on before timers and sockets get their turn. */
const TURN_MS = 10;

/** A stream that is being read. */
export interface CellOutput {
  readonly tail: OutputTail;
  /** Resolves once the last line was handed on: at the end of the stream, or soon after `stop`. */
  readonly done: Promise<void>;
  /** Stops reading and closes the pipe; a line begun is handed on as it is. */
  stop(): void;
}

/**
 * Reads the stream, one of bytes, to its end, hands on each line, and keeps the last `tailBytes`.
 *
 * A flood of output does not hold up the rest of the agent: reading pauses for a turn of the event
 * loop every 10 ms. Meanwhile the pipe fills and the supervisor waits.
 */
export function readOutput(
  stream: ReadableStream<Uint8Array>,
  tailBytes: number,
  onLine: (line: OutputLine) => void,
): CellOutput {
  const reader = stream.getReader({ mode: "byob" });
  const tail = new OutputTail(tailBytes);
  const lines = new OutputLines();
  let stopped = false;
  let turnStartMs = performance.now();

  async function handOn(these: readonly OutputLine[]): Promise<void> {
    for (const line of these) {
      onLine(line);
      if (performance.now() - turnStartMs < TURN_MS) continue;
      await new Promise((resolve) => setTimeout(resolve, 0));
      turnStartMs = performance.now();
    }
  }

  async function readAll(): Promise<void> {
    let buffer = new ArrayBuffer(BUFFER_BYTES);
    while (!stopped) {
      const chunk = await nextChunk(reader, buffer);
      if (chunk === undefined) break;
      tail.push(chunk);
      await handOn(lines.push(chunk));
      buffer = chunk.buffer;
    }
    await handOn(lines.end());
  }

  return {
    tail,
    done: readAll(),
    stop() {
      stopped = true;
      reader.cancel().catch(() => {});
    },
  };
}

/**
 * Undefined at the end of the stream. A pipe that cannot be read any more has ended too. The buffer
 * goes to the stream, and comes back as the chunk's.
 */
async function nextChunk(
  reader: ReadableStreamBYOBReader,
  buffer: ArrayBuffer,
): Promise<Uint8Array<ArrayBuffer> | undefined> {
  try {
    const { done, value } = await reader.read(new Uint8Array(buffer));
    return done ? undefined : value;
  } catch {
    return undefined;
  }
}
