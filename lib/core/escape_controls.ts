/** Beside the C0 controls: DEL, C1, line separators, and what turns the direction of text around. */
// deno-lint-ignore no-control-regex
const CONTROLS = /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g;
const SHORT: Readonly<Record<string, string>> = { "\n": "\\n", "\r": "\\r", "\t": "\\t" };

/**
 * The text on one line, with everything made visible that a terminal or a collector of lines would
 * act on: `\n`, `\u001b` and the like, as JSON writes them. Text that is JSON stays the same JSON.
 */
export function escapeControls(text: string): string {
  return text.replace(
    CONTROLS,
    (character) =>
      SHORT[character] ?? `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}
