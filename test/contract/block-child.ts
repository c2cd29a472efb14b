// A process that stores blocks as the daemon does, for the test that watches its system calls: block-child.ts DIRECTORY. After
// each block it syncs DIRECTORY/meta/commit, in place of the commit that would point to the block, and says which block it was
// and when.
import { createHash, randomBytes } from "node:crypto";
import { fsyncSync, mkdirSync, openSync, statSync, writeSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { NodeCpu } from "../../src/platform/node/cpu.ts";
import { createLog } from "../../src/platform/node/log.ts";
import type { Hash } from "../../src/util/ids.ts";

const directory = process.argv[2] as string;
for (const name of ["meta", "data"]) mkdirSync(join(directory, name));
const commit = openSync(join(directory, "meta/commit"), "w");
const { dev: device, ino: inode } = statSync(join(directory, "data"));
const roots = [{ device, inode }];
const cpu = new NodeCpu({}, { log: createLog({ level: "silent", format: "text" }) });

// More than 32 MiB: such memory always comes from the system as pages of its own, and so is aligned as direct writes want it.
const whole = cpu.allocate(33 * 2 ** 20);
whole.set(randomBytes(33 * 2 ** 20));
/** Neither is a multiple of a page, so that they go through the cache; a whole block goes past it. */
const plain = randomBytes(400_001);
const text = Buffer.alloc(300_001, "the quick brown fox\n");
for (const [kind, data] of [
  ["whole", whole],
  ["plain", plain],
  ["compressed", text],
  ["found", plain],
  ["found compressed", text],
] as const) {
  const fromMs = Date.now();
  const hash = createHash("sha256").update(data).digest("hex") as Hash;
  const paths = [join(directory, "data", hash.slice(0, 2), hash.slice(2, 4), hash)];
  const job = { data, hash, paths, roots, verify: false, compressionLevel: 1, sync: true };
  const { outcome } = await cpu.writeBlock(job);
  writeSync(commit, hash);
  fsyncSync(commit);
  // The clock is cut to whole milliseconds, the trace's is not.
  console.log(JSON.stringify({ kind, hash, outcome, fromMs, answeredMs: Date.now() + 1 }));
  while (Date.now() < fromMs + 5) await new Promise(setImmediate);
}
await cpu.close();
