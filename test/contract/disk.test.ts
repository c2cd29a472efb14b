// One suite for every Disk and every Cpu: the real ones on a temporary directory, the simulated ones in memory.
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { crc32 } from "node:zlib";
import type { Cpu } from "../../src/platform/cpu.ts";
import { type Disk, DiskError, type FileStat } from "../../src/platform/disk.ts";
import { NodeCpu } from "../../src/platform/node/cpu.ts";
import { NodeDisk } from "../../src/platform/node/disk.ts";
import { createLog } from "../../src/platform/node/log.ts";
import type { Hash } from "../../src/util/ids.ts";
import { SimCpu } from "../../sim/platform/cpu.ts";
import { SimDisk, SimDiskImage } from "../../sim/platform/disk.ts";

const text = (value: string): Uint8Array => new TextEncoder().encode(value);
const sha256 = (bytes: Uint8Array): Hash => createHash("sha256").update(bytes).digest("hex") as Hash;

for (const [name, open] of [
  [
    "node",
    async () => {
      const root = mkdtempSync(join(tmpdir(), "hangar-disk-"));
      const cpu = new NodeCpu({}, { log: createLog({ level: "silent" }) });
      const close = async (): Promise<void> => {
        await cpu.close();
        rmSync(root, { recursive: true });
      };
      return { root, disk: new NodeDisk() as Disk, cpu: cpu as Cpu, close };
    },
  ],
  [
    "simulated",
    async () => {
      const disk = new SimDisk();
      await disk.makeDirectory("/disk");
      const cpu = new SimCpu({ hashers: await SimCpu.loadHashers(), disk });
      return { root: "/disk", disk: disk as Disk, cpu: cpu as Cpu, close: async () => {} };
    },
  ],
] as const) {
  describe(`the ${name} disk`, () => {
    let root: string;
    let disk: Disk;
    let cpu: Cpu;
    let close: () => Promise<void>;
    before(async () => {
      ({ root, disk, cpu, close } = await open());
    });
    after(() => close());

    it("writes whole files, makes directories on the way, replaces, leaves nothing aside", async () => {
      await disk.writeDurable(`${root}/a/b/c`, [text("one "), text("two")], { sync: true });
      assert.deepEqual(Buffer.from((await disk.read(`${root}/a/b/c`)) ?? []).toString(), "one two");
      await disk.writeDurable(`${root}/a/b/c`, [text("three")], { sync: false });
      assert.deepEqual(Buffer.from((await disk.read(`${root}/a/b/c`)) ?? []).toString(), "three");
      assert.deepEqual(await disk.list(`${root}/a/b`), [{ name: "c", directory: false }]);
      assert.deepEqual(await disk.list(`${root}/a`), [{ name: "b", directory: true }]);
    });

    it("says what is absent by values", async () => {
      assert.equal(await disk.read(`${root}/none`), undefined);
      assert.equal(await disk.readRange(`${root}/none`, 0, 5), undefined);
      assert.equal(await disk.stat(`${root}/none`), undefined);
      assert.equal(await disk.remove(`${root}/none`), false);
      assert.equal(await disk.touch(`${root}/none`, 1), false);
      assert.deepEqual(await disk.list(`${root}/none`), []);
    });

    it("reads ranges, short at the end", async () => {
      await disk.writeDurable(`${root}/range`, [text("0123456789")], { sync: true });
      assert.equal(Buffer.from((await disk.readRange(`${root}/range`, 2, 5)) ?? []).toString(), "234");
      assert.equal(Buffer.from((await disk.readRange(`${root}/range`, 8, 50)) ?? []).toString(), "89");
      assert.equal((await disk.readRange(`${root}/range`, 20, 50))?.byteLength, 0);
    });

    it("stats, touches, renames, removes", async () => {
      await disk.writeDurable(`${root}/file`, [text("12345")], { sync: true });
      assert.equal(await disk.touch(`${root}/file`, 1_600_000_000_000), true);
      const { device, inode, ...found } = (await disk.stat(`${root}/file`)) as FileStat;
      assert.deepEqual(found, { sizeBytes: 5, modifiedMs: 1_600_000_000_000, directory: false });
      assert.equal((await disk.stat(root))?.directory, true);
      assert.equal((await disk.stat(root))?.device, device);
      assert.equal((await disk.stat(`${root}/file`))?.inode, inode);
      await disk.rename(`${root}/file`, `${root}/other`);
      assert.equal(await disk.stat(`${root}/file`), undefined);
      assert.equal(await disk.remove(`${root}/other`), true);
      assert.equal(await disk.stat(`${root}/other`), undefined);
      assert.ok((await disk.space(root)).availableBytes > 0);
    });

    it("removes directories that are empty", async () => {
      await disk.makeDirectory(`${root}/c/d`);
      assert.equal(await disk.removeDirectory(`${root}/c`), false);
      assert.equal(await disk.removeDirectory(`${root}/c/d`), true);
      assert.equal(await disk.removeDirectory(`${root}/c`), true);
      assert.equal(await disk.removeDirectory(`${root}/c`), false);
    });

    it("locks a file, which it makes, for one at a time", async () => {
      const lock = await disk.lock(`${root}/lock`);
      assert.ok(lock);
      assert.ok(await disk.stat(`${root}/lock`));
      assert.equal(await disk.lock(`${root}/lock`), undefined);
      lock.release();
      const again = await disk.lock(`${root}/lock`);
      assert.ok(again);
      again.release();
    });

    it("writes to the device that was meant, or not at all", async () => {
      const { device } = (await disk.stat(root)) as FileStat;
      const write = (to: number): Promise<void> => disk.writeDurable(`${root}/meant`, [text("x")], { sync: true, device: to });
      await assert.rejects(write(device + 1), (error) => error instanceof DiskError && error.code === "disk.away");
      assert.equal(await disk.stat(`${root}/meant`), undefined);
      await write(device);
    });

    it("fails with its own codes", async () => {
      await disk.writeDurable(`${root}/plain`, [text("x")], { sync: true });
      await assert.rejects(disk.list(`${root}/plain`), (error) => error instanceof DiskError && error.code === "disk.io");
    });

    describe("and its cpu", () => {
      const random = randomBytes(300_000);
      const dull = Buffer.alloc(300_000, "hangar ");
      const pathOf = (hash: Hash): string => `${root}/blocks/${hash.slice(0, 2)}/${hash.slice(2, 4)}/${hash}`;
      const job = { compressedFirst: false, setAside: true };

      before(() => disk.makeDirectory(`${root}/blocks`));

      for (const [kind, data] of [
        ["random", random],
        ["dull", dull],
      ] as const)
        it(`stores ${kind} bytes once, and gives them back verified`, async () => {
          const hash = sha256(data);
          const write = { data, hash, paths: [pathOf(hash)], verify: true, compressionLevel: 1, sync: true };
          const first = await cpu.writeBlock({ ...write, digests: ["MD5", "CRC32"] });
          assert.equal(first.outcome, "written");
          assert.equal(Buffer.from(first.digests.MD5 ?? []).toString("hex"), createHash("md5").update(data).digest("hex"));
          assert.equal(Buffer.from(first.digests.CRC32 ?? []).readUInt32BE(), crc32(data));
          const storedSize = "storedSize" in first ? first.storedSize : 0;
          assert.equal(storedSize < data.byteLength, kind === "dull");
          const file = pathOf(hash) + (kind === "dull" ? ".zst" : "");
          assert.equal((await disk.stat(file))?.sizeBytes, storedSize);
          const again = await cpu.writeBlock(write);
          assert.deepEqual(again, { outcome: "existed", storedSize, digests: {}, corrupted: [] });

          const into = cpu.allocate(data.byteLength);
          const read = await cpu.readBlock({ hash, paths: [`${root}/blocks/no/ne/${hash}`, pathOf(hash)], into, ...job });
          assert.deepEqual(read, { outcome: "ok", sizeBytes: data.byteLength, corrupted: [] });
          assert.ok(data.equals(into));
          cpu.free(into);
          const foreign = new Uint8Array(data.byteLength + 10);
          assert.equal((await cpu.readBlock({ hash, paths: [pathOf(hash)], into: foreign, ...job })).outcome, "ok");
          assert.ok(data.equals(foreign.subarray(0, data.byteLength)));
          const small = cpu.allocate(data.byteLength - 1);
          assert.deepEqual(await cpu.readBlock({ hash, paths: [pathOf(hash)], into: small, ...job }), { outcome: "too-small" });
          cpu.free(small);
        });

      it("refuses bytes that are not what they are said to be", async () => {
        const hash = sha256(text("something else"));
        const refused = await cpu.writeBlock({
          data: random,
          hash,
          paths: [pathOf(hash)],
          verify: true,
          compressionLevel: undefined,
          sync: true,
        });
        assert.deepEqual(refused, { outcome: "wrong-hash", actual: sha256(random), digests: {} });
        assert.equal(await disk.stat(pathOf(hash)), undefined);
      });

      it("never gives damaged bytes, tells, sets aside only when asked, and repairs on the next store", async () => {
        const data = randomBytes(70_000);
        const hash = sha256(data);
        const path = pathOf(hash);
        const write = { data, hash, paths: [path], verify: false, compressionLevel: undefined, sync: true };
        const damage = async (): Promise<void> => {
          const wrong = Buffer.from(data);
          wrong.writeUInt8(wrong.readUInt8(5) ^ 1, 5);
          await disk.writeDurable(path, [wrong], { sync: true });
        };
        await damage();
        const into = cpu.allocate(data.byteLength);
        assert.deepEqual(await cpu.readBlock({ hash, paths: [path], into, compressedFirst: false, setAside: false }), {
          outcome: "damaged",
          path,
        });
        const aside = `${path}.corrupted`;
        assert.deepEqual(await cpu.readBlock({ hash, paths: [path], into, ...job }), { outcome: "absent", corrupted: [aside] });
        assert.equal(await disk.stat(path), undefined);
        assert.equal((await disk.stat(aside))?.sizeBytes, data.byteLength);
        await damage();
        assert.deepEqual(await cpu.writeBlock(write), {
          outcome: "written",
          storedSize: 70_000,
          digests: {},
          corrupted: [aside],
        });
        assert.equal((await cpu.readBlock({ hash, paths: [path], into, ...job })).outcome, "ok");
        cpu.free(into);
      });

      it("computes the same checksums in one piece and over a stream, small and large", async () => {
        const all = ["MD5", "SHA1", "SHA256", "CRC32", "CRC32C", "CRC64NVME"] as const;
        const known = await cpu.digest(text("123456789"), all);
        const hex = (bytes: Uint8Array | undefined): string => Buffer.from(bytes ?? []).toString("hex");
        assert.equal(hex(known.CRC32), "cbf43926");
        assert.equal(hex(known.CRC32C), "e3069283");
        assert.equal(hex(known.CRC64NVME), "ae8b14860a799888");
        assert.equal(hex(known.MD5), "25f9e794323b453885f5181f1b624d0b");
        const whole = await cpu.digest(random, all);
        const streams = [cpu.digester(all), cpu.digester(all)];
        for (let at = 0; at < random.byteLength; at += 70_001)
          await Promise.all(streams.map((stream) => stream.update(random.subarray(at, at + 70_001))));
        for (const stream of streams) assert.deepEqual(hexes(await stream.finish()), hexes(whole));
        cpu.digester(all).discard();
      });
    });
  });
}

