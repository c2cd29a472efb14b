import { argon2, timingSafeEqual } from "node:crypto";

/**
 * Hashes of admin tokens. Tokens carry 256 random bits, so the hash need not be slow for safety; Argon2id all the same, with the
 * smallest parameters of OWASP's list, because that is what operators expect to find in a copy of the metadata. It takes some 15
 * ms of a core: always on a thread of libuv's pool, never on the event loop, which has everybody's requests to serve.
 */
const MEMORY_KIB = 7168;
const PASSES = 5;

export async function hashToken(token: string, salt: Uint8Array): Promise<string> {
  const digest = await digestOf(token, salt);
  return `$argon2id$v=19$m=${MEMORY_KIB},t=${PASSES},p=1$${Buffer.from(salt).toString("base64url")}$${digest.toString("base64url")}`;
}

export async function tokenFits(token: string, hash: string): Promise<boolean> {
  const [, kind, , , salt, expected] = hash.split("$");
  if (kind !== "argon2id" || salt === undefined || expected === undefined) return false;
  const want = Buffer.from(expected, "base64url");
  const have = await digestOf(token, Buffer.from(salt, "base64url"));
  return want.length === have.length && timingSafeEqual(want, have);
}

function digestOf(token: string, salt: Uint8Array): Promise<Buffer> {
  const parameters = { message: token, nonce: salt, parallelism: 1, tagLength: 32, memory: MEMORY_KIB, passes: PASSES };
  return new Promise((resolve, reject) => {
    argon2("argon2id", parameters, (error, digest) => (error ? reject(error) : resolve(digest)));
  });
}
