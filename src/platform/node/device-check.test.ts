import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { cpSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { MemoryLog } from "../../../sim/platform/memory-log.ts";
import type { Hash } from "../../util/ids.ts";
import type { BlockWritten } from "../cpu.ts";
import { DiskError } from "../disk.ts";
import { NodeCpu } from "./cpu.ts";
import { NodeDisk } from "./disk.ts";

const isAway = (error: unknown): boolean => error instanceof DiskError && error.code === "disk.away";

/** Here the file system is always the same one; it is the number that was expected which is another. */
describe("a write is for the device, and the folder, that was opened", () => {
  let root: string;
  let cpu: NodeCpu;
  before(() => {
    root = mkdtempSync(join(tmpdir(), "hangar-device-"));
    cpu = new NodeCpu({ workers: 1 }, { log: new MemoryLog() });
  });
  after(async () => {
    await cpu.close();
    rmSync(root, { recursive: true });
  });
  const files = (): string[] => readdirSync(root, { recursive: true }).map(String).sort();

  function write(data: Buffer, device: number, sync = true, inode = statSync(root).ino): Promise<BlockWritten> {
    const hash = createHash("sha256").update(data).digest("hex") as Hash;
    const paths = [`${root}/${hash.slice(0, 2)}/${hash.slice(2, 4)}/${hash}`];
    return cpu.writeBlock({ data, hash, paths, roots: [{ device, inode }], verify: true, compressionLevel: undefined, sync });
  }

  for (const sync of [true, false])
    it(`of new blocks, small and large, and of those that are there already (sync: ${sync})`, async () => {
      const { dev } = statSync(root);
      for (const size of [5000, 128 * 1024]) {
        const data = Buffer.alloc(size, `${size} ${sync}`);
        await assert.rejects(write(data, dev + 1, sync), isAway);
        assert.equal((await write(data, dev, sync)).outcome, "written");
        const there = files();
        await assert.rejects(write(data, dev + 1, sync), isAway, "a block that is there is on that device too");
        assert.equal((await write(data, dev, sync)).outcome, "existed");
        assert.deepEqual(files(), there);
      }
    });

  it("makes no folder and leaves no file on another one", async () => {
    const { dev } = statSync(root);
    const before = files();
    const data = Buffer.alloc(5000, "another");
    await assert.rejects(write(data, dev + 1), isAway);
    assert.deepEqual(files(), before);
    const hash = createHash("sha256").update(data).digest("hex");
    mkdirSync(`${root}/${hash.slice(0, 2)}/${hash.slice(2, 4)}`, { recursive: true });
    const folders = files();
    await assert.rejects(write(data, dev + 1), isAway, "the folder may be there");
    assert.deepEqual(files(), folders);
  });

  it("nor in another folder of the same file system (a bind mount that is gone, a folder that was moved away)", async () => {
    const { dev, ino } = statSync(root);
    const there = Buffer.alloc(5000, "moved");
    await write(there, dev);
    const moved = `${root}.moved`;
    renameSync(root, moved);
    mkdirSync(root);
    try {
      await assert.rejects(write(Buffer.alloc(5000, "lost"), dev, true, ino), isAway);
      assert.deepEqual(files(), []);
      cpSync(moved, root, { recursive: true });
      await assert.rejects(write(there, dev, true, ino), isAway, "a block that is in the other one too");
    } finally {
      rmSync(root, { recursive: true });
      renameSync(moved, root);
    }
    assert.equal((await write(there, dev, true, ino)).outcome, "existed");
  });

  it("of small files too", async () => {
    const disk = new NodeDisk();
    const { dev } = statSync(root);
    const before = files();
    await assert.rejects(disk.writeDurable(`${root}/file`, [Buffer.from("x")], { sync: true, device: dev + 1 }), isAway);
    assert.deepEqual(files(), before);
    await disk.writeDurable(`${root}/file`, [Buffer.from("x")], { sync: true, device: dev });
  });
});
