import { createHash, createHmac } from "node:crypto";

/** How far the two clocks of one machine may be apart: a proof can't be used again later. */
export const PROOF_WINDOW_MS = 300_000;

/**
 * What a command on the daemon's machine sends to show that it knows rpc_secret, bound to the request.
 * @param rpcSecret  64 hex. @param time  wall milliseconds as text.
 * @returns 64 hex; the header is "Authorization: Hangar-RPC <time> <proof>".
 */
export function localProof(parts: {
  readonly rpcSecret: string;
  readonly time: string;
  readonly method: string;
  readonly target: string;
  readonly body: Uint8Array;
}): string {
  const { rpcSecret, time, method, target, body } = parts;
  const bodyHash = createHash("sha256").update(body).digest("hex");
  return createHmac("sha256", Buffer.from(rpcSecret, "hex"))
    .update(`hangar-local\n${time}\n${method}\n${target}\n${bodyHash}`)
    .digest("hex");
}
