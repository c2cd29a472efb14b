// A full disk is answered with a 503-class error; reads go on, writes go on once there is space, nothing acknowledged is lost.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { content } from "./support/content.ts";
import { BUCKET, Daemon } from "./support/daemon.ts";
import { type S3Error, tag, target } from "./support/s3-client.ts";
import { SmallDisk } from "./support/small-disk.ts";
import { waitFor } from "./support/wait-for.ts";

/** Numbers that were never used before: an object's name and its bytes. */
function nextNumber(kept: ReadonlyMap<string, number>): number {
  return Math.max(0, ...kept.values()) + 1;
}

/** Writes objects of one size until one is refused; notes which were acknowledged. */
async function writeUntilFull(daemon: Daemon, kept: Map<string, number>, bytes: number, most: number): Promise<void> {
  for (let at = 0; at < most; at++) {
    const number = nextNumber(kept);
    const answer = await daemon.s3.send("PUT", target(BUCKET, `object-${number}`), { body: content(number, bytes) });
    if (answer.status !== 200) {
      assertFull(answer.status, answer.body.toString());
      return;
    }
    kept.set(`object-${number}`, number);
  }
  assert.fail(`${most} objects of ${bytes} bytes went onto a full disk`);
}

/** Clients try again after a 503; 507 is what WebDAV and others say of a full disk. */
function assertFull(status: number, body: string): void {
  assert.ok(status === 503 || status === 507, `${status} ${body}`);
  assert.match(tag(body, "Code") ?? "", /^(SlowDown|ServiceUnavailable|InsufficientStorage|StorageFull)$/, body);
  assert.match(tag(body, "Message") ?? "", /space|full|lmdb_map_size/i, body);
}

async function allThere(daemon: Daemon, kept: ReadonlyMap<string, number>, bytes: number): Promise<void> {
  for (const [key, number] of kept)
    assert.ok((await daemon.s3.get(BUCKET, key))?.body.equals(content(number, bytes)), `${key} is not as it was acknowledged`);
  assert.deepEqual((await daemon.s3.list(BUCKET)).map((one) => one.key).sort(), [...kept.keys()].sort());
}

async function writable(daemon: Daemon, kept: Map<string, number>, bytes: number): Promise<void> {
  const number = nextNumber(kept);
  await waitFor("writes go on once there is space", async () => {
    await daemon.s3.put(BUCKET, `object-${number}`, content(number, bytes));
    return true;
  });
  kept.set(`object-${number}`, number);
}

for (const engine of ["lmdb", "sqlite"])
  describe(`full disks, ${engine}`, { timeout: 120_000 }, () => {
    for (const which of ["data_dir", "metadata_dir"] as const)
      test(`${which} is full`, async (t) => {
        const disk = await SmallDisk.mount(which === "data_dir" ? 48 : 96);
        if (typeof disk === "string") return t.skip(disk);
        const bytes = which === "data_dir" ? 700_000 : 12_000;
        const daemon = await Daemon.prepare({
          settings: { db_engine: engine, block_gc_delay: "1s", command_window: "2s" },
          ...(which === "data_dir" ? { dataDir: `${disk.path}/data` } : { metadataDir: `${disk.path}/meta` }),
        });
        try {
          await daemon.start();
          const kept = new Map<string, number>();
          for (let at = 0; at < 5; at++) await writable(daemon, kept, bytes);
          disk.fill(which === "data_dir" ? 3_000_000 : 1_000_000);
          await writeUntilFull(daemon, kept, bytes, 2000);
          disk.fill();
          for (let again = 0; again < 5; again++) await writeUntilFull(daemon, kept, bytes, 50);
          assert.ok(daemon.alive);
          await allThere(daemon, kept, bytes);
          if (which === "data_dir") {
            // The metadata has space: small objects and deletions still go through.
            await daemon.s3.put(BUCKET, "inline", content(1, 100));
            await daemon.s3.delete(BUCKET, "inline");
            const [first] = kept.keys();
            await daemon.s3.delete(BUCKET, first as string);
            kept.delete(first as string);
          }
          disk.empty();
          await writable(daemon, kept, bytes);
          await allThere(daemon, kept, bytes);
          // Full again, killed there, started on the full disk: what was acknowledged is there.
          disk.fill();
          await daemon.kill();
          try {
            await daemon.start();
          } catch {
            // A start writes a little; it may say that there is no room for it, and must work once there is.
            assert.match(daemon.lastLog(), /^Error: .*(space|full)/im);
            disk.empty();
            await daemon.start();
          }
          await allThere(daemon, kept, bytes);
          disk.empty();
          await writable(daemon, kept, bytes);
          await daemon.settled();
          assert.equal(await daemon.stop(), 0);
        } finally {
          await daemon.dispose();
          await disk.unmount();
        }
      });
  });

