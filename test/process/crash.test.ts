// kill -9 at random moments under 32 writers: every acknowledged state is there bit for bit after each restart, listings agree
// with it, no start needs a repair, and in the end no file and no reference is left that nothing needs.
//   HANGAR_KILLS=50   number of kills (5)      HANGAR_SEED=n   the same choices again      HANGAR_ENGINES=lmdb,sqlite
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { after, describe, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { Draws } from "./support/content.ts";
import { BUCKET, Daemon } from "./support/daemon.ts";
import { KeyHistories, type NewValue, type Stored, storedBytes } from "./support/key-histories.ts";
import { S3Error } from "./support/s3-client.ts";
import { waitFor } from "./support/wait-for.ts";

const KILLS = Number(process.env["HANGAR_KILLS"] ?? 5);
const ENGINES = (process.env["HANGAR_ENGINES"] ?? "lmdb,sqlite").split(",");
const WRITERS = 32;
const KEYS = 120;
const INLINE_BYTES = 16 * 1024;

for (const engine of ENGINES)
  describe(`kill -9 on ${engine}`, { timeout: 120_000 + KILLS * 30_000 }, () => {
    let daemon: Daemon | undefined;
    after(async () => daemon?.dispose());

    test(`${KILLS} kills under ${WRITERS} writers`, async (t) => {
      const draws = Draws.fromEnvironment();
      t.diagnostic(`HANGAR_SEED=${draws.seed}`);
      const d = await Daemon.run({ settings: { db_engine: engine, block_gc_delay: "2s", command_window: "4s" } });
      daemon = d;
      const histories = new KeyHistories();
      let operations = 0;
      for (let kill = 1; kill <= KILLS; kill++) {
        operations += await writeUntilKilled(d, histories, draws);
        await d.start();
        await d.sound();
        await verify(d, histories);
      }
      assert.ok(
        operations >= KILLS * WRITERS,
        `only ${operations} operations were acknowledged: the test did not load the store`,
      );
      t.diagnostic(
        `${operations} acknowledged operations, ${histories.resolved} unanswered ones found done, ${histories.undone} not`,
      );
      assert.doesNotMatch(d.log(), /"level":(50|60)|"level":"(error|fatal)"/, "the daemon reported an error");

      for (const { key, upload } of await allUploads(d)) await d.s3.abort(BUCKET, key, upload);
      // Not only by its own word: in the end exactly the blocks of the living objects lie there.
      const needed = new Set(histories.living().flatMap((one) => (one.bytes > INLINE_BYTES ? one.blocks() : [])));
      await d.settled();
      onlyNeeded(d, needed);
      await verify(d, histories);
      // And the last state survives an orderly stop as well.
      assert.equal(await d.stop(), 0);
      await d.start();
      await verify(d, histories);
      for (const one of histories.keys()) await d.s3.delete(BUCKET, one);
      await d.settled();
      onlyNeeded(d, new Set());
    });
  });

/** @throws when a file is there that is not needed, or one is missing. */
function onlyNeeded(daemon: Daemon, needed: ReadonlySet<string>): void {
  const files = readdirSync(daemon.dataDir, { recursive: true, withFileTypes: true })
    // What uploads that died left lies in the quarantine for a while.
    .filter((entry) => entry.isFile() && !entry.name.startsWith("hangar-") && !entry.parentPath.includes("/quarantine/"))
    .map((entry) => entry.name.replace(/\.zst$/, ""));
  const missing = [...needed].filter((name) => !files.includes(name));
  assert.deepEqual(missing, [], "blocks of living objects are missing");
  const orphans = files.filter((name) => !needed.has(name));
  assert.ok(orphans.length === 0, `${orphans.length} of ${files.length} files are needed by nothing, such as ${orphans[0]}`);
}

async function allUploads(daemon: Daemon): Promise<{ key: string; upload: string }[]> {
  const found = await daemon.s3.uploads(BUCKET);
  assert.ok(found.length < 1000);
  return found;
}

/** @returns how many operations were acknowledged. */
async function writeUntilKilled(daemon: Daemon, histories: KeyHistories, draws: Draws): Promise<number> {
  let acknowledged = 0;
  const killed = new AbortController();
  const writers = Array.from({ length: WRITERS }, async () => {
    while (!killed.signal.aborted) {
      const key = `key-${draws.below(KEYS)}`;
      const dice = draws.next();
      const operation = histories.begin(key, dice < 0.2 ? undefined : newValue(draws, histories, dice > 0.97));
      try {
        if (operation.value === undefined) await daemon.s3.delete(BUCKET, key);
        else if (operation.value.parts > 1) await uploadInParts(daemon, key, operation.value);
        else operation.etag = await daemon.s3.put(BUCKET, key, storedBytes(operation.value));
        operation.acknowledge();
        acknowledged++;
      } catch (error) {
        // Overload may be answered so; everything else that is an answer is a fault.
        if (error instanceof S3Error && error.status !== 503) throw error;
        if (!(error instanceof S3Error) && !killed.signal.aborted && daemon.alive) throw error;
      }
    }
  });
  const all = Promise.all(writers);
  // A writer's failure shows when all are awaited; until then it must not count as unhandled.
  all.catch(() => {});
  // Moments are counted in operations, not in seconds: a slow machine is killed as often in the middle of things as a fast one.
  const enough = 20 + draws.below(300);
  await Promise.race([
    all,
    waitFor(`${enough} operations`, () => acknowledged >= enough || !daemon.alive, { withinMs: 60_000, everyMs: 5 }),
  ]);
  await pause(draws.below(30));
  assert.ok(daemon.alive, `the daemon ended by itself:\n${daemon.lastLog()}`);
  killed.abort();
  await daemon.kill();
  await all;
  return acknowledged;
}

/** One in eight times the bytes of another object: blocks that several objects share, stored and released at once. */
function newValue(draws: Draws, histories: KeyHistories, inParts: boolean): NewValue {
  if (inParts) return { bytes: 5 * 2 ** 20 + draws.below(2 ** 20), parts: 2 };
  const twins = draws.below(8) === 0 ? histories.recent() : [];
  if (twins.length > 0) {
    const { number, bytes, parts } = draws.one(twins);
    return { number, bytes, parts };
  }
  const kind = draws.next();
  const limit = kind < 0.1 ? 1 : kind < 0.5 ? INLINE_BYTES : kind < 0.8 ? 300_000 : 3 * 2 ** 20;
  return { bytes: draws.below(limit), parts: 1 };
}

async function uploadInParts(daemon: Daemon, key: string, value: Stored): Promise<void> {
  const bytes = storedBytes(value);
  const upload = await daemon.s3.startUpload(BUCKET, key);
  const etags = [
    await daemon.s3.uploadPart(BUCKET, key, upload, 1, bytes.subarray(0, 5 * 2 ** 20)),
    await daemon.s3.uploadPart(BUCKET, key, upload, 2, bytes.subarray(5 * 2 ** 20)),
  ];
  await daemon.s3.complete(BUCKET, key, upload, etags);
}

/** Reads every key and the listing, and settles what was unanswered by what is found. */
async function verify(daemon: Daemon, histories: KeyHistories): Promise<void> {
  const keys = histories.keys();
  const next = keys[Symbol.iterator]();
  const etags = new Map<string, { etag: string; bytes: number }>();
  await Promise.all(
    Array.from({ length: 8 }, async () => {
      for (const key of next) {
        const answer = await daemon.s3.get(BUCKET, key);
        histories.settle(key, answer?.body);
        if (answer) etags.set(key, { etag: (answer.headers.etag ?? "").replaceAll('"', ""), bytes: answer.body.byteLength });
      }
    }),
  );
  const listed = await daemon.s3.list(BUCKET, "", 50);
  assert.deepEqual(
    listed.map((one) => one.key),
    [...etags.keys()].sort(),
    "the listing has other keys than GET finds",
  );
  for (const { key, bytes, etag } of listed) assert.deepEqual({ etag, bytes }, etags.get(key), `listing of ${key}`);
  for (const [key, { etag }] of etags) assert.ok(histories.etagFits(key, etag), `ETag of ${key}: ${etag}`);
}
