import { hasSoundNodeHttp } from "../../lib/edge/s3_transport.ts";
import { ODD_KEYS } from "./odd_values.ts";

/** The odd keys that this runtime's transport cannot send, with the reason: none on newer ones. */
export function unsendableKeys(): ReadonlyMap<string, string> {
  const keys = hasSoundNodeHttp(Deno.version.deno)
    ? []
    : ODD_KEYS.filter((key) => key.split("/").some((part) => part === "." || part === ".."));
  return new Map(keys.map((key) => [key, "this runtime's transport resolves dot segments"]));
}
