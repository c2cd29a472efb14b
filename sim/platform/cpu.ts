// The cpu of tests and of the simulator: everything at once on the calling thread, files on the simulated disk.
import { createHash } from "node:crypto";
import { zstdDecompressSync } from "node:zlib";
import type {
  BlockRead,
  BlockWritten,
  Cpu,
  CpuStats,
  DigestAlgorithm,
  Digester,
  Digests,
  ReadBlock,
  WriteBlock,
} from "../../src/platform/cpu.ts";
import { DiskError } from "../../src/platform/disk.ts";
import { compressIfSmaller } from "../../src/platform/node/block-files.ts";
import { Hashers } from "../../src/platform/node/hashers.ts";
import type { Hash } from "../../src/util/ids.ts";
import type { SimDisk } from "./disk.ts";

export class SimCpu implements Cpu {
  readonly asideToken: string;
  readonly #hashers: Hashers;
  readonly #disk: SimDisk;
  readonly #lent = new Set<ArrayBufferLike>();
  #asideCount = 0;
  #jobsDone = 0;
  #bytesInUse = 0;

  /** @param hashers  from `loadHashers`, which settles in real time: before the simulation begins. */
  constructor({
    hashers,
    disk,
    asideToken = "sim0",
  }: { readonly hashers: Hashers; readonly disk: SimDisk; readonly asideToken?: string }) {
    this.#hashers = hashers;
    this.#disk = disk;
    this.asideToken = asideToken;
  }

  static async loadHashers(): Promise<Hashers> {
    const hashers = new Hashers();
    await hashers.prepare(["CRC32C", "CRC64NVME"]);
    return hashers;
  }

  allocate(sizeBytes: number): Uint8Array {
    const bytes = new Uint8Array(sizeBytes).fill(0xa5);
    this.#lent.add(bytes.buffer);
    this.#bytesInUse += sizeBytes;
    return bytes;
  }

  /** What is freed is overwritten: whoever still reads it shows in tests. */
  free(bytes: Uint8Array): void {
    if (!this.#lent.delete(bytes.buffer)) return;
    this.#bytesInUse -= bytes.buffer.byteLength;
    new Uint8Array(bytes.buffer).fill(0x5a);
  }

  async digest(bytes: Uint8Array, algorithms: readonly DigestAlgorithm[]): Promise<Digests> {
    this.#jobsDone++;
    return this.#hashers.once(bytes, algorithms);
  }

  digester(algorithms: readonly DigestAlgorithm[]): Digester {
    const states = algorithms.map((algorithm) => this.#hashers.state(algorithm));
    return {
      update: async (bytes) => {
        for (const state of states) state.update(bytes);
      },
      finish: async () => Object.fromEntries(algorithms.map((algorithm, at) => [algorithm, states[at]?.digest()])),
      discard: () => {},
    };
  }

  async writeBlock({
    data,
    hash,
    paths,
    roots = [],
    verify,
    digests: wanted = [],
    compressionLevel,
    sync,
  }: WriteBlock): Promise<BlockWritten> {
    this.#jobsDone++;
    const digests = this.#hashers.once(data, wanted);
    const actual = sha256(data);
    if (verify && actual !== hash) return { outcome: "wrong-hash", actual, digests };
    const corrupted: string[] = [];
    for (const [at, path] of paths.entries()) {
      const device = roots[at]?.device;
      if (device !== undefined && this.#disk.image.deviceOf(path) !== device)
        throw new DiskError("disk.away", path, "another file system is mounted there");
      for (const suffix of ["", ".zst"]) {
        const stored = await this.#disk.read(path + suffix);
        if (stored === undefined) continue;
        if (Buffer.compare(unpack(stored, suffix, data.byteLength) ?? new Uint8Array(), data) === 0) {
          // Found is not yet durable: the process that wrote it may have died before its syncs.
          await this.#write(path + suffix, stored, sync);
          return { outcome: "existed", storedSize: stored.byteLength, digests, corrupted };
        }
        await this.#disk.rename(path + suffix, `${path}${suffix}.corrupted`);
        corrupted.push(`${path}${suffix}.corrupted`);
      }
    }
    const packed = compressionLevel === undefined ? undefined : compressIfSmaller(data, compressionLevel);
    await this.#write(paths[0] + (packed ? ".zst" : ""), packed ?? data, sync);
    return { outcome: "written", storedSize: (packed ?? data).byteLength, digests, corrupted };
  }

  #write(path: string, bytes: Uint8Array, sync: boolean): Promise<void> {
    return this.#disk.writeAside({ path, aside: `${path}.${this.asideToken}-${this.#asideCount++}.tmp`, bytes, sync });
  }

  async readBlock({ hash, paths, into, compressedFirst, setAside }: ReadBlock): Promise<BlockRead> {
    this.#jobsDone++;
    const corrupted: string[] = [];
    for (const path of paths)
      for (const suffix of compressedFirst ? [".zst", ""] : ["", ".zst"]) {
        const stored = await this.#disk.read(path + suffix);
        if (stored === undefined) continue;
        const bytes = unpack(stored, suffix, 1 << 30);
        if (bytes && bytes.byteLength > into.byteLength) return { outcome: "too-small" };
        if (bytes && sha256(bytes) === hash) {
          into.set(bytes);
          return { outcome: "ok", sizeBytes: bytes.byteLength, corrupted };
        }
        if (!setAside) return { outcome: "damaged", path: path + suffix };
        await this.#disk.rename(path + suffix, `${path}${suffix}.corrupted`);
        corrupted.push(`${path}${suffix}.corrupted`);
      }
    return { outcome: "absent", corrupted };
  }

  stats(): CpuStats {
    return { workers: 0, jobsUnderWay: 0, jobsDone: this.#jobsDone, workerDeaths: 0, bytesInUse: this.#bytesInUse, bytesKept: 0 };
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

function unpack(stored: Uint8Array, suffix: string, limit: number): Uint8Array | undefined {
  if (suffix === "") return stored;
  try {
    return zstdDecompressSync(stored, { maxOutputLength: limit });
  } catch {
    return undefined;
  }
}

function sha256(bytes: Uint8Array): Hash {
  return createHash("sha256").update(bytes).digest("hex") as Hash;
}
