import assert from "node:assert/strict";
import { type OutputLine, OutputLines, OutputTail } from "../../lib/core/output_lines.ts";

const bytes = (text: string) => new TextEncoder().encode(text);

function split(chunks: Uint8Array[], maxBytes?: number): OutputLine[] {
  const lines = new OutputLines(maxBytes);
  return [...chunks.flatMap((chunk) => lines.push(chunk)), ...lines.end()];
}

const whole = (text: string): OutputLine => ({ text, truncated: false });
const piece = (text: string): OutputLine => ({ text, truncated: true });

Deno.test("output is split at LF and CR LF, and a last line needs no line end", () => {
  const table: [string, OutputLine[]][] = [
    ["", []],
    ["a\nb\n", [whole("a"), whole("b")]],
    ["a\r\nb", [whole("a"), whole("b")]],
    ["\n\n", [whole(""), whole("")]],
    ["\r\n", [whole("")]],
    ["10%\r20%\r\n", [whole("10%\r20%")]],
    ["\ufeffa\n", [whole("\ufeffa")]],
  ];
  for (const [text, expected] of table) assert.deepEqual(split([bytes(text)]), expected, text);
});

Deno.test("lines are the same wherever the stream is cut into chunks", () => {
  const text = "grüße\r\n€ 10 🚀🚀🚀🚀\n\nlong long line without end\r\nend \u0000";
  const input = bytes(text);
  const expected = split([input], 7);
  assert.ok(expected.some((line) => line.truncated));
  for (let first = 0; first <= input.length; first++) {
    for (let second = first; second <= input.length; second++) {
      const chunks = [input.slice(0, first), input.slice(first, second), input.slice(second)];
      assert.deepEqual(split(chunks, 7), expected, `cut at ${first} and ${second}`);
    }
  }
});

Deno.test("a line over the limit comes in pieces marked truncated, none of them lost", () => {
  assert.deepEqual(split([bytes("12345678\n")], 8), [whole("12345678")]);
  assert.deepEqual(split([bytes("12345678"), bytes("\r"), bytes("\n")], 8), [whole("12345678")]);
  assert.deepEqual(split([bytes("123456789\n")], 8), [piece("12345678"), whole("9")]);
  assert.deepEqual(split([bytes("12345678abcdefgh!")], 8), [
    piece("12345678"),
    piece("abcdefgh"),
    whole("!"),
  ]);
});

Deno.test("a long line is not cut inside a character", () => {
  assert.deepEqual(split([bytes("1234567€x\n")], 8), [piece("1234567"), whole("€x")]);
  assert.deepEqual(split([bytes("12345🚀x\n")], 8), [piece("12345"), whole("🚀x")]);
  assert.deepEqual(split([bytes("1234🚀x\n")], 8), [piece("1234🚀"), whole("x")]);
});

Deno.test("bytes that are not UTF-8 become the replacement character", () => {
  assert.deepEqual(split([Uint8Array.of(0x61, 0xff, 0x62, 0x0a)]), [whole("a\ufffdb")]);
  assert.deepEqual(split([Uint8Array.of(0x61, 0xe2, 0x82)]), [whole("a\ufffd")]);
  const continuation = split([new Uint8Array(9).fill(0x80)], 8);
  assert.deepEqual(continuation, [piece("\ufffd".repeat(8)), whole("\ufffd")]);
});

Deno.test("a stream without any line end is handed on in pieces and never held back", () => {
  const lines = new OutputLines();
  let shown = 0;
  for (let pushed = 65_536; pushed <= 65_536 * 64; pushed += 65_536) {
    for (const line of lines.push(new Uint8Array(65_536).fill(0x61))) {
      assert.equal(line.truncated, true);
      assert.ok(line.text.length <= 8192);
      shown += line.text.length;
    }
    assert.ok(pushed - shown <= 8193, `${pushed - shown} bytes are held back`);
  }
});

Deno.test("the tail holds the last bytes of all that was written, and counts all", () => {
  const tail = new OutputTail(5);
  assert.deepEqual([tail.totalBytes, tail.bytes], [0, new Uint8Array(0)]);
  const seen: number[] = [];
  for (const length of [1, 3, 0, 4, 5, 12, 2, 1, 1]) {
    const chunk = Uint8Array.from({ length }, (_, index) => seen.length + index);
    seen.push(...chunk);
    tail.push(chunk);
    assert.equal(tail.totalBytes, seen.length);
    assert.deepEqual([...tail.bytes], seen.slice(-5));
  }
});

Deno.test("a tail of no bytes only counts", () => {
  const tail = new OutputTail(0);
  tail.push(bytes("abc"));
  tail.push(bytes("d"));
  assert.deepEqual([tail.totalBytes, tail.bytes.length], [4, 0]);
});

Deno.test("the tail does not change when the chunk it came from is overwritten", () => {
  const tail = new OutputTail(5);
  const chunk = bytes("abcdefg");
  tail.push(chunk);
  chunk.fill(0);
  assert.deepEqual(tail.bytes, bytes("cdefg"));
});
