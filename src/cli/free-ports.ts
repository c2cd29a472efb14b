import { createServer } from "node:net";
import { address } from "../config/values.ts";
import { CommandError } from "./fail.ts";

/** What a new store listens on. */
export interface Addresses {
  readonly s3: string;
  readonly rpc: string;
  readonly admin: string;
  /** The usual addresses that another program has, so that others were chosen. */
  readonly taken: readonly string[];
}

/** S3's conventional port; 3901 is for nodes and 3903 for administration. */
const USUAL_PORT = 3900;
const RPC_OFFSET = 1;
const ADMIN_OFFSET = 3;
/** Where the next three ports are looked for when one of these is taken, and how often. */
const STEP = 10;
const MAX_TRIES = 100;

/**
 * Free addresses for a new store: 127.0.0.1:3900 for S3 and the ports beside it, or the next ones where another program has one
 * of them.
 *
 * @param bind  the address for S3 that was asked for; it is taken as it is, and only the others are chosen.
 * @throws CommandError when `bind` is no address or can't be had.
 */
export async function chooseAddresses(bind: string | undefined): Promise<Addresses> {
  const wanted = bind === undefined ? undefined : parsedBind(bind);
  if (wanted && bind !== undefined) {
    const fault = wanted.port === undefined ? undefined : await faultOf(wanted.host, wanted.port);
    if (fault !== undefined) throw new CommandError(`--bind ${bind}: ${fault}`);
  }
  // Only S3 is for other machines to reach, when it was asked for.
  const host = wanted && /^127\./.test(wanted.host) ? wanted.host : "127.0.0.1";
  if (wanted?.port === 0) return { s3: bind as string, rpc: `${host}:0`, admin: `${host}:0`, taken: [] };
  const taken: string[] = [];
  for (let attempt = 0; attempt < MAX_TRIES; attempt++) {
    const base = baseOf(wanted?.port ?? USUAL_PORT, attempt);
    const s3 = bind ?? `${host}:${base}`;
    const [rpc, admin] = [base + RPC_OFFSET, base + ADMIN_OFFSET];
    const busy: number[] = [];
    for (const port of bind === undefined ? [base, rpc, admin] : [rpc, admin])
      if ((await faultOf(host, port)) !== undefined) busy.push(port);
    if (busy.length === 0) return { s3, rpc: `${host}:${rpc}`, admin: `${host}:${admin}`, taken };
    if (attempt === 0) taken.push(...busy.map((port) => `${host}:${port}`));
  }
  throw new CommandError(`no three ports are free on ${host}: give an address with --bind, and stop what has so many ports`);
}

/** Room for three ports from here on; near the end of all ports, from the usual place. */
function baseOf(first: number, attempt: number): number {
  const base = first + attempt * STEP;
  return base + ADMIN_OFFSET <= 65_535 ? base : USUAL_PORT + attempt * STEP;
}

function parsedBind(bind: string): { readonly host: string; readonly port: number | undefined } {
  const read = address({ socket: true })(bind);
  if (!read.ok) throw new CommandError(`--bind ${bind}: ${read.fault}`);
  const match = /^\[?(.*?)\]?:(\d+)$/.exec(bind);
  return match && !bind.startsWith("/") ? { host: match[1] as string, port: Number(match[2]) } : { host: "", port: undefined };
}

/** Why nothing can listen there now; undefined: it can. */
function faultOf(host: string, port: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once("error", (error: NodeJS.ErrnoException) => {
      resolve(error.code === "EADDRINUSE" ? "another program listens there; give another address" : error.message);
    });
    probe.listen({ host, port, exclusive: true }, () => probe.close(() => resolve(undefined)));
  });
}
