import { BlockError } from "../../block/block-store.ts";
import type { Digester } from "../../platform/cpu.ts";
import type { Hash } from "../../util/ids.ts";
import type { BlockEntry, Body } from "../commands.ts";
import { ServiceError, type Upload, type UploadRefusal } from "../object-service.ts";
import type { BlockPlacer } from "./block-placer.ts";
import type { BodyWriterOptions, BodyWriterModules } from "./body-writer.ts";
import { verifyUpload, wantedDigests } from "./checks.ts";
import type { UploadTarget, WrittenBody } from "./data-path.ts";
import type { UploadLease } from "./upload-lease.ts";
import type { CuttableStream, StalledStreams } from "./stalled-streams.ts";

interface BlockBodyOptions extends BodyWriterOptions {
  readonly upload: Upload;
  readonly target: UploadTarget;
  readonly pending: UploadLease;
}

interface BlockBodyModules extends BodyWriterModules {
  readonly placer: BlockPlacer;
  readonly stalled: StalledStreams;
}

/** One body on its way into blocks. It holds memory for the block that it fills, and for those that are on their way to disk. */
export class BlockBody implements CuttableStream {
  readonly #options: BlockBodyOptions;
  readonly #modules: BlockBodyModules;
  readonly #references = new Set<Hash>();
  readonly #entries: (BlockEntry | undefined)[] = [];
  readonly #underWay = new Set<Promise<void>>();
  #digester: Digester | undefined;
  #failure: { readonly error: unknown } | undefined;
  #size = 0;
  #fill: { readonly memory: Uint8Array; used: number; readonly sinceMs: number } | undefined;
  /** All bytes are there: nothing waits for the client any more. */
  #complete = false;

  constructor(options: BlockBodyOptions, modules: BlockBodyModules) {
    this.#options = options;
    this.#modules = modules;
  }

  get stalledMs(): number {
    return this.#options.upload.source.sender?.stalledMs ?? 0;
  }

  get heldMs(): number {
    return this.#fill === undefined || this.#complete ? 0 : this.#modules.clock.monotonicMs() - this.#fill.sinceMs;
  }

  /** Blocks on their way to disk are given back by themselves. */
  get heldBytes(): number {
    return this.#fill?.memory.byteLength ?? 0;
  }

  cutOff(): void {
    this.#options.upload.source.sender?.cutOff();
  }

