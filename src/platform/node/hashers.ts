import { createHash, hash as hashOnce } from "node:crypto";
import { crc32 } from "node:zlib";
import type { IHasher } from "hash-wasm";
import type { DigestAlgorithm, Digests } from "../cpu.ts";

/**
 * The checksum algorithms over native code: MD5 and SHA by node:crypto, CRC32 by zlib, CRC32C by @node-rs/crc32 (5 GB/s),
 * CRC64NVME by hash-wasm (1.1 GB/s). The last two are loaded on first use.
 */
export class Hashers {
  #crc32c: ((bytes: Uint8Array, state?: number) => number) | undefined;
  #crc64: IHasher | undefined;

  /** Must have settled before a state of these algorithms is made. Undefined when nothing is left to load. */
  prepare(algorithms: readonly DigestAlgorithm[]): Promise<void> | undefined {
    const wants32c = this.#crc32c === undefined && algorithms.includes("CRC32C");
    const wants64 = this.#crc64 === undefined && algorithms.includes("CRC64NVME");
    return wants32c || wants64 ? this.#load(wants32c, wants64) : undefined;
  }

  async #load(wants32c: boolean, wants64: boolean): Promise<void> {
    if (wants32c) this.#crc32c = (await import("@node-rs/crc32")).crc32c as (bytes: Uint8Array, state?: number) => number;
    if (wants64) this.#crc64 = await (await import("hash-wasm")).createCRC64("9a6c9329ac4bc9b5");
  }

  /** Digests of one piece. */
  once(bytes: Uint8Array, algorithms: readonly DigestAlgorithm[]): Digests {
    const digests: Partial<Record<DigestAlgorithm, Uint8Array>> = {};
    for (const algorithm of algorithms) {
      if (algorithm === "MD5" || algorithm === "SHA1" || algorithm === "SHA256")
        digests[algorithm] = hashOnce(NODE_NAMES[algorithm], bytes, "buffer");
      else {
        const state = this.state(algorithm);
        state.update(bytes);
        digests[algorithm] = state.digest();
      }
    }
    return digests;
  }

  /** A running checksum. */
  state(algorithm: DigestAlgorithm): HashState {
    switch (algorithm) {
      case "MD5":
      case "SHA1":
      case "SHA256":
        return cryptoState(algorithm);
      case "CRC32":
        return crcState(crc32);
      case "CRC32C":
        return crcState(loaded(this.#crc32c));
      case "CRC64NVME":
        return crc64State(loaded(this.#crc64));
    }
  }
}

export interface HashState {
  update(bytes: Uint8Array): void;
  digest(): Uint8Array;
}

const NODE_NAMES = { MD5: "md5", SHA1: "sha1", SHA256: "sha256" } as const;

function loaded<T>(part: T | undefined): T {
  if (part === undefined) throw new Error("prepare() comes first");
  return part;
}

function cryptoState(algorithm: keyof typeof NODE_NAMES): HashState {
  const hash = createHash(NODE_NAMES[algorithm]);
  return {
    update: (bytes) => void hash.update(bytes),
    digest: () => hash.digest(),
  };
}

function crcState(crc: (bytes: Uint8Array, state?: number) => number): HashState {
  let state = 0;
  return {
    update(bytes) {
      state = crc(bytes, state);
    },
    digest() {
      const out = new Uint8Array(4);
      new DataView(out.buffer).setUint32(0, state);
      return out;
    },
  };
}

/** One WASM instance serves all streams: it costs 64 KiB and more each, while saving and loading a state costs a microsecond. */
function crc64State(hasher: IHasher): HashState {
  let saved: Uint8Array | undefined;
  const resume = (): void => {
    if (saved) hasher.load(saved);
    else hasher.init();
  };
  return {
    update(bytes) {
      resume();
      hasher.update(bytes);
      saved = hasher.save();
    },
    digest() {
      resume();
      return hasher.digest("binary");
    },
  };
}
