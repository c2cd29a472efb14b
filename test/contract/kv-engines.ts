// The engines that the contract suites of the kv run on.
import { spawnSync, type SpawnSyncReturns } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { MemoryKvDisk, memoryKv } from "../../sim/platform/memory-kv.ts";
import { openLmdbKv } from "../../src/platform/node/kv-lmdb.ts";
import { openSqliteKv } from "../../src/platform/node/kv-sqlite.ts";
import { createLog } from "../../src/platform/node/log.ts";
import type { Kv, KvError, Tree } from "../../src/platform/kv.ts";

export interface EngineOptions {
  readonly limitBytes?: number;
  readonly fatal?: (error: unknown) => never;
  readonly failed?: (error: KvError) => void;
}

export interface EngineUnderTest {
  /** Where it keeps its files; undefined for the one in memory. */
  readonly directory: string | undefined;
  open(options?: EngineOptions): Promise<Kv>;
  /**
   * Flips a bit of one stored copy of a key while the store is closed: in its row, or where it divides a tree's pages, or in a
   * page that is free. What was flipped before is right again. @returns false when there is no such copy (any more).
   */
  spoilKey(tree: Tree, key: Uint8Array, options: { readonly copy: number; readonly bit: number }): boolean;
  /** Damages one stored byte of the row while the store is closed. `value` must occur once in it. */
  damage(tree: Tree, key: Uint8Array, value: Uint8Array): void;
}

export type EngineName = "lmdb" | "sqlite" | "memory";
export const ENGINES: readonly EngineName[] = ["lmdb", "sqlite", "memory"];

export const silent = createLog({ level: "silent" });

export function rethrow(error: unknown): never {
  throw error;
}

export function openEngine(
  engine: "lmdb" | "sqlite",
  directory: string,
  { limitBytes, fatal = rethrow, failed = () => undefined, log = silent }: EngineOptions & { readonly log?: typeof silent } = {},
): Promise<Kv> {
  const common = { sync: true, log, fatal, failed };
  if (engine === "lmdb")
    return openLmdbKv({ ...common, directory: join(directory, "db.lmdb"), mapSizeBytes: limitBytes ?? 2 ** 34 });
  return openSqliteKv({
    ...common,
    file: join(directory, "db.sqlite"),
    ...(limitBytes === undefined ? {} : { maxSizeBytes: limitBytes }),
  });
}

/** A store of its own for a test; its files go when the test ends. */
export function engineUnderTest(name: EngineName, test: TestContext): EngineUnderTest {
  if (name === "memory") {
    const disk = new MemoryKvDisk();
    const pristine: Partial<MemoryKvDisk["trees"]> = {};
    return {
      directory: undefined,
      async open({ limitBytes, fatal, failed } = {}) {
        disk.capacityBytes = limitBytes ?? Number.POSITIVE_INFINITY;
        return memoryKv({ disk, ...(fatal === undefined ? {} : { fatal }), ...(failed === undefined ? {} : { failed }) });
      },
      damage: (tree, key) => disk.damage(tree, key, 5),
      spoilKey(tree, key, { copy, bit }) {
        if (copy > 0) return false;
        for (const one of ["rows", "bodies"] as const) pristine[one] ??= disk.trees[one].clone();
        for (const one of ["rows", "bodies"] as const) disk.trees[one] = pristine[one]!.clone();
        disk.damageKey(tree, key, bit);
        return true;
      },
    };
  }
  const directory = freshDirectory(test);
  const file = join(directory, name === "lmdb" ? "db.lmdb/data.mdb" : "db.sqlite");
  let pristine: Buffer | undefined;
  return {
    directory,
    spoilKey(_tree, key, { copy, bit }) {
      pristine ??= readFileSync(file);
      let at = pristine.indexOf(key);
      for (let skipped = 0; skipped < copy && at >= 0; skipped++) at = pristine.indexOf(key, at + 1);
      if (at < 0) return false;
      const bytes = Buffer.from(pristine);
      bytes[at + (bit >>> 3)]! ^= 1 << (bit & 7);
      rmSync(file); // a new file: nothing of the one that was mapped before shows through
      writeFileSync(file, bytes);
      return true;
    },
    open: (options) => openEngine(name, directory, options),
    damage(_tree, _key, value) {
      const bytes = readFileSync(file);
      const at = bytes.lastIndexOf(value);
      if (at < 0) throw new Error("the value is not in the file");
      bytes[at + (value.length >> 1)]! ^= 0x10;
      writeFileSync(file, bytes);
    },
  };
}

/** Whether system calls of a child can be made to fail. */
export const canInject =
  spawnSync("strace", ["-f", "-o", "/dev/null", "-e", "inject=fdatasync:error=EIO:when=99", "true"]).status === 0;

/** Runs kv-child with system calls failing as strace's `inject` says. */
export function faulty(args: readonly string[], ...inject: readonly string[]): SpawnSyncReturns<string> {
  const rules = inject.flatMap((one) => ["-e", `inject=${one}`]);
  const child = join(import.meta.dirname, "kv-child.ts");
  return spawnSync("strace", ["-f", "-o", "/dev/null", ...rules, process.execPath, child, ...args], {
    encoding: "utf8",
    timeout: 60_000,
  });
}

export function freshDirectory(test: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), "hangar-kv-"));
  test.after(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}
