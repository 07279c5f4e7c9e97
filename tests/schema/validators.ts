/** The JSON Schemas of the records in the bucket, as validators. */
import Ajv2020, { type ValidateFunction } from "ajv/dist/2020.js";

const FOLDER = new URL("../../schemas/", import.meta.url);

export interface Validators {
  readonly result: ValidateFunction;
  readonly lease: ValidateFunction;
  readonly node: ValidateFunction;
  readonly cancel: ValidateFunction;
}

/** ISO 8601 as `Date.prototype.toISOString` writes it. */
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;

/**
 * Compiles the schemas; throws where one is not a valid schema or has a keyword that does not exist.
 * `formats`: whether `format` is checked, which JSON Schema leaves open.
 */
export async function compileSchemas({ formats }: { formats: boolean }): Promise<Validators> {
  // Of CommonJS, whose default export is the class itself or a module around it.
  const Ajv = Ajv2020 as unknown as typeof Ajv2020.default;
  const ajv = new Ajv({ strict: true, allErrors: true, validateFormats: formats });
  ajv.addFormat("date-time", TIME);
  const schema = async (name: string) =>
    JSON.parse(await Deno.readTextFile(new URL(`${name}.v1.schema.json`, FOLDER)));
  const result = ajv.compile(await schema("result"));
  return {
    result,
    lease: ajv.compile(await schema("lease")),
    node: ajv.compile(await schema("node")),
    cancel: ajv.compile(await schema("cancel")),
  };
}
