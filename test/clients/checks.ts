import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { createReadStream, readdirSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";
import { etagOf, type S3Client } from "../process/support/s3-client.ts";

export async function sha256OfFile(path: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const piece of createReadStream(path, { highWaterMark: 2 ** 20 })) hash.update(piece as Buffer);
  return hash.digest("hex");
}

export async function sameFile(left: string, right: string): Promise<void> {
  assert.equal(await sha256OfFile(left), await sha256OfFile(right), `${left} and ${right} differ`);
}

/** Every file of a folder, by its path in it. */
export function filesIn(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)))
    .sort();
}

export function sameTree(left: string, right: string): void {
  assert.deepEqual(filesIn(left), filesIn(right));
  for (const name of filesIn(left)) assert.ok(readFileSync(join(left, name)).equals(readFileSync(join(right, name))), name);
}

/** Content and time of every object: the same before and after means that nothing was moved. */
export async function snapshot(s3: S3Client, bucket: string, prefix: string): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for (const { key } of await s3.list(bucket, prefix)) {
    const head = await s3.head(bucket, key);
    found[key] = head ? `${etagOf(head)} ${head.headers["last-modified"]} ${head.headers["x-amz-version-id"] ?? ""}` : "absent";
  }
  return found;
}

/** That a presigned URL gives the bytes to somebody without a key, and nothing once its signature is altered. */
export async function fetches(url: string, expected: Uint8Array): Promise<void> {
  const answer = await fetch(url);
  const body = Buffer.from(await answer.arrayBuffer());
  assert.equal(answer.status, 200, `${url}: ${body.toString("utf8", 0, 300)}`);
  assert.ok(body.equals(expected), "other bytes than were stored");
  const altered = url.replace(/(Signature=.{10})(.)/, (_, head: string, one: string) => head + (one === "0" ? "1" : "0"));
  assert.notEqual(altered, url);
  const refused = await fetch(altered);
  await refused.arrayBuffer();
  assert.equal(refused.status, 403, "an altered signature is refused");
}
