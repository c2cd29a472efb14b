import type { Daemon } from "../process/support/daemon.ts";
import { type ProgramResult, runProgram } from "../process/support/run-program.ts";
import type { S3Client } from "../process/support/s3-client.ts";
import type { Source } from "./sources.ts";

/** A real S3 client that is driven through its steps, in order, in a bucket of its own. */
export interface Client {
  readonly name: string;
  /** Where its programs come from. */
  readonly source: Source;
  /**
   * Only by `--all` or by name: it needs a toolchain that Debian does not have, or more time than CI has for one more client of a
   * family that is there.
   */
  readonly slow?: true;
  readonly steps: (kit: Kit) => readonly Step[];
}

export interface Step {
  readonly name: string;
  /** Fails by throwing. A returned text means: left out, for this reason; anything else: done. */
  run(): Promise<unknown>;
}

/** What a client has to work with. */
export interface Kit {
  readonly daemon: Daemon;
  /** What the client's source returned: the folder of its programs, or a class path. */
  readonly installed: string;
  /** To look behind the client's back. */
  readonly s3: S3Client;
  /** A folder of its own; HOME as well. */
  readonly folder: string;
  readonly files: SampleFiles;
  /** A bucket with `many` keys that all clients only read. */
  readonly many: { readonly bucket: string; readonly keys: readonly string[] };
  /** Runs a program in `folder` with the client's environment. @throws with its output unless it ends with 0 */
  must(argv: readonly string[], options?: ProgramNeeds): Promise<ProgramResult>;
}

export interface ProgramNeeds {
  readonly input?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** User it runs as. */
  readonly uid?: number;
  /** 90 s, unless the program has a lot to do. */
  readonly timeoutMs?: number;
}

export interface SampleFiles {
  readonly small: string;
  readonly empty: string;
  /** 200 MB, which does not compress. */
  readonly big: string;
  readonly bigBytes: number;
  /** A folder of 40 files in three levels, some with awkward names. */
  readonly tree: string;
  readonly treeNames: readonly string[];
}

/**
 * Names that clients and servers have got wrong. Those that no file can have (trailing slash, `..` as a segment) are in
 * `awkwardKeys`.
 */
export const AWKWARD_NAMES = [
  "sp ace",
  " lead and trail ",
  "pl+us",
  "per%cent%20%2F",
  "emoji-😀-ünï",
  "..dots..",
  "q?u&e=s#t;i:o,n@$!'()*",
  'quo"te<>',
  "tilde~under_score",
] as const;

export const AWKWARD_KEYS = [...AWKWARD_NAMES, "slash/", "deep//double", "a/../b", "./c", "d/.", "/lead"] as const;

export function makeMust(folder: string, env: Readonly<Record<string, string>>): Kit["must"] {
  return async (argv, options = {}) => {
    const result = await runProgram(argv, {
      cwd: folder,
      timeoutMs: 90_000,
      ...options,
      env: { ...env, ...options.env },
    });
    if (result.code !== 0)
      throw new Error(
        `${argv.map((one) => JSON.stringify(one)).join(" ")} ended with ${result.code ?? result.signal}\n${tail(result.stdout)}\n${tail(result.stderr)}`,
      );
    return result;
  };
}

function tail(text: string): string {
  return text.length > 4000 ? `…${text.slice(-4000)}` : text;
}
