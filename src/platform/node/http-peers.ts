/** A remote address and its connections. */
export interface Peer {
  readonly name: string;
  connections: number;
}

/**
 * Who holds how many of a listener's connections. There is no fixed share: behind a proxy all clients have one address. But the
 * last eighth is kept for addresses that hold less than half, so that none keeps all others out, however busy its connections
 * are.
 */
export class Peers {
  readonly #max: number;
  readonly #peers = new Map<string, Peer>();
  #connections = 0;

  constructor(max: number) {
    this.#max = max;
  }

  /**
   * @param address  as the socket has it; "" for a unix socket's client. Addresses of IPv6 are taken by /64: whoever has one has
   * all of it.
   */
  of(address: string): Peer {
    const name = networkOf(address);
    return this.#peers.get(name) ?? { name, connections: 0 };
  }

  isGreedy({ connections }: Peer): boolean {
    return connections * 2 >= this.#max;
  }

  hasRoomFor(peer: Peer): boolean {
    return this.#connections < (this.isGreedy(peer) ? this.#max - Math.floor(this.#max / 8) : this.#max);
  }

  add(peer: Peer): void {
    this.#connections++;
    peer.connections++;
    this.#peers.set(peer.name, peer);
  }

  remove(peer: Peer): void {
    this.#connections--;
    peer.connections--;
    if (peer.connections === 0) this.#peers.delete(peer.name);
  }
}

/** An IPv4 address as it is, also one that is mapped into IPv6; the first four groups of another IPv6 address. */
export function networkOf(address: string): string {
  if (!address.includes(":")) return address;
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address);
  if (mapped !== null) return mapped[1]!;
  const [head = "", tail] = address.replace(/%.*$/, "").split("::");
  const groups = head === "" ? [] : head.split(":");
  if (tail !== undefined) {
    const after = tail === "" ? 0 : tail.split(":").length;
    while (groups.length + after < 8) groups.push("0");
  }
  return `${[...groups, ...(tail ? tail.split(":") : [])].slice(0, 4).join(":")}::/64`;
}
