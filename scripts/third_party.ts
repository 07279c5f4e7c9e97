/**
 * The licences of the packages that are bundled into the executable, as their authors ship them: most
 * of them ask that their text goes along with every copy.
 */
import { join } from "node:path";
import { ROOT, run } from "./compile.ts";

export interface ThirdParty {
  /** Name and version, such as `tslib@2.9.1`. */
  readonly name: string;
  /** SPDX, as the package states it. */
  readonly license: string;
  /** The package's own licence file; undefined when it has none. */
  readonly text: string | undefined;
}

/** What of `deno info --json main.ts` is used here. */
interface ModuleInfo {
  readonly modules: readonly { readonly npmPackage?: string }[];
  readonly npmPackages: Readonly<Record<string, PackageInfo>>;
}

interface PackageInfo {
  readonly name: string;
  readonly version: string;
  readonly dependencies: readonly string[];
  readonly registryUrl: string;
}

const LICENSE_FILE = /^(licen[cs]e|copying)(\.(txt|md))?$/i;

/** The packages that main.ts needs, and all that those need, by name. */
export async function thirdParties(): Promise<ThirdParty[]> {
  const { npmCache } = await denoInfo<{ readonly npmCache: string }>();
  const info = await denoInfo<ModuleInfo>("--frozen", "main.ts");
  const needed = new Set<string>();
  const add = (id: string) => {
    if (needed.has(id)) return;
    needed.add(id);
    info.npmPackages[id].dependencies.forEach(add);
  };
  for (const { npmPackage } of info.modules) if (npmPackage !== undefined) add(npmPackage);
  return await Promise.all(
    [...needed].sort().map((id) => {
      const { name, version, registryUrl } = info.npmPackages[id];
      return thirdParty(id, join(npmCache, new URL(registryUrl).host, name, version));
    }),
  );
}

async function denoInfo<Info>(...args: string[]): Promise<Info> {
  return JSON.parse(await run(Deno.execPath(), ["info", "--json", ...args], ROOT));
}

async function thirdParty(id: string, folder: string): Promise<ThirdParty> {
  const { name, version, license } = JSON.parse(
    await Deno.readTextFile(join(folder, "package.json")),
  );
  if (typeof license !== "string") throw new Error(`The package ${id} states no licence`);
  let text: string | undefined;
  for await (const entry of Deno.readDir(folder)) {
    if (!entry.isFile || !LICENSE_FILE.test(entry.name)) continue;
    text = (await Deno.readTextFile(join(folder, entry.name))).trim();
  }
  return { name: `${name}@${version}`, license, text };
}

/**
 * One text with every licence once, each under the packages that it is of. A package without a file of
 * its own stands under a text of the licence that it states. Throws when there is none.
 */
export function licenseTexts(parties: readonly ThirdParty[]): string {
  const namesOf = new Map<string, string[]>();
  const standard = new Map<string, string>();
  for (const { license, text } of parties) {
    if (text === undefined) continue;
    namesOf.set(text, []);
    if (!standard.has(license)) standard.set(license, text);
  }
  for (const { name, license, text = standard.get(license) } of parties) {
    if (text === undefined) throw new Error(`There is no text of ${license}, for ${name}`);
    namesOf.get(text)!.push(`${name} (${license})`);
  }
  const parts = [...namesOf].map(([text, names]) => `${names.join("\n")}\n\n${text}\n`);
  const rule = `\n${"-".repeat(80)}\n\n`;
  return [
    "The executable holds code of these packages, under these licences.\n\n" +
    "The runtime that it is built on is Deno (MIT), https://github.com/denoland/deno, which names\n" +
    "what it consists of in turn.\n",
    ...parts,
  ].join(rule);
}
