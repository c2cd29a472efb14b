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
import { after, before, describe, test } from "node:test";
import { blockNames, content, Draws, textContent } from "./support/content.ts";
import { BUCKET, Daemon } from "./support/daemon.ts";
import { S3Error } from "./support/s3-client.ts";
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
