// The engines that the contract suites of the kv run on.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { MemoryKvDisk, memoryKv } from "../../sim/platform/memory-kv.ts";
import { openLmdbKv } from "../../src/platform/node/kv-lmdb.ts";
import { openSqliteKv } from "../../src/platform/node/kv-sqlite.ts";
import { createLog } from "../../src/platform/node/log.ts";
import type { Kv, Tree } from "../../src/platform/kv.ts";

export interface EngineUnderTest {
  open(options?: { readonly limitBytes?: number; readonly fatal?: (error: unknown) => never }): Promise<Kv>;
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
  {
    limitBytes,
    fatal = rethrow,
    log = silent,
  }: { limitBytes?: number; fatal?: (error: unknown) => never; log?: typeof silent } = {},
): Promise<Kv> {
  const common = { sync: true, log, fatal };
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
    return {
      async open({ limitBytes, fatal } = {}) {
        disk.capacityBytes = limitBytes ?? Number.POSITIVE_INFINITY;
        return memoryKv({ disk, ...(fatal === undefined ? {} : { fatal }) });
      },
      damage: (tree, key) => disk.damage(tree, key, 5),
    };
  }
  const directory = freshDirectory(test);
  return {
    open: (options) => openEngine(name, directory, options),
    damage(_tree, _key, value) {
      const file = join(directory, name === "lmdb" ? "db.lmdb/data.mdb" : "db.sqlite");
      const bytes = readFileSync(file);
      const at = bytes.lastIndexOf(value);
      if (at < 0) throw new Error("the value is not in the file");
      bytes[at + (value.length >> 1)]! ^= 0x10;
      writeFileSync(file, bytes);
    },
  };
}

export function freshDirectory(test: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), "hangar-kv-"));
  test.after(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}
