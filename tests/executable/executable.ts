/**
 * The executable that is tried, and ways to run it as somebody would who has nothing else. The tests
 * of this folder are left out unless `CELLOS_FLEET_TEST_EXECUTABLE` names it;
 * `scripts/try_executable.ts` builds one and runs them.
 */
import { basename, join } from "node:path";

const GIVEN = Deno.env.get("CELLOS_FLEET_TEST_EXECUTABLE");
/** Of `nobody` on most systems; what matters is that nothing belongs to it. */
const OTHER_USER = "65534";

/** Where and as whom a program is run: the command that it is appended to. */
export interface Confinement {
  readonly name: string;
  readonly command: readonly string[];
}

export const UNCONFINED: Confinement = { name: "in an empty directory", command: [] };
export const CONFINEMENTS: readonly Confinement[] = [
  UNCONFINED,
  {
    name: "as a user without a home",
    command: ["setpriv", `--reuid=${OTHER_USER}`, `--regid=${OTHER_USER}`, "--clear-groups"],
  },
  {
    name: "with every file system read-only",
    command: [
      "unshare",
      "--mount",
      "sh",
      "-ec",
      `findmnt -rno TARGET | while read -r mount; do
         case $mount in /proc* | /sys*) ;; *) mount -o remount,bind,ro "$mount" ;; esac
       done
       for folder in . /tmp /dev/shm; do
         if touch "$folder/written" 2> /dev/null; then echo "Could write to $folder"; exit 99; fi
       done
       exec "$@"`,
      "sh",
    ],
  },
];

/** Whether this machine, and this user, can confine a program so. */
export function isPossible({ command }: Confinement): boolean {
  const [program, ...args] = [...command, "true"];
  try {
    return new Deno.Command(program, { args, stdout: "null", stderr: "null" }).outputSync().success;
  } catch {
    return false;
  }
}

/** The executable in a directory where anybody may run it, beside an empty one to run it in. */
export class Place implements AsyncDisposable {
  readonly folder: string;
  readonly executable: string;
  readonly empty: string;

  constructor() {
    this.folder = Deno.makeTempDirSync({ prefix: "cellos-fleet-try-" });
    // The runtime names what it leaves behind after the executable.
    this.executable = join(this.folder, basename(this.folder));
    this.empty = join(this.folder, "empty");
    Deno.copyFileSync(GIVEN!, this.executable);
    Deno.mkdirSync(this.empty);
    for (const path of [this.folder, this.executable, this.empty]) Deno.chmodSync(path, 0o755);
  }

  /** Runs the executable to its end, with no environment but the given one. */
  async run(
    args: readonly string[],
    environment: Readonly<Record<string, string>> = {},
    { command }: Confinement = UNCONFINED,
  ): Promise<Ended> {
    const variables = Object.entries(environment).map(([name, value]) => `${name}=${value}`);
    const [program, ...itsArgs] = [...command, "env", "-i", ...variables, this.executable, ...args];
    const output = await new Deno.Command(program, {
      args: itsArgs,
      cwd: this.empty,
      stdin: "null",
    }).output();
    const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
    return { code: output.code, stdout: text(output.stdout), stderr: text(output.stderr) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.folder, { recursive: true });
  }
}

export interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** A test of the executable. Visibly left out where there is none, or `possible` is false. */
export function executableTest(
  name: string,
  run: (place: Place) => Promise<void>,
  possible = true,
): void {
  Deno.test(`executable: ${name}`, { ignore: GIVEN === undefined || !possible }, async () => {
    await using place = new Place();
    await run(place);
  });
}
