/** Whether everything ended where it should, judged by the bucket's objects alone. */
import { claimOfMetadata, decodeResult, type ResultRecord } from "../../lib/core/result.ts";
import type { BucketObject } from "./demo_bucket.ts";
import { type DemoSpec, PREFIX } from "./specs.ts";

/** One thing that has to hold; `failure` says how it does not. */
export interface Check {
  readonly name: string;
  readonly failure?: string;
}

type Objects = ReadonlyMap<string, BucketObject>;

/** Checks the place, the bytes and the result record of each spec, and that nothing else is left. */
export function judgeBucket(
  objects: readonly BucketObject[],
  specs: readonly DemoSpec[],
): Check[] {
  const byKey = new Map(objects.map((object) => [object.key, object]));
  return [
    ...specs.map((spec) => ({ name: nameOf(spec), failure: failureOf(spec, byKey) })),
    bytesCheck(byKey, specs),
    folderCheck("pending", objects, specs),
    folderCheck("claimed", objects, specs),
  ];
}

/** The final state of the bucket as an aligned table, without its last line's end. */
export function bucketTable(objects: readonly BucketObject[]): string {
  const rows = [["KEY", "BYTES", "STATUS", "EXIT CODE", "ATTEMPT", "NODE"]];
  for (const { key, body, metadata } of objects) {
    const fact = (name: string) => metadata[`cellos-${name}`] ?? "";
    const facts = ["status", "exit-code", "attempt", "node"].map(fact);
    rows.push([key, String(body.length), ...facts]);
  }
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  const numeric = [1, 3, 4];
  return rows.map((row) =>
    row.map((cell, column) =>
      numeric.includes(column) ? cell.padStart(widths[column]) : cell.padEnd(widths[column])
    ).join("  ").trimEnd()
  ).join("\n");
}

function keyOf(folder: string, id: string): string {
  return `${PREFIX}/${folder}/${id}.json`;
}

function nameOf({ id, end }: DemoSpec): string {
  if (end.folder === "pending") return `${id} is still pending`;
  const attempts = end.attempt === 1 ? "" : ` at attempt ${end.attempt}`;
  return `${id} is ${end.folder}${attempts} with exit code ${end.exitCode}`;
}

function failureOf({ id, end }: DemoSpec, objects: Objects): string | undefined {
  const folders = ["pending", "claimed", "completed", "failed"];
  const found = folders.filter((folder) => objects.has(keyOf(folder, id)));
  if (found.length !== 1 || found[0] !== end.folder) {
    return `it is in ${found.length === 0 ? "no folder" : found.join(" and ")}`;
  }
  const object = objects.get(keyOf(end.folder, id))!;
  const record = objects.get(keyOf("results", id));
  if (end.folder === "pending") {
    return record === undefined ? undefined : "it has a result record";
  }
  const result = record && decodeResult(record.body);
  if (result === undefined) return "it has no result record";
  if (claimOfMetadata(object.metadata) !== result.claim) return "its result is of another claim";
  return differenceOf(result, end);
}

function differenceOf(
  result: ResultRecord,
  end: Exclude<DemoSpec["end"], { folder: "pending" }>,
): string | undefined {
  const { status, exitCode, attempt } = result;
  if (status === end.folder && exitCode === end.exitCode && attempt === end.attempt) {
    return undefined;
  }
  return `its result record says ${status}, exit code ${exitCode}, attempt ${attempt}`;
}

/** A spec that is not where it belongs is another check's to tell. */
function bytesCheck(objects: Objects, specs: readonly DemoSpec[]): Check {
  const changed = specs.filter(({ id, body, end }) => {
    const object = objects.get(keyOf(end.folder, id));
    return object !== undefined && new TextDecoder().decode(object.body) !== body;
  });
  return {
    name: "every spec has the bytes that were submitted",
    failure: changed.length === 0 ? undefined : `not ${changed.map(({ id }) => id).join(" and ")}`,
  };
}

/** A state folder that holds the specs that are to end in it, and no other object. */
function folderCheck(
  folder: "pending" | "claimed",
  objects: readonly BucketObject[],
  specs: readonly DemoSpec[],
): Check {
  const expected = specs.filter(({ end }) => end.folder === folder).map(({ id }) => id);
  const keys = expected.map((id) => keyOf(folder, id));
  const others = objects.map(({ key }) => key)
    .filter((key) => key.startsWith(`${PREFIX}/${folder}/`) && !keys.includes(key));
  return {
    name: expected.length === 0
      ? `${folder}/ is empty`
      : `${folder}/ holds nothing but ${expected.join(" and ")}`,
    failure: others.length === 0 ? undefined : `it holds ${others.join(" and ")}`,
  };
}