function hexes(digests: object): object {
  return Object.fromEntries(Object.entries(digests).map(([name, bytes]) => [name, Buffer.from(bytes).toString("hex")]));
}

describe("a power cut on the simulated disk", () => {
  it("keeps what was synced, whatever else it loses or tears", async () => {
    const outcomes = new Set<boolean>();
    for (let seed = 1; seed <= 300; seed++) {
      let state = seed * 2654435761;
      const random = (): number => {
        state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
        return state / 2 ** 32;
      };
      const image = new SimDiskImage();
      const disk = new SimDisk({ image });
      await disk.writeDurable("/d/x/synced", [text("kept")], { sync: true });
      await disk.writeDurable("/d/x/unsynced", [text("perhaps torn")], { sync: false });
      const underWay = disk.writeDurable("/d/y/new", [text("under way")], { sync: true });
      let settled = false;
      void underWay.then(() => {
        settled = true;
      });
      for (let i = 0; i < seed % 40; i++) await Promise.resolve();
      disk.crash(random);
      for (let i = 0; i < 100; i++) await Promise.resolve();
      outcomes.add(settled);
      const after = new SimDisk({ image });
      assert.equal(Buffer.from((await after.read("/d/x/synced")) ?? []).toString(), "kept");
      const torn = Buffer.from((await after.read("/d/x/unsynced")) ?? []).toString();
      assert.ok("perhaps torn".startsWith(torn));
      const fresh = await after.read("/d/y/new");
      if (settled) assert.equal(Buffer.from(fresh ?? []).toString(), "under way");
    }
    assert.equal(outcomes.size, 2, "some writes are through before the cut, others never settle");
  });

  it("rots and fills up", async () => {
    const disk = new SimDisk();
    await disk.writeDurable("/a", [text("bits")], { sync: true });
    disk.image.flip("/a", 3);
    assert.notEqual(Buffer.from((await disk.read("/a")) ?? []).toString(), "bits");
    disk.image.capacityBytes = 6;
    await assert.rejects(disk.writeDurable("/b", [text("too much")], { sync: true }), { code: "disk.full" });
    assert.equal(await disk.stat("/b"), undefined);
  });
});
