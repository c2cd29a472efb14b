import { argon2Sync, timingSafeEqual } from "node:crypto";

/**
 * Hashes of admin tokens. Tokens carry 256 random bits, so the hash need not be slow for safety; Argon2id all the same, with the
 * smallest parameters of OWASP's list, because that is what operators expect to find in a copy of the metadata.
 */
const MEMORY_KIB = 7168;
const PASSES = 5;

export function hashToken(token: string, salt: Uint8Array): string {
  return `$argon2id$v=19$m=${MEMORY_KIB},t=${PASSES},p=1$${Buffer.from(salt).toString("base64url")}$${digest(token, salt).toString("base64url")}`;
}

export function tokenFits(token: string, hash: string): boolean {
  const [, kind, , , salt, expected] = hash.split("$");
  if (kind !== "argon2id" || salt === undefined || expected === undefined) return false;
  const want = Buffer.from(expected, "base64url");
  const have = digest(token, Buffer.from(salt, "base64url"));
  return want.length === have.length && timingSafeEqual(want, have);
}

function digest(token: string, salt: Uint8Array): Buffer {
  return argon2Sync("argon2id", {
    message: token,
    nonce: salt,
    parallelism: 1,
    tagLength: 32,
    memory: MEMORY_KIB,
    passes: PASSES,
  });
}
