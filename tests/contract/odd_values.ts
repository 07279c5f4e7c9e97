/** Keys and metadata that tend to go wrong somewhere between here and a store. */

export const ODD_KEYS: readonly string[] = [
  "with space",
  "two  spaces and one at the end ",
  "plus+plus",
  "percent%41%2f%",
  "query?a=b&c=d#fragment",
  "quotes'\"`",
  "brackets()[]{}<>",
  "punctuation!*;:@$,=~|^\\",
  "a//b",
  "/leading",
  "trailing/",
  "a/./b",
  "a/../b",
  "..",
  "...json",
  "%2e%2e/x",
  "umlaut ä ö ü",
  "composed \u00e9 and decomposed e\u0301",
  "emoji \u{1f600} and above \u{10fffd}",
  "right to left \u05d0\u202e",
  "line\nfeed",
  "carriage\rreturn",
  "tab\tstop",
  "control \u0001\u001f\u007f",
  "&amp;&#10;<Key>",
  "x".repeat(1024),
];

/** Everything that is allowed. */
export const ODD_METADATA: Readonly<Record<string, string>> = {
  plain: "value",
  "with-hyphen-and-0": "1",
  punctuation: "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~",
  spaces: "a b  c",
  json: '{"exitCode":0,"reason":"exit"}',
  // Looks like an encoded word of RFC 2047, which some clients decode.
  encoded: "=?utf-8?q?x?=",
  percent: "%41+%0a",
  long: "x".repeat(1000),
};

/** What a header cannot hold unchanged, and what the message must name. */
export const REFUSED_METADATA: readonly [Readonly<Record<string, string>>, RegExp][] = [
  [{ reason: "ü" }, /value of reason/],
  [{ reason: "a\nb" }, /value of reason/],
  [{ reason: "a\r\nx-amz-meta-evil: 1" }, /value of reason/],
  [{ reason: " a" }, /value of reason/],
  [{ reason: "a " }, /value of reason/],
  [{ reason: "\u007f" }, /value of reason/],
  [{ Upper: "a" }, /name "Upper"/],
  [{ "a b": "a" }, /name "a b"/],
  [{ "a_b": "a" }, /name "a_b"/],
  [{ "": "a" }, /name ""/],
  [{ "a:b": "a" }, /name "a:b"/],
  [{ a: "x".repeat(1500), b: "x".repeat(1500) }, /3002 bytes/],
];
