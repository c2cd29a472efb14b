// kill -9 while the daemon starts, the first time and later: the next start goes on from there, with the same key and bucket, and
// no repair.
//   HANGAR_START_KILLS=40   number of kills for each engine (8)
import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { content, Draws } from "./support/content.ts";
import { BUCKET, Daemon } from "./support/daemon.ts";

const KILLS = Number(process.env["HANGAR_START_KILLS"] ?? 8);

for (const engine of (process.env["HANGAR_ENGINES"] ?? "lmdb,sqlite").split(","))
  describe(`killed while starting, ${engine}`, { timeout: 60_000 + KILLS * 10_000 }, () => {
    let daemon: Daemon | undefined;
    after(async () => daemon?.dispose());

    test(`${KILLS} kills`, async (t) => {
      const draws = Draws.fromEnvironment();
      t.diagnostic(`HANGAR_SEED=${draws.seed}`);
      // How long a first start takes here: the kills fall into that time.
      daemon = await Daemon.prepare({ settings: { db_engine: engine } });
      const began = performance.now();
      await daemon.start();
      const startMs = performance.now() - began;
      await daemon.dispose();

      daemon = await Daemon.prepare({ settings: { db_engine: engine } });
      let acknowledged = 0;
      for (let kill = 0; kill < KILLS; kill++) {
        daemon.spawn();
        await pause(startMs * (0.25 + 0.75 * draws.next()));
        assert.ok(daemon.alive, `a start failed:\n${daemon.lastLog()}`);
        await daemon.kill();
        // Half of the time it is killed while it is still being born.
        if (kill < KILLS / 2) continue;
        await daemon.start();
        for (let at = 1; at <= acknowledged; at++)
          assert.ok((await daemon.s3.get(BUCKET, `object-${at}`))?.body.equals(content(at, 40_000)), `object-${at}`);
        await daemon.s3.put(BUCKET, `object-${acknowledged + 1}`, content(acknowledged + 1, 40_000));
        acknowledged++;
        await daemon.kill();
      }
      await daemon.start();
      assert.equal((await daemon.s3.list(BUCKET)).length, acknowledged);
      const buckets = (await daemon.admin("ListBuckets")) as { globalAliases: string[] }[];
      assert.deepEqual(
        buckets.map((one) => one.globalAliases),
        [[BUCKET]],
        "one bucket, made once",
      );
      assert.equal(((await daemon.admin("ListKeys")) as unknown[]).length, 1);
      await daemon.sound();
      assert.equal(await daemon.stop(), 0);
    });
  });
