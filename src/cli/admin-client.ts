import { request } from "node:http";
import { dirname } from "node:path";
import { localProof } from "../util/local-proof.ts";
import { localSocketPath } from "../util/local-socket.ts";
import { CommandError } from "./fail.ts";
import type { Loaded } from "./files.ts";

/** Calls admin operations of the daemon on this machine, over its private socket, proving rpc_secret. */
export class AdminClient {
  readonly #loaded: Loaded;

  constructor(loaded: Loaded) {
    if (loaded.secrets.rpcSecret === undefined)
      throw new CommandError(
        // Misspelt, it is among the warnings.
        [`${loaded.path}: rpc_secret (or rpc_secret_file) is required to talk to the daemon`, ...loaded.warnings].join("\n  "),
      );
    this.#loaded = loaded;
  }

  get(name: string, query: Readonly<Record<string, string>> = {}): Promise<unknown> {
    return this.#call("GET", name, query, undefined);
  }

  post(name: string, body: unknown, query: Readonly<Record<string, string>> = {}): Promise<unknown> {
    return this.#call("POST", name, query, body);
  }

  /**
   * Any operation by name, as `json-api` has it: fields that are query parameters go there, the rest is the body; {"id": …,
   * "body": …} says it outright. The daemon knows which is which.
   */
  call(name: string, input: unknown): Promise<unknown> {
    return this.#call("POST", `json-api/${name}`, {}, input);
  }

  #call(method: string, name: string, query: Readonly<Record<string, string>>, json: unknown): Promise<unknown> {
    const { config, secrets } = this.#loaded;
    const search = new URLSearchParams(query).toString();
    const target = `/v2/${name}${search ? `?${search}` : ""}`;
    const body = Buffer.from(json === undefined ? "" : JSON.stringify(json));
    const time = String(Date.now());
    const proof = localProof({ rpcSecret: secrets.rpcSecret as string, time, method, target, body });
    const { path, base } = localSocketPath(config.metadataDir);
    // A socket's path has 107 bytes at most: from inside its directory the name alone is enough.
    if (base !== undefined) process.chdir(dirname(base));
    return new Promise((resolve, reject) => {
      const call = request(
        {
          socketPath: path,
          method,
          path: target,
          headers: { authorization: `Hangar-RPC ${time} ${proof}`, "content-length": body.byteLength, host: "localhost" },
        },
        (answer) => {
          const pieces: Buffer[] = [];
          answer.on("data", (piece: Buffer) => pieces.push(piece));
          answer.on("error", reject);
          answer.on("end", () => {
            const text = Buffer.concat(pieces).toString("utf8");
            let value: unknown;
            try {
              value = JSON.parse(text);
            } catch {
              reject(new CommandError(`the daemon's answer can't be read: ${text.slice(0, 200)}`));
              return;
            }
            if (answer.statusCode === 200) resolve(value);
            else reject(new CommandError((value as { message?: string }).message ?? text));
          });
        },
      );
      call.on("error", (error: NodeJS.ErrnoException) => {
        const hint =
          error.code === "ENOENT" || error.code === "ECONNREFUSED" ? "is the daemon running? (`hangar server`)" : error.message;
        reject(new CommandError(`cannot reach the daemon of ${config.metadataDir}: ${hint}`));
      });
      call.end(body);
    });
  }
}