for (const engine of ["lmdb", "sqlite"])
  test(`a full metadata_dir, ${engine}: what deletions free inside takes new objects, also after a restart`, {
    timeout: 180_000,
  }, async (t) => {
    const disk = await SmallDisk.mount(64);
    if (typeof disk === "string") return t.skip(disk);
    const daemon = await Daemon.prepare({
      settings: { db_engine: engine, block_gc_delay: "1s", command_window: "2s" },
      metadataDir: `${disk.path}/meta`,
    });
    try {
      await daemon.start();
      const kept = new Map<string, number>();
      await writeUntilFull(daemon, kept, 12_000, 8000);
      assert.ok(kept.size > 500, `${kept.size} objects`);
      // Others take the rest of the disk; nothing but what is inside the metadata is left.
      disk.fill(64 << 10);
      const [kept1, going] = [[...kept.keys()].slice(0, 50), [...kept.keys()].slice(50)];
      for (const key of going) {
        await daemon.s3.delete(BUCKET, key);
        kept.delete(key);
      }
      assert.equal(kept1.length, kept.size);
      const room = kept.size + (going.length >> 2);
      for (let at = kept.size; at < room; at++) await writable(daemon, kept, 12_000);
      await daemon.kill();
      await daemon.start();
      await allThere(daemon, kept, 12_000);
      for (let at = 0; at < 50; at++) await writable(daemon, kept, 12_000);
      assert.equal(await daemon.stop(), 0);
      await daemon.start();
      for (let at = 0; at < 50; at++) await writable(daemon, kept, 12_000);
      await allThere(daemon, kept, 12_000);
    } finally {
      await daemon.dispose();
      await disk.unmount();
    }
  });

test("the map of lmdb is full (lmdb_map_size)", { timeout: 90_000 }, async () => {
  const daemon = await Daemon.prepare({ settings: { lmdb_map_size: "16MiB" } });
  try {
    await daemon.start();
    const kept = new Map<string, number>();
    await writeUntilFull(daemon, kept, 14_000, 3000);
    assert.ok(kept.size > 100, `only ${kept.size} objects of 14 kB went into 16 MiB`);
    for (let again = 0; again < 3; again++)
      await assert.rejects(daemon.s3.put(BUCKET, "more", content(0, 14_000)), (error: S3Error) => error.status === 503);
    await allThere(daemon, kept, 14_000);
    // A start needs no space, and deletions make some: then writes go on.
    await daemon.kill();
    await daemon.start();
    await allThere(daemon, kept, 14_000);
    const going = [...kept.keys()].slice(0, kept.size >> 1);
    for (const key of going) {
      await daemon.s3.delete(BUCKET, key);
      kept.delete(key);
    }
    await writable(daemon, kept, 14_000);
    await writeUntilFull(daemon, kept, 14_000, 3000);
    await daemon.stop();
    daemon.configure({ lmdb_map_size: "64MiB" });
    await daemon.start();
    await writable(daemon, kept, 14_000);
    await allThere(daemon, kept, 14_000);
  } finally {
    await daemon.dispose();
  }
});
