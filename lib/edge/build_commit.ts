/**
 * The short commit that this program was built from: of the checkout that it runs from, with
 * `-dirty` when files differ from it; `unknown` outside a checkout.
 */
export async function buildCommit(checkout: string | undefined): Promise<string> {
  if (checkout === undefined) return "unknown";
  const args = ["-C", checkout, "describe", "--always", "--dirty", "--exclude=*", "--abbrev=7"];
  try {
    const output = await new Deno.Command("git", { args, stdin: "null", stderr: "null" }).output();
    const text = new TextDecoder().decode(output.stdout).trim();
    return output.success && text !== "" ? text : "unknown";
  } catch {
    return "unknown";
  }
}