  /** Hashes for which a reference may have been added. */
  references(): readonly { readonly hash: Hash }[] {
    return [...this.#references].map((hash) => ({ hash }));
  }

  /** Settles when nothing of this body is under way any more. */
  async quiet(): Promise<void> {
    this.#giveBack();
    while (this.#underWay.size > 0) await Promise.allSettled(this.#underWay);
    this.#digester?.discard();
  }

  async write(head: readonly Uint8Array[]): Promise<WrittenBody | UploadRefusal> {
    const { upload, maxUploadBytes } = this.#options;
    let queue = head;
    let at = 0;
    for (;;) {
      const piece: Uint8Array | null = at < queue.length ? (queue[at++] as Uint8Array) : await upload.source.read();
      if (this.#failure) throw this.#failure.error;
      if (piece === null) break;
      if (at >= queue.length) queue = NO_PIECES;
      this.#size += piece.byteLength;
      if (this.#size > maxUploadBytes) return { ok: false, code: "too-large", limit: maxUploadBytes };
      if (upload.sizeBytes !== undefined && this.#size > upload.sizeBytes)
        return { ok: false, code: "incomplete-body", expected: upload.sizeBytes, received: this.#size };
      await this.#take(piece);
    }
    this.#complete = true;
    return this.#finish();
  }

  async #take(piece: Uint8Array): Promise<void> {
    for (let from = 0; from < piece.byteLength; ) {
      if (this.#fill && this.#fill.used === this.#fill.memory.byteLength) await this.#submitFull();
      this.#fill ??= {
        memory: await this.#allocate(piece.byteLength - from),
        used: 0,
        sinceMs: this.#modules.clock.monotonicMs(),
      };
      const { memory, used } = this.#fill;
      const count = Math.min(memory.byteLength - used, piece.byteLength - from);
      memory.set(from === 0 && count === piece.byteLength ? piece : piece.subarray(from, from + count), used);
      this.#fill.used += count;
      from += count;
    }
  }

  /**
   * Memory for the next block, as much as the body will need when its size is known. All of it with the block's first bytes: to
   * let it grow would cost a copy of what is there. Clients that then stall don't keep it from others.
   */
  async #allocate(pieceBytes: number): Promise<Uint8Array> {
    const { blockSizeBytes, upload, budgetPatienceMs } = this.#options;
    const { budget, clock, cpu } = this.#modules;
    const done = this.#size - pieceBytes;
    const size = upload.sizeBytes === undefined ? blockSizeBytes : Math.min(blockSizeBytes, upload.sizeBytes - done);
    if (!budget.tryTake(size)) {
      const deadline = Promise.withResolvers<void>();
      const timer = clock.timer(budgetPatienceMs, deadline.resolve);
      const onAbort = (): void => deadline.resolve();
      upload.signal.addEventListener("abort", onAbort, { once: true });
      const taking = budget.take(size, deadline.promise);
      this.#modules.stalled.makeRoom();
      const granted = await taking;
      timer.cancel();
      upload.signal.removeEventListener("abort", onAbort);
      if (!granted)
        throw new ServiceError("service.slow-down", "too many bytes of uploads wait for the disks (block_ram_buffer_max)");
    }
    try {
      return cpu.allocate(size);
    } catch (error) {
      budget.give(size);
      throw error;
    }
  }

  /** A full block, and more bytes are there: the body has several, so its checksums run over the stream. */
  async #submitFull(): Promise<void> {
    const { memory } = this.#fill as { memory: Uint8Array };
    this.#fill = undefined;
    this.#digester ??= this.#modules.cpu.digester(wantedDigests(this.#options.upload));
    this.#start(memory, memory.byteLength);
    while (this.#underWay.size >= this.#options.maxConcurrentBlocks) await Promise.race(this.#underWay);
    if (this.#failure) throw this.#failure.error;
  }

  #start(memory: Uint8Array, used: number): void {
    const at = this.#entries.length;
    this.#entries.push(undefined);
    const bytes = used === memory.byteLength ? memory : memory.subarray(0, used);
    const hashed = this.#digester?.update(bytes);
    const placed = this.#place(bytes, undefined, false).then((stored) => {
      this.#entries[at] = { hash: stored.hash, size: used, storedSize: stored.storedSize };
    });
    const done: Promise<void> = Promise.allSettled([hashed, placed]).then((results) => {
      for (const result of results) if (result.status === "rejected") this.#failure ??= { error: result.reason };
      this.#release(memory);
      this.#underWay.delete(done);
    });
    this.#underWay.add(done);
  }

  #place(bytes: Uint8Array, expected: Hash | undefined, alone: boolean): ReturnType<BlockPlacer["place"]> {
    const { target, pending, upload } = this.#options;
    return this.#modules.placer.place(bytes, {
      target,
      expiryMs: pending.referenceExpiryMs(),
      expected,
      also: alone ? wantedDigests(upload) : [],
      onReference: (hash) => this.#references.add(hash),
    });
  }

  async #finish(): Promise<WrittenBody | UploadRefusal> {
    const { upload } = this.#options;
    const fill = this.#fill;
    const fits = upload.sizeBytes === undefined || this.#size === upload.sizeBytes;
    if (!fits) return { ok: false, code: "incomplete-body", expected: upload.sizeBytes as number, received: this.#size };
    if (this.#digester === undefined) return this.#finishAlone(fill as { memory: Uint8Array; used: number });
    this.#fill = undefined;
    if (fill) this.#start(fill.memory, fill.used);
    const digester = this.#digester;
    this.#digester = undefined;
    const digests = await digester.finish();
    const verified = verifyUpload(upload, this.#size, digests);
    if (!verified.ok) return verified;
    while (this.#underWay.size > 0) await Promise.all(this.#underWay);
    if (this.#failure) throw this.#failure.error;
    return this.#written(verified, this.#entries as BlockEntry[]);
  }

  /** One block: its checksums come with the pass that hashes it, and a signed SHA-256 of the body is the block's name. */
  async #finishAlone({
    memory,
    used,
  }: {
    readonly memory: Uint8Array;
    readonly used: number;
  }): Promise<WrittenBody | UploadRefusal> {
    const { upload } = this.#options;
    const bytes = used === memory.byteLength ? memory : memory.subarray(0, used);
    const expected = upload.sha256?.toLowerCase() as Hash | undefined;
    let stored: Awaited<ReturnType<BlockPlacer["place"]>>;
    try {
      stored = await this.#place(bytes, expected, true);
    } catch (error) {
      if (expected === undefined || !(error instanceof BlockError) || error.code !== "block.wrong-hash") throw error;
      return { ok: false, code: "bad-digest", which: "sha256", computed: error.hash ?? "", expected };
    } finally {
      this.#giveBack();
    }
    const verified = verifyUpload(upload, this.#size, stored.digests);
    if (!verified.ok) return verified;
    return this.#written(verified, [{ hash: stored.hash, size: used, storedSize: stored.storedSize }]);
  }

  async #written(verified: { readonly ok: true; readonly etag: string }, blocks: readonly BlockEntry[]): Promise<WrittenBody> {
    const { pending } = this.#options;
    const needs = await pending.end();
    if (needs === "lost")
      throw new ServiceError("service.unavailable", "the upload took so long that its claim was given up; try again");
    const body: Body = { kind: "blocks", size: this.#size, blocks };
    return { ...verified, body, sizeBytes: this.#size, needsLease: needs === "needed", expiry: pending.expiry };
  }

  #giveBack(): void {
    const fill = this.#fill;
    this.#fill = undefined;
    if (fill) this.#release(fill.memory);
  }

  #release(memory: Uint8Array): void {
    this.#modules.cpu.free(memory);
    this.#modules.budget.give(memory.byteLength);
  }
}

const NO_PIECES: readonly Uint8Array[] = [];
