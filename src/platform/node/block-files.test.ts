import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, describe, it } from "node:test";
import { zstdCompressSync, zstdDecompressSync } from "node:zlib";
import { ASIDE, BlockFiles, COMPRESSED, compressIfSmaller, CORRUPTED } from "./block-files.ts";

const root = mkdtempSync(join(tmpdir(), "hangar-block-files-"));
after(() => rmSync(root, { recursive: true }));

const files = new BlockFiles("test-");
const hashOf = (data: Uint8Array): string => createHash("sha256").update(data).digest("hex");
/** The number makes each unlike any other. */
const text = (number: number, bytes = 3000): Buffer => Buffer.alloc(bytes, `block ${number}: the quick brown fox\n`);

const write = (path: string, bytes: Uint8Array): Promise<void> =>
  files.write(path, bytes, { sync: true, device: statSync(root).dev });
const findSame = (path: string, data: Uint8Array) =>
  files.findSame({ paths: [path], devices: [statSync(root).dev], sync: true }, data);

function placeOf(data: Uint8Array): { readonly hash: string; readonly path: string } {
  const hash = hashOf(data);
  return { hash, path: `${root}/${hash.slice(0, 2)}/${hash.slice(2, 4)}/${hash}` };
}

/** @returns the file, as the worker would have written it. */
async function writeCompressed(data: Uint8Array): Promise<string> {
  const packed = compressIfSmaller(data, 1);
  assert.ok(packed);
  const file = placeOf(data).path + COMPRESSED;
  await write(file, packed);
  return file;
}

function readBack(data: Uint8Array, { setAside = false, roomBytes = data.byteLength } = {}) {
  const { hash, path } = placeOf(data);
  const into = new Uint8Array(roomBytes);
  return { read: files.read([path], hash, into, { compressedFirst: true, setAside }), into };
}

describe("a block's file", () => {
  it("that is compressed is served only with the bytes of its name, whichever bit of it has flipped", async () => {
    const data = text(1);
    const file = await writeCompressed(data);
    // A frame that carries no checksum of its own, which the format allows: most flips decode without a word.
    const stored = zstdCompressSync(data);
    let decodedWrong = 0;
    for (let bit = 0; bit < stored.byteLength * 8; bit++) {
      const flipped = Buffer.from(stored);
      flipped[bit >> 3]! ^= 1 << (bit & 7);
      writeFileSync(file, flipped);
      let decoded: Buffer | undefined;
      try {
        decoded = zstdDecompressSync(flipped, { maxOutputLength: data.byteLength });
      } catch {
        // The frame's own checks saw it.
      }
      if (decoded && !decoded.equals(data)) decodedWrong++;
      const { read, into } = readBack(data);
      if (read.outcome === "ok")
        assert.ok(read.sizeBytes === data.byteLength && data.equals(into), `bit ${bit} gives other bytes`);
      else assert.ok(read.outcome === "damaged" || read.outcome === "too-small", `bit ${bit}: ${read.outcome}`);
    }
    assert.ok(decodedWrong > 0, "no flip got past the frame's own checks: nothing was shown about the hash");
  });

  it("that holds another block's whole frame is damaged, and set aside", async () => {
    const data = text(2);
    const file = await writeCompressed(data);
    writeFileSync(file, compressIfSmaller(text(3), 1) as Uint8Array);
    assert.deepEqual(readBack(data).read, { outcome: "damaged", path: file });
    assert.deepEqual(readBack(data, { setAside: true }).read, { outcome: "absent", corrupted: [file + CORRUPTED] });
    assert.ok(!existsSync(file) && existsSync(file + CORRUPTED));
  });

  it("that is plain is served only whole: other bytes, a piece of it or more than it are damaged", async () => {
    const data = randomBytes(5000);
    const { path } = placeOf(data);
    await write(path, data);
    assert.equal(readBack(data).read.outcome, "ok");
    assert.equal(readBack(data, { roomBytes: 4999 }).read.outcome, "too-small");
    const other = Buffer.from(data);
    other[4000]! ^= 1;
    for (const bytes of [other, data.subarray(0, 4999), Buffer.alloc(0), Buffer.concat([data, Buffer.from([0])])]) {
      writeFileSync(path, bytes);
      assert.equal(readBack(data, { roomBytes: 6000 }).read.outcome, "damaged", `${bytes.byteLength} bytes`);
    }
  });

  it("counts as there only when its bytes are the same; what isn't is set aside, and the block written anew", async () => {
    for (const compressed of [false, true]) {
      const data = compressed ? text(4) : randomBytes(3000);
      const { path } = placeOf(data);
      const file = compressed ? await writeCompressed(data) : path;
      if (!compressed) await write(file, data);
      const sizeBytes = readFileSync(file).byteLength;
      assert.deepEqual(await findSame(path, data), { storedSize: sizeBytes, at: 0, corrupted: [] });
      const wrong = readFileSync(file);
      wrong[wrong.byteLength >> 1]! ^= 1;
      writeFileSync(file, wrong);
      assert.deepEqual(await findSame(path, data), { storedSize: undefined, at: 0, corrupted: [file + CORRUPTED] });
      assert.ok(!existsSync(file));
      await write(path, data);
      assert.equal(readBack(data).read.outcome, "ok");
    }
  });

  it("that can't be given its name leaves nothing aside", async () => {
    for (const bytes of [5000, 128 * 1024]) {
      const data = randomBytes(bytes);
      const { path } = placeOf(data);
      mkdirSync(path, { recursive: true });
      await assert.rejects(write(path, data));
      assert.deepEqual(
        readdirSync(dirname(path)).filter((name) => name.endsWith(ASIDE)),
        [],
      );
    }
  });
});
