// kill -9 while a bucket with unfinished uploads is deleted: after the next start it is there with all of them, or gone with them
// all; and in the end no reference and no file is left of them.
//   HANGAR_DELETE_KILLS=20   number of kills for each engine (4)
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { after, describe, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { content, Draws } from "./support/content.ts";
import { Daemon } from "./support/daemon.ts";

const KILLS = Number(process.env["HANGAR_DELETE_KILLS"] ?? 4);
const UPLOADS = 80;

for (const engine of (process.env["HANGAR_ENGINES"] ?? "lmdb,sqlite").split(","))
  describe(`killed while a bucket with uploads is deleted, ${engine}`, { timeout: 180_000 + KILLS * 60_000 }, () => {
    let daemon: Daemon | undefined;
    after(async () => daemon?.dispose());

    test(`${KILLS} kills`, async (t) => {
      const draws = Draws.fromEnvironment();
      t.diagnostic(`HANGAR_SEED=${draws.seed}`);
      const d = await Daemon.run({ settings: { db_engine: engine, block_gc_delay: "2s", command_window: "4s" } });
      daemon = d;
      let made = 0;
      const fill = async (bucket: string): Promise<void> => {
        await d.s3.must("PUT", `/${bucket}`);
        await Promise.all(
          Array.from({ length: UPLOADS }, async (_, n) => {
            const upload = await d.s3.startUpload(bucket, `key-${n}`);
            // Some without parts, some with small ones, some of blocks, half of which others have too.
            if (n % 4 === 1) await d.s3.uploadPart(bucket, `key-${n}`, upload, 1, content(++made, 100));
            if (n % 4 > 1) await d.s3.uploadPart(bucket, `key-${n}`, upload, 1, content(n % 4 === 2 ? ++made : 1, 40_000));
          }),
        );
      };
      // How long it takes here: the kills fall into that time.
      await fill("whole");
      const began = performance.now();
      await d.s3.must("DELETE", "/whole");
      const deleteMs = performance.now() - began;

      const ends = { there: 0, gone: 0 };
      for (let kill = 1; kill <= KILLS; kill++) {
        const bucket = `doomed-${kill}`;
        await fill(bucket);
        const deleting = d.s3.send("DELETE", `/${bucket}`).then(
          ({ status }) => status,
          () => undefined,
        );
        await pause(deleteMs * draws.next());
        await d.kill();
        const acknowledged = (await deleting) === 204;
        await d.start();
        const { status } = await d.s3.send("HEAD", `/${bucket}`);
        if (status === 200) {
          ends.there++;
          assert.ok(!acknowledged, "what was acknowledged stays deleted");
          assert.equal((await d.s3.uploads(bucket)).length, UPLOADS, "all uploads of a bucket that is there");
          await d.s3.must("DELETE", `/${bucket}`);
        } else {
          ends.gone++;
          assert.equal(status, 404);
        }
        await d.sound();
      }
      t.diagnostic(JSON.stringify(ends));
      await d.settled();
      const files = readdirSync(d.dataDir, { recursive: true, withFileTypes: true }).filter(
        (entry) => entry.isFile() && !entry.name.startsWith("hangar-"),
      );
      assert.deepEqual(files, [], "blocks of their parts");
      assert.equal(await d.stop(), 0);
    });
  });
