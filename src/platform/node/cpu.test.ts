import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { chmodSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { after, describe, it } from "node:test";
import type { Hash } from "../../util/ids.ts";
import { CpuError } from "../cpu.ts";
import { DiskError } from "../disk.ts";
import { NodeCpu } from "./cpu.ts";
import { createLog } from "./log.ts";
import { SharedMemory } from "./shared-memory.ts";

const root = mkdtempSync(join(tmpdir(), "hangar-cpu-"));
after(() => rmSync(root, { recursive: true }));

function open(program?: URL): { cpu: NodeCpu; lines: string[] } {
  const lines: string[] = [];
  const log = createLog({ level: "debug", format: "json", destination: { write: (line) => lines.push(line) } });
  return { cpu: new NodeCpu(program ? { program } : {}, { log }), lines };
}

function job(data: Uint8Array, directory = root) {
  const hash = createHash("sha256").update(data).digest("hex") as Hash;
  const paths = [`${directory}/${hash.slice(0, 2)}/${hash.slice(2, 4)}/${hash}`];
  return { data, hash, paths, verify: false, compressionLevel: 1, sync: true } as const;
}

describe("block workers", () => {
  it("start with the first job and are at most two", async () => {
    const { cpu } = open();
    await cpu.digest(randomBytes(100), ["MD5", "CRC64NVME"]);
    assert.equal(cpu.stats().workers, 0, "small ones need no worker");
    await Promise.all(Array.from({ length: 10 }, () => cpu.digest(randomBytes(100_000), ["MD5"])));
    assert.equal(cpu.stats().workers, 2);
    assert.deepEqual([cpu.stats().bytesInUse, cpu.stats().jobsUnderWay], [0, 0]);
    await cpu.close();
  });

  it("that die fail their jobs, are told of in the log, and are replaced", async () => {
    const dying = 'import { parentPort } from "node:worker_threads"; parentPort.on("message", () => process.exit(3));';
    const { cpu, lines } = open(new URL(`data:text/javascript,${encodeURIComponent(dying)}`));
    for (let deaths = 1; deaths <= 3; deaths++) {
      const jobs = [cpu.digest(randomBytes(100_000), ["MD5"]), cpu.writeBlock(job(randomBytes(100_000)))];
      for (const done of await Promise.allSettled(jobs)) {
        assert.equal(done.status, "rejected");
        assert.ok(done.reason instanceof CpuError && done.reason.code === "cpu.worker-died");
      }
      assert.equal(cpu.stats().bytesInUse, 0);
      assert.equal(cpu.stats().workerDeaths, lines.length);
    }
    assert.ok(lines.length >= 3 && lines.every((line) => line.includes("died") && line.includes("exit code 3")));
    const stream = cpu.digester(["MD5"]);
    await assert.rejects(stream.update(randomBytes(100_000)), CpuError);
    await assert.rejects(stream.finish(), CpuError);
    await cpu.close();
    await assert.rejects(
      cpu.digest(randomBytes(100_000), ["MD5"]),
      (error) => error instanceof CpuError && error.code === "cpu.closed",
    );
  });

  it("write many blocks at once, in new directories, and leave nothing aside", async () => {
    const { cpu } = open();
    const jobs = Array.from({ length: 60 }, (_, at) => job(randomBytes(at % 3 === 0 ? 65_536 : 1 + at * 1000)));
    for (const done of await Promise.all(jobs.map((each) => cpu.writeBlock(each)))) assert.equal(done.outcome, "written");
    for (const each of jobs) {
      const into = cpu.allocate(each.data.byteLength);
      const read = await cpu.readBlock({ hash: each.hash, paths: each.paths, into, compressedFirst: false, setAside: false });
      assert.equal(read.outcome, "ok");
      assert.ok(Buffer.from(each.data).equals(into));
      cpu.free(into);
    }
    const names = readdirSync(root, { recursive: true }).map(String);
    assert.deepEqual(
      names.filter((name) => name.endsWith(".tmp")),
      [],
    );
    await cpu.close();
  });

  it("say what the system said", async () => {
    const { cpu } = open();
    const nowhere = job(randomBytes(70_000), `${root}/not-there`);
    await assert.rejects(cpu.writeBlock(nowhere), (error) => error instanceof DiskError && error.code === "disk.io");
    assert.deepEqual(readdirSync(root).includes("not-there"), false, "a root that is not mounted is not made");
    assert.equal(cpu.stats().bytesInUse, 0);
    await cpu.close();
  });

  it("fail where writing is not allowed", { skip: process.getuid?.() === 0 && "root may write everywhere" }, async () => {
    const { cpu } = open();
    const directory = mkdtempSync(join(root, "locked-"));
    chmodSync(directory, 0o500);
    await assert.rejects(cpu.writeBlock(job(randomBytes(70_000), directory)), { code: "disk.denied" });
    await cpu.close();
  });
});

describe("shared memory", () => {
  it("reuses slabs, keeps no more than it may, and ignores what is not its own", () => {
    const forgotten: number[] = [];
    const memory = new SharedMemory({ keepBytes: 1024 * 1024, onForget: (slab) => forgotten.push(slab) });
    const one = memory.allocate(300_000);
    assert.equal(one.byteLength, 300_000);
    assert.equal((one.byteOffset + 16) % 4096, 0);
    memory.free(one.subarray(5));
    memory.free(one);
    assert.deepEqual([memory.bytesInUse, memory.bytesKept], [0, 524_288]);
    assert.equal(memory.allocate(400_000).buffer, one.buffer);
    memory.free(new Uint8Array(10));
    const many = Array.from({ length: 4 }, () => memory.allocate(65_536));
    for (const each of many) memory.free(each);
    memory.free(one);
    assert.deepEqual([memory.bytesInUse, memory.bytesKept, forgotten.length], [0, 1_572_864, 0]);
    assert.equal(memory.trim(), 0, "all of it was in use since the last time");
    assert.equal(memory.trim(), 524_288);
    assert.deepEqual([memory.bytesInUse, memory.bytesKept, forgotten.length], [0, 1_048_576, 1]);
    assert.equal(memory.trim(), 0);
  });
});
