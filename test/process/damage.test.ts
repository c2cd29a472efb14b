// Damage on disk is reported and never served: blocks as files, rows in the database.
import assert from "node:assert/strict";
import {
  closeSync,
  cpSync,
  existsSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  rmSync,
  statSync,
  truncateSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { after, before, describe, test } from "node:test";
import { blockNames, content, Draws, textContent } from "./support/content.ts";
import { BUCKET, Daemon } from "./support/daemon.ts";
import { S3Client, S3Error } from "./support/s3-client.ts";
import { waitFor } from "./support/wait-for.ts";

const FLIPS = Number(process.env["HANGAR_FLIPS"] ?? 6);

describe("damaged blocks", { timeout: 60_000 }, () => {
  let daemon: Daemon;
  const big = content(1, 3_500_000);
  const other = content(2, 1_500_000);
  const text = textContent(3, 700_000);
  before(async () => {
    daemon = await Daemon.run();
    await daemon.s3.put(BUCKET, "big", big);
    await daemon.s3.put(BUCKET, "other", other);
    await daemon.s3.put(BUCKET, "text", text);
    await daemon.s3.put(BUCKET, "small", content(4, 100));
  });
  after(async () => daemon?.dispose());

  const file = (hash: string, suffix = ""): string => join(daemon.dataDir, hash.slice(0, 2), hash.slice(2, 4), hash + suffix);

  test("a flipped bit: the GET fails, the block is listed, the rest is fine", async () => {
    const names = blockNames(big);
    flipBit(file(names[1] as string), 500_000);
    await neverServed("big", big);
    await listed(names[1] as string);
    // What lies in whole blocks can still be had.
    const first = await daemon.s3.get(BUCKET, "big", { headers: { range: "bytes=0-999999" } });
    assert.equal(first?.status, 206);
    assert.ok(first?.body.equals(big.subarray(0, 1_000_000)));
    await neverServed("big", big.subarray(1_100_000, 1_100_100), { range: "bytes=1100000-1100099" });
    assert.equal((await daemon.s3.head(BUCKET, "big"))?.headers["content-length"], String(big.byteLength));
    assert.ok((await daemon.s3.get(BUCKET, "other"))?.body.equals(other));
    assert.ok((await daemon.s3.get(BUCKET, "small"))?.body.equals(content(4, 100)));
  });

  test("it stays refused and listed over a restart, until the same bytes are written again", async () => {
    const [, name] = blockNames(big);
    await daemon.stop();
    await daemon.start();
    await neverServed("big", big);
    await listed(name as string);
    await daemon.s3.put(BUCKET, "big-again", big);
    assert.ok((await daemon.s3.get(BUCKET, "big"))?.body.equals(big), "the copy written anew serves both");
  });

  test("a compressed block", async () => {
    const [name] = blockNames(text);
    assert.ok(existsSync(file(name as string, ".zst")), "text is kept compressed");
    flipBit(file(name as string, ".zst"), statSync(file(name as string, ".zst")).size >> 1);
    await neverServed("text", text);
    await listed(name as string);
  });

  test("a truncated file, an empty file, no file", async () => {
    for (const [at, harm] of [
      (path: string) => truncateSync(path, 300_000),
      (path: string) => truncateSync(path, 0),
      (path: string) => rmSync(path),
    ].entries()) {
      const body = content(20 + at, 400_000);
      await daemon.s3.put(BUCKET, `harmed-${at}`, body);
      const [name] = blockNames(body);
      harm(file(name as string));
      await neverServed(`harmed-${at}`, body);
      await listed(name as string);
    }
  });

  test("a scrub finds what nobody reads", async () => {
    const body = content(30, 600_000);
    await daemon.s3.put(BUCKET, "unread", body);
    const [name] = blockNames(body);
    flipBit(file(name as string), 1);
    const started = await daemon.cli("repair", "scrub", "start");
    assert.equal(started.code, 0, started.stderr);
    await waitFor("the scrub lists it", async () => (await daemon.cli("block", "list-errors")).stdout.includes(name as string), {
      withinMs: 30_000,
      everyMs: 300,
    });
    await neverServed("unread", body);
  });

  /** An error, or a connection that breaks: never an answer that looks whole, never a wrong byte. */
  async function neverServed(key: string, right: Buffer, headers: Record<string, string> = {}): Promise<void> {
    const { request, answered } = daemon.s3.open("GET", `/${BUCKET}/${key}`, headers, { agent: false });
    request.end();
    const answer = await answered;
    const pieces: Buffer[] = [];
    let broken = false;
    try {
      for await (const piece of answer) pieces.push(piece as Buffer);
    } catch {
      broken = true;
    }
    const body = Buffer.concat(pieces);
    if ((answer.statusCode ?? 0) >= 300) {
      assert.ok((answer.statusCode ?? 0) >= 500, `${key}: ${answer.statusCode}`);
      assert.match(body.toString(), /<Code>\w+<\/Code><Message>[^<]{10,}/);
    } else {
      assert.ok(broken, `${key}: a damaged object was answered ${answer.statusCode} as if whole`);
      assert.ok(right.subarray(0, body.byteLength).equals(body), `${key}: wrong bytes were sent`);
    }
    assert.ok(daemon.alive);
  }

  async function listed(hash: string): Promise<void> {
    const result = await daemon.cli("block", "list-errors");
    assert.equal(result.code, 0, result.stderr);
    assert.match(result.stdout, new RegExp(hash));
  }
});

for (const engine of ["lmdb", "sqlite"])
  describe(`damaged rows in ${engine}`, { timeout: 120_000 }, () => {
    let daemon: Daemon;
    before(async () => {
      daemon = await Daemon.run({ settings: { db_engine: engine } });
      for (let at = 0; at < 40; at++) await daemon.s3.put(BUCKET, `row-${at}`, content(at, 3000 + at));
    });
    after(async () => daemon?.dispose());

    test("a flipped bit in an object's inline bytes", async () => {
      await daemon.stop();
      const path = databaseFile(daemon);
      const places = findAll(path, content(7, 3007).subarray(1000, 1064));
      assert.ok(places.length > 0, "the bytes are found in the database's file");
      for (const place of places) flipBit(path, place + 10);
      await daemon.start();
      const answer = await daemon.s3.send("GET", `/${BUCKET}/row-7`).catch((error: Error) => error);
      if (!(answer instanceof Error)) {
        assert.ok(answer.status >= 500, `damaged row answered ${answer.status}`);
        assert.match(answer.body.toString(), /<Code>\w+<\/Code><Message>[^<]{10,}/);
      }
      assert.ok(daemon.alive, "one damaged row does not end the daemon");
      for (let at = 8; at < 40; at++)
        assert.ok((await daemon.s3.get(BUCKET, `row-${at}`))?.body.equals(content(at, 3000 + at)), `row-${at}`);
    });

    test(`${FLIPS} random flips: refused, or served right`, async (t) => {
      const draws = Draws.fromEnvironment();
      t.diagnostic(`HANGAR_SEED=${draws.seed}`);
      await daemon.stop();
      const good = join(daemon.home, "good");
      cpSync(daemon.metadataDir, good, { recursive: true });
      const outcomes: string[] = [];
      for (let flip = 0; flip < FLIPS; flip++) {
        rmSync(daemon.metadataDir, { recursive: true });
        cpSync(good, daemon.metadataDir, { recursive: true });
        const path = databaseFile(daemon);
        const place = usedPlace(path, draws);
        flipBit(path, place);
        outcomes.push(`${place}: ${await tryAll()}`);
      }
      t.diagnostic(outcomes.join("; "));
    });

    async function tryAll(): Promise<string> {
      try {
        await daemon.start();
      } catch {
        await daemon.kill();
        return "refused to start";
      }
      let failed = 0;
      let absent = 0;
      for (let at = 8; at < 40; at++) {
        try {
          const answer = await daemon.s3.get(BUCKET, `row-${at}`, { timeoutMs: 5000 });
          // A flipped bit in a key: the row is elsewhere now. Reported, as no checksum of rows can tell.
          if (answer === undefined) absent++;
          else assert.ok(answer.body.equals(content(at, 3000 + at)), `row-${at} was served with wrong bytes`);
        } catch (error) {
          if (error instanceof assert.AssertionError) throw error;
          if (error instanceof S3Error) assert.ok(error.status >= 400);
          failed++;
          if (!daemon.alive) break;
        }
      }
      const ended = !daemon.alive;
      await daemon.kill();
      return ended ? "ended on reading it" : `${failed} objects refused, ${absent} not found`;
    }
  });

describe("damaged rows by what they hold", { timeout: 120_000 }, () => {
  let daemon: Daemon;
  before(async () => {
    daemon = await Daemon.run({ settings: { db_engine: "sqlite" } });
    for (let at = 0; at < 20; at++) await daemon.s3.put(BUCKET, `row-${at}`, content(at, 300));
  });
  after(async () => daemon?.dispose());

  /** Control rows: group ffff, a kind, an id. */
  const controlKey = (kind: number, id: string) => Buffer.concat([Buffer.of(0xff, 0xff, kind), Buffer.from(id)]);
  const whole = async (from = 0): Promise<void> => {
    for (let at = from; at < 20; at++) assert.ok((await daemon.s3.get(BUCKET, `row-${at}`))?.body.equals(content(at, 300)));
  };

  test("a key and a bucket: they are refused by name, everything else works", async () => {
    const key = (await daemon.admin("CreateKey", { name: "doomed" })) as { accessKeyId: string; secretAccessKey: string };
    const bucket = (await daemon.admin("CreateBucket", { globalAlias: "doomed" })) as { id: string };
    const rights = { read: true, write: true, owner: true };
    await daemon.admin("AllowBucketKey", { bucketId: bucket.id, accessKeyId: daemon.keyId, permissions: rights });
    await daemon.s3.put("doomed", "k", content(1, 10));
    await daemon.stop();
    changeRows(daemon, [controlKey(0x44, key.accessKeyId), controlKey(0x41, bucket.id)], "flip");
    await daemon.start();
    await whole();
    assert.match(daemon.lastLog(), new RegExp(`access key ${key.accessKeyId}`));
    assert.match(daemon.lastLog(), new RegExp(`bucket ${bucket.id}`));
    const identity = { keyId: key.accessKeyId, secret: key.secretAccessKey, region: "garage" };
    const refused = await new S3Client(daemon.host, daemon.s3Port, identity).send("GET", `/${BUCKET}/row-0`);
    assert.match(refused.body.toString(), /<Code>InvalidAccessKeyId</);
    for (const [method, target] of [
      ["GET", "/doomed/k"],
      ["GET", "/doomed?list-type=2"],
      ["PUT", "/doomed/k"],
      ["PUT", "/doomed"],
      ["DELETE", "/doomed"],
    ] as const) {
      const answer = await daemon.s3.send(method, target);
      assert.equal(answer.status, 500, `${method} ${target}`);
      assert.match(answer.body.toString(), /<Code>InternalError</);
    }
    assert.notEqual((await daemon.cli("bucket", "info", "doomed")).code, 0);
    assert.notEqual((await daemon.cli("bucket", "create", "doomed")).code, 0);
    await daemon.s3.must("PUT", "/another");
    assert.ok(daemon.alive);
  });

  test("the default key of the command line: the start says so and goes on for all others", async () => {
    const other = (await daemon.admin("CreateKey", { name: "other" })) as { accessKeyId: string; secretAccessKey: string };
    const found = (await daemon.admin("GetBucketInfo", { globalAlias: BUCKET })) as { id: string };
    const permissions = { read: true, write: false, owner: false };
    await daemon.admin("AllowBucketKey", { bucketId: found.id, accessKeyId: other.accessKeyId, permissions });
    await daemon.stop();
    changeRows(daemon, [controlKey(0x44, daemon.keyId)], "flip");
    await daemon.start();
    assert.match(daemon.lastLog(), /default key or bucket can't be used/);
    const identity = { keyId: other.accessKeyId, secret: other.secretAccessKey, region: "garage" };
    assert.equal((await new S3Client(daemon.host, daemon.s3Port, identity).send("GET", `/${BUCKET}/row-0`)).status, 200);
    await daemon.stop();
    changeRows(daemon, [controlKey(0x44, daemon.keyId)], "flip"); // the same bit: whole again
    await daemon.start();
    await whole();
  });

  test("all group rows and half of the rows beside them: it starts and writes", async () => {
    await daemon.stop();
    const keys = rowKeys(daemon).filter((row) => row.readUInt16BE() < 0xffff);
    const ofType = (type: number) => keys.filter((row) => row[2] === type);
    const objects = ofType(0x20).filter((_row, at) => at % 2 === 0);
    changeRows(daemon, [...ofType(0x01), ...ofType(0x12), ...objects], "zero");
    await daemon.start();
    for (let at = 0; at < 20; at++) await daemon.s3.put(BUCKET, `new-${at}`, content(at, 300));
    await daemon.s3.delete(BUCKET, "row-0");
    await whole(1);
    assert.equal((await daemon.s3.list(BUCKET)).length, 39);
  });

  test("counters that are gone: deletions and overwrites go on, and the next counters are right", async () => {
    await daemon.stop();
    const counters = rowKeys(daemon).filter((row) => row.readUInt16BE() < 0xffff && row[2] === 0x12);
    assert.ok(counters.length > 0);
    changeRows(daemon, counters, "remove");
    await daemon.start();
    for (let at = 0; at < 20; at++) await daemon.s3.delete(BUCKET, `new-${at}`);
    await whole(1);
    assert.ok(daemon.alive);
    const info = (await daemon.admin("GetBucketInfo", { globalAlias: BUCKET })) as { objects: number; bytes: number };
    assert.deepEqual([info.objects, info.bytes], [19, 19 * 300]);
  });

  test("the layout: it does not start, and says what is damaged and what to do", async () => {
    await daemon.stop();
    changeRows(daemon, [controlKey(0x46, "")], "flip");
    await assert.rejects(daemon.start());
    await daemon.kill();
    assert.match(daemon.lastLog(), /the layout with its history.*no safe default.*backup of metadata_dir/);
  });
});

function rowKeys(daemon: Daemon): Buffer[] {
  const database = new DatabaseSync(databaseFile(daemon));
  try {
    return database
      .prepare("SELECT key FROM rows")
      .all()
      .map(({ key }) => Buffer.from(key as Uint8Array));
  } finally {
    database.close();
  }
}

function changeRows(daemon: Daemon, keys: readonly Buffer[], how: "flip" | "zero" | "remove"): void {
  const database = new DatabaseSync(databaseFile(daemon));
  try {
    for (const key of keys) {
      const found = database.prepare("SELECT value FROM rows WHERE key = ?").get(key);
      assert.ok(found, `there is a row ${key.toString("hex")}`);
      const value = Buffer.from(found["value"] as Uint8Array);
      if (how === "flip") value[value.byteLength >> 1] = (value[value.byteLength >> 1] as number) ^ 0x10;
      if (how === "remove") database.prepare("DELETE FROM rows WHERE key = ?").run(key);
      else
        database
          .prepare("UPDATE rows SET value = ? WHERE key = ?")
          .run(how === "flip" ? value : Buffer.alloc(value.byteLength), key);
    }
  } finally {
    database.close();
  }
}

function databaseFile(daemon: Daemon): string {
  const files = readdirSync(daemon.metadataDir, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && /\.(mdb|sqlite)$/.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name));
  const [largest] = files.sort((a, b) => statSync(b).size - statSync(a).size);
  assert.ok(largest, `no database in ${readdirSync(daemon.metadataDir)}`);
  return largest;
}

/** A place whose surroundings are not all zero. */
function usedPlace(path: string, draws: Draws): number {
  const bytes = readFileSync(path);
  for (;;) {
    const place = draws.below(bytes.byteLength - 64);
    if (bytes.subarray(place, place + 64).some((byte) => byte !== 0)) return place;
  }
}

function findAll(path: string, wanted: Uint8Array): number[] {
  const bytes = readFileSync(path);
  const places: number[] = [];
  for (let at = bytes.indexOf(wanted); at >= 0; at = bytes.indexOf(wanted, at + 1)) places.push(at);
  return places;
}

function flipBit(path: string, place: number): void {
  const file = openSync(path, "r+");
  try {
    const byte = Buffer.alloc(1);
    readSync(file, byte, 0, 1, place);
    byte[0] = (byte[0] as number) ^ 0x10;
    writeSync(file, byte, 0, 1, place);
  } finally {
    closeSync(file);
  }
}
