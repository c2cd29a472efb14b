// An HTTP client that sends exactly the bytes it is told, and shows exactly what came back. For tests of what no client library
// would send.
import { connect, type Socket } from "node:net";

export interface RawAnswer {
  readonly status: number;
  /** Lower-case names. */
  readonly headers: ReadonlyMap<string, string>;
  readonly body: Buffer;
}

const DEADLINE_MS = 60_000;

export class RawClient {
  readonly socket: Socket;
  #received: Buffer = Buffer.alloc(0);
  #ended = false;
  #closed = false;
  /** Set when the connection was reset instead of closed. */
  error: NodeJS.ErrnoException | undefined;
  #wake: () => void = () => undefined;

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on("data", (piece: Buffer) => {
      this.#received = Buffer.concat([this.#received, piece]);
      this.#wake();
    });
    socket.on("end", () => {
      this.#ended = true;
      this.#wake();
    });
    socket.on("error", (error) => {
      this.error = error;
    });
    socket.on("close", () => {
      this.#closed = true;
      this.#wake();
    });
  }

  /** @param from  the address of this end, for a client that is not 127.0.0.1. */
  static async connect(address: { host: string; port: number } | { path: string }, from?: string): Promise<RawClient> {
    const local = from === undefined ? undefined : { localAddress: from };
    const socket = connect({ ...address, ...local, noDelay: true, allowHalfOpen: true });
    const client = new RawClient(socket);
    await new Promise<void>((resolve, reject) => {
      socket.once("connect", resolve);
      socket.once("error", reject);
    });
    return client;
  }

  send(...parts: (string | Uint8Array)[]): void {
    for (const part of parts) this.socket.write(part);
  }

  /** What came and was not taken yet. */
  get received(): Buffer {
    return this.#received;
  }
  get ended(): boolean {
    return this.#ended || this.#closed;
  }

  /** Takes one answer (also a 1xx one). `head`: the request was HEAD. Without length and chunks it reads to the end. */
  async answer({ head = false }: { head?: boolean } = {}): Promise<RawAnswer> {
    await this.until(() => this.#received.includes("\r\n\r\n"), "the head of an answer");
    const end = this.#received.indexOf("\r\n\r\n");
    const [line = "", ...lines] = this.#received.toString("latin1", 0, end).split("\r\n");
    this.#received = this.#received.subarray(end + 4);
    const headers = new Map<string, string>();
    for (const text of lines) {
      const colon = text.indexOf(":");
      headers.set(text.slice(0, colon).toLowerCase(), text.slice(colon + 1).trim());
    }
    const status = Number(line.split(" ")[1]);
    if (head || status < 200 || status === 204 || status === 304) return { status, headers, body: Buffer.alloc(0) };
    return { status, headers, body: await this.#body(headers) };
  }

  async #body(headers: ReadonlyMap<string, string>): Promise<Buffer> {
    const length = headers.get("content-length");
    if (length !== undefined) return this.take(Number(length));
    if (headers.get("transfer-encoding") !== "chunked") {
      await this.closed();
      return this.take(this.#received.byteLength);
    }
    const parts: Buffer[] = [];
    for (;;) {
      await this.until(() => this.#received.includes("\r\n"), "a chunk's size");
      const end = this.#received.indexOf("\r\n");
      const size = Number.parseInt(this.#received.toString("latin1", 0, end), 16);
      this.#received = this.#received.subarray(end + 2);
      const chunk = await this.take(size + 2);
      if (size === 0) return Buffer.concat(parts);
      parts.push(chunk.subarray(0, size));
    }
  }

  async take(bytes: number): Promise<Buffer> {
    await this.until(() => this.#received.byteLength >= bytes, `${bytes} bytes`);
    const taken = this.#received.subarray(0, bytes);
    this.#received = this.#received.subarray(bytes);
    return taken;
  }

  /** Until the server closed its side (or reset the connection). */
  async closed(): Promise<void> {
    await this.#wait(() => this.ended, "the end of the connection");
  }

  async until(condition: () => boolean, what: string): Promise<void> {
    await this.#wait(() => condition() || this.ended, what);
    if (!condition()) throw new Error(`the connection ended before ${what} came (${this.error?.code ?? "no error"})`);
  }

  async #wait(condition: () => boolean, what: string): Promise<void> {
    const deadline = Date.now() + DEADLINE_MS;
    while (!condition()) {
      const left = deadline - Date.now();
      if (left <= 0)
        throw new Error(
          `${what} did not come within ${DEADLINE_MS} ms; received: ${this.#received.toString("latin1").slice(0, 500)}`,
        );
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }

  destroy(): void {
    this.socket.destroy();
  }
}

/** Waits for a condition that no event tells; fails after a deadline. */
export async function eventually(condition: () => boolean, what: string): Promise<void> {
  const deadline = Date.now() + DEADLINE_MS;
  while (!condition()) {
    if (Date.now() > deadline) throw new Error(`${what}: did not come true within ${DEADLINE_MS} ms`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** Waits until a figure stands still (back pressure has reached its source). */
export async function settled(figure: () => number, what: string): Promise<number> {
  const deadline = Date.now() + DEADLINE_MS;
  for (let last = figure(), still = 0; ; ) {
    await new Promise((resolve) => setTimeout(resolve, 10));
    const now = figure();
    still = now === last ? still + 1 : 0;
    last = now;
    if (still >= 20) return now;
    if (Date.now() > deadline) throw new Error(`${what}: never stood still`);
  }
}
