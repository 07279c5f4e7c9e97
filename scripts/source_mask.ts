/**
 * Sets the code of a TypeScript file apart from its comments, strings and regular expressions, so
 * that it can be searched without taking a word in a comment for a use.
 */

/** A file of which only the code is left. */
export interface MaskedSource {
  /**
   * As long as the file, line for line: comments and the contents of strings and regular
   * expressions are blanks. Quotes stay, and so does the code inside `${…}`.
   */
  readonly code: string;
  /** Contents of each string without substitutions, by the position of its opening quote. */
  readonly strings: ReadonlyMap<number, string>;
  /** The line of a position, from 1. */
  lineAt(position: number): number;
}

/**
 * What a `/` follows where it starts a regular expression rather than divides. The closing
 * parenthesis of an `if (…)` is taken for the end of an expression; nobody writes `if (a) /b/.test`.
 */
const BEFORE_REGEXP =
  /(?:^|[(,=:[!&|?{};+\-*%~^<>]|\b(?:return|typeof|case|in|of|throw|void|do|else|yield|await))\s*$/;

export function maskSource(text: string): MaskedSource {
  const scanner = new Scanner(text);
  scanner.code(false);
  return {
    code: scanner.masked,
    strings: scanner.strings,
    lineAt: (position) => text.slice(0, position).split("\n").length,
  };
}

class Scanner {
  masked = "";
  readonly strings = new Map<number, string>();
  readonly #text: string;
  #position = 0;

  constructor(text: string) {
    this.#text = text;
  }

  /** Code up to the end of the file, or of the substitution that it stands in. */
  code(substitution: boolean): void {
    let depth = 0;
    while (this.#position < this.#text.length) {
      const character = this.#text[this.#position];
      const two = this.#text.slice(this.#position, this.#position + 2);
      if (two === "//") this.#blankTo(this.#find("\n", 0));
      else if (two === "/*") this.#blankTo(this.#find("*/", 2));
      else if (character === '"' || character === "'") this.#string(character);
      else if (character === "`") this.#template();
      else if (character === "/" && this.#startsRegExp()) this.#regExp();
      else {
        if (character === "{") depth++;
        if (character === "}" && depth-- === 0 && substitution) return;
        this.#keep(1);
      }
    }
  }

  #keep(count: number): void {
    this.masked += this.#text.slice(this.#position, this.#position + count);
    this.#position += count;
  }

  #blankTo(end: number): void {
    this.masked += this.#text.slice(this.#position, end).replace(/[^\n]/g, " ");
    this.#position = end;
  }

  /** The position after the next occurrence, or the end of the file. */
  #find(text: string, length: number): number {
    const found = this.#text.indexOf(text, this.#position + length);
    return found === -1 ? this.#text.length : found + length;
  }

  #string(quote: string): void {
    const start = this.#position;
    this.#keep(1);
    this.#blankTo(this.#endOf((character) => character === quote || character === "\n"));
    this.strings.set(start, this.#text.slice(start + 1, this.#position));
    this.#keep(1);
  }

  #template(): void {
    const start = this.#position;
    let plain = true;
    this.#keep(1);
    while (this.#position < this.#text.length) {
      this.#blankTo(
        this.#endOf((character, next) => character === "`" || (character === "$" && next === "{")),
      );
      if (this.#text[this.#position] !== "$") break;
      plain = false;
      this.#keep(2);
      this.code(true);
      this.#keep(1);
    }
    if (plain) this.strings.set(start, this.#text.slice(start + 1, this.#position));
    this.#keep(1);
  }

  #startsRegExp(): boolean {
    return BEFORE_REGEXP.test(this.masked.slice(-200));
  }

  #regExp(): void {
    this.#keep(1);
    let insideClass = false;
    this.#blankTo(this.#endOf((character) => {
      if (character === "[") insideClass = true;
      if (character === "]") insideClass = false;
      return character === "\n" || (character === "/" && !insideClass);
    }));
    this.#keep(1);
  }

  /** Where the first character stands that `ends` accepts, with escaped ones passed over. */
  #endOf(ends: (character: string, next: string | undefined) => boolean): number {
    let position = this.#position;
    while (position < this.#text.length && !ends(this.#text[position], this.#text[position + 1])) {
      position += this.#text[position] === "\\" ? 2 : 1;
    }
    return Math.min(position, this.#text.length);
  }
}
