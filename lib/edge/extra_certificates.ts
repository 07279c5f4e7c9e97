/**
 * `NODE_EXTRA_CA_CERTS` names a file, which the agent cannot read. Where it is set, the runtime tries all
 * the same, and every TLS connection fails for want of a permission. So it is taken out of the agent's
 * environment before the first connection, and handed back to the cells.
 */

const VARIABLE = "NODE_EXTRA_CA_CERTS";

/** What to say where it was set. */
export const EXTRA_CERTIFICATES_ADVICE =
  `${VARIABLE} is passed on to the cells only, as the agent cannot read files; to have the agent trust ` +
  "a certificate authority, set DENO_CERT, or DENO_TLS_CA_STORE=system";

/** Takes the variable out of an environment; what comes back is for the cells'. */
export function takeExtraCertificates(
  environment: Pick<typeof Deno.env, "get" | "delete">,
): Record<string, string> {
  const value = environment.get(VARIABLE);
  if (value === undefined) return {};
  environment.delete(VARIABLE);
  return { [VARIABLE]: value };
}
