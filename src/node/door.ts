import type { HttpListener } from "../platform/http.ts";
import { StartError } from "./node-options.ts";

/** An address of the configuration can't be listened on; the message names the key and the address. */
export class DoorError extends StartError {
  /** As it stands in the file: `[s3_api] api_bind_addr`. */
  readonly key: string;
  constructor(message: string, key: string, options: ErrorOptions) {
    super(message, options);
    this.name = "DoorError";
    this.key = key;
  }
}

/** Opens a listener. @throws DoorError when the operator has to change the address, or who has it */
export async function openDoor(
  key: string,
  address: string,
  listen: (address: string) => Promise<HttpListener>,
): Promise<HttpListener> {
  try {
    return await listen(address);
  } catch (error) {
    const reason = REASONS[(error as NodeJS.ErrnoException).code ?? ""];
    if (reason === undefined) throw error;
    throw new DoorError(`${key} = "${address}": ${reason}`, key, { cause: error });
  }
}

const REASONS: Readonly<Record<string, string>> = {
  EADDRINUSE: "this address is in use already. Is another daemon running? Stop what has it, or give another address",
  EADDRNOTAVAIL: "this address is none of this machine's",
  ENOTFOUND: "the host name can't be resolved",
  EAI_AGAIN: "the host name can't be resolved",
  EACCES: "this user has no right to listen there",
};
