import { createPrivateKey, createPublicKey, randomBytes } from "node:crypto";
import { chmodSync, closeSync, existsSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, writeSync } from "node:fs";
import { join } from "node:path";
import type { NodeId } from "../../util/ids.ts";

/** DER head of an Ed25519 private key (RFC 8410), in front of its 32-byte seed. */
const PKCS8_HEAD = Buffer.from("302e020100300506032b657004220420", "hex");

export interface NodeKey {
  readonly id: NodeId;
  /** 32 bytes; secret. */
  readonly seed: Buffer;
}

/**
 * The node's identity: Ed25519, in metadata_dir/node_key (seed and public key, 64 bytes, mode 0600) and node_key.pub (32 bytes),
 * as Garage has them. Made on the first start; synced before anything else is written, so that a store never changes its
 * identity.
 *
 * @throws Error with a sentence for the operator when the files are there and can't be right.
 */
export function loadNodeKey(metadataDir: string): NodeKey {
  mkdirSync(metadataDir, { recursive: true, mode: 0o700 });
  const file = join(metadataDir, "node_key");
  if (existsSync(file)) {
    const bytes = readFileSync(file);
    const seed = bytes.subarray(0, 32);
    if (bytes.byteLength !== 64 || !publicKey(seed).equals(bytes.subarray(32))) {
      throw new Error(
        `${file} is damaged (a node key has 64 bytes: seed and public key). Restore it from a backup: without it this store can't be joined again under its old id.`,
      );
    }
    writeOnce(join(metadataDir, "node_key.pub"), bytes.subarray(32), 0o644);
    return { id: bytes.toString("hex", 32) as NodeId, seed };
  }
  const seed = randomBytes(32);
  const id = publicKey(seed);
  writeOnce(file, Buffer.concat([seed, id]), 0o600);
  writeOnce(join(metadataDir, "node_key.pub"), id, 0o644);
  return { id: id.toString("hex") as NodeId, seed };
}

function publicKey(seed: Uint8Array): Buffer {
  const key = createPrivateKey({ key: Buffer.concat([PKCS8_HEAD, seed]), format: "der", type: "pkcs8" });
  return createPublicKey(key).export({ format: "der", type: "spki" }).subarray(-32);
}

function writeOnce(path: string, bytes: Uint8Array, mode: number): void {
  if (existsSync(path)) return;
  const file = openSync(`${path}.new`, "w", mode);
  writeSync(file, bytes);
  fsyncSync(file);
  closeSync(file);
  chmodSync(`${path}.new`, mode);
  renameSync(`${path}.new`, path);
  const directory = openSync(join(path, ".."), "r");
  fsyncSync(directory);
  closeSync(directory);
}
