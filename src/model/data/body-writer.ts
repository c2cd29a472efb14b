import { type BlockStore, BlockError } from "../../block/block-store.ts";
import type { Groups } from "../../group/groups.ts";
import type { Clock } from "../../platform/clock.ts";
import type { Cpu, Digester } from "../../platform/cpu.ts";
import type { Log } from "../../platform/log.ts";
import type { ByteBudget } from "../../util/byte-budget.ts";
import type { Hash, Stamp } from "../../util/ids.ts";
import type { AddRefsResult, BlockEntry, Body, NewReference, PartitionCommand } from "../commands.ts";
import { ServiceError, type Upload, type UploadRefusal } from "../object-service.ts";
import type { BodyPiece } from "../partition/body-reads.ts";
import type { Placement } from "../placement.ts";
import { serviceFailure } from "../service-failure.ts";
import { BlockPlacer, newReference } from "./block-placer.ts";
import { verifyUpload, wantedDigests } from "./checks.ts";
import type { BodyWriting, UploadTarget, WrittenBody } from "./data-path.ts";
import { LazyReferences, MAX_PER_COMMAND } from "./lazy-references.ts";
import { PendingRow, removePendingRow } from "./pending-row.ts";
import { type CuttableStream, StalledStreams } from "./stalled-streams.ts";

export interface BodyWriterOptions {
  /** Bodies up to this size ride in the command (`inline_threshold`). */
  readonly inlineThresholdBytes: number;
  /** `block_size`. */
  readonly blockSizeBytes: number;
  /** Largest body taken (5 GiB for a PUT or a part). */
  readonly maxUploadBytes: number;
  /** `block_max_concurrent_writes_per_request`. */
  readonly maxConcurrentBlocks: number;
  /** `block_gc_delay`. */
  readonly gcDelayMs: number;
  /** W. */
  readonly commandWindowMs: number;
  /** How long a request waits for a share of the memory before it is told to slow down. */
  readonly budgetPatienceMs: number;
}

export interface BodyWriterParts {
  readonly groups: Groups;
  readonly blocks: BlockStore;
  readonly placement: Placement;
  readonly clock: Clock;
  readonly cpu: Cpu;
  readonly log: Log;
  /** Memory for blocks of all requests together (`block_ram_buffer_max`). */
  readonly budget: ByteBudget;
}

/** Takes the bytes of uploads to disk; data-path.ts has the contract. */
export class BodyWriter implements BodyWriting {
  readonly #options: BodyWriterOptions;
  readonly #parts: BodyWriterParts;
  readonly #placer: BlockPlacer;
  readonly #lazy: LazyReferences;
  readonly #stalled: StalledStreams;
  #unpending: Promise<unknown> = Promise.resolve();

  constructor(options: BodyWriterOptions, parts: BodyWriterParts) {
    this.#options = options;
    this.#parts = parts;
    this.#stalled = new StalledStreams(parts);
    this.#placer = new BlockPlacer(options, parts);
    this.#lazy = new LazyReferences({ delayMs: Math.min(LAZY_MS, options.commandWindowMs / 4) }, parts);
  }

  /** Uploads that were cut off since the start because their clients had stalled and memory was short. */
  get cutOffs(): number {
    return this.#stalled.cutOffs;
  }

  async write(upload: Upload, target: UploadTarget): Promise<WrittenBody | UploadRefusal> {
    const { maxUploadBytes } = this.#options;
    if (upload.sizeBytes !== undefined && upload.sizeBytes > maxUploadBytes) {
      upload.source.cancel();
      return { ok: false, code: "too-large", limit: maxUploadBytes };
    }
    const { expiry, head } = await this.#readHead(upload, target);
    return head instanceof Uint8Array ? this.#inline(upload, head, expiry) : this.#blocks(upload, target, head);
  }

  settled({ claim }: UploadTarget, body: Body): void {
    if (body.kind === "blocks") this.#lazy.add("settle-refs", claim, body.blocks);
  }

  discard(target: UploadTarget, { body, needsPending }: { readonly body: Body; readonly needsPending?: boolean }): void {
    if (body.kind === "blocks") this.#lazy.add("drop-refs", target.claim, body.blocks);
    if (needsPending) this.#unpending = Promise.all([this.#unpending, removePendingRow(this.#parts.groups, target)]);
  }

  /** Carries out what was put off; for stopping and for tests. */
  async flush(): Promise<void> {
    await Promise.all([this.#unpending, this.#lazy.flush()]);
  }

  /** The whole body when it is small, else its first pieces (copied: a source's piece is valid only until the next read). */
  async #readHead(upload: Upload, target: UploadTarget): Promise<{ readonly expiry: Stamp; readonly head: Uint8Array | Head }> {
    const { inlineThresholdBytes, commandWindowMs } = this.#options;
    const expiry = (this.#parts.groups.logTime(target.group) + commandWindowMs) as Stamp;
    const pieces: Uint8Array[] = [];
    let size = 0;
    const known = upload.sizeBytes;
    if (known !== undefined && known > inlineThresholdBytes) return { expiry, head: { pieces, size } };
    for (;;) {
      const piece = await upload.source.read();
      if (piece === null) break;
      size += piece.byteLength;
      if (known !== undefined && size > known) {
        upload.source.cancel();
        return { expiry, head: Buffer.concat([...pieces, piece]) };
      }
      pieces.push(size === known && pieces.length === 0 ? Buffer.from(piece) : copyOf(piece));
      if (size > inlineThresholdBytes) return { expiry, head: { pieces, size } };
    }
    return { expiry, head: pieces.length === 1 ? (pieces[0] as Uint8Array) : Buffer.concat(pieces, size) };
  }

  async #inline(upload: Upload, bytes: Uint8Array, expiry: Stamp): Promise<WrittenBody | UploadRefusal> {
    const digests = await this.#parts.cpu.digest(bytes, wantedDigests(upload)).catch((error: unknown) => {
      throw serviceFailure(error);
    });
    const verified = verifyUpload(upload, bytes.byteLength, digests);
    if (!verified.ok) return verified;
    return { ...verified, body: { kind: "inline", bytes }, sizeBytes: bytes.byteLength, needsPending: false, expiry };
  }

  async #blocks(upload: Upload, target: UploadTarget, head: Head): Promise<WrittenBody | UploadRefusal> {
    const pending = new PendingRow({ target, windowMs: this.#options.commandWindowMs }, this.#parts);
    const body = new BlockBody(
      { ...this.#options, upload, target, pending },
      { ...this.#parts, placer: this.#placer, stalled: this.#stalled },
    );
    let outcome: WrittenBody | UploadRefusal;
    if (upload.source.sender) this.#stalled.add(body);
    try {
      outcome = await body.write(head.pieces);
    } catch (error) {
      upload.source.cancel();
      await this.#undo(target, body, pending);
      throw serviceFailure(error);
    }
    if (outcome.ok) this.#stalled.delete(body);
    else {
      upload.source.cancel();
      await this.#undo(target, body, pending);
    }
    return outcome;
  }

  async #undo(target: UploadTarget, body: BlockBody, pending: PendingRow): Promise<void> {
    await body.quiet();
    this.#stalled.delete(body);
    this.#lazy.add("drop-refs", target.claim, body.references());
    await pending.giveUp();
  }

  async copyReferences(
    pieces: readonly BodyPiece[],
    target: UploadTarget,
  ): Promise<{ readonly blocks: readonly BlockEntry[]; readonly expiry: Stamp } | undefined> {
    const { groups, placement } = this.#parts;
    const expiry = (groups.logTime(target.group) + this.#options.commandWindowMs) as Stamp;
    const blocks: BlockEntry[] = [];
    const byGroup = new Map<number, NewReference[]>();
    for (const piece of pieces) {
      if (piece.kind !== "block") return undefined;
      const { hash, size, storedSize, claim } = piece;
      blocks.push({ hash, size, storedSize });
      const reference = { ...newReference({ hash, size, target, expiryMs: expiry }), onlyIfClaim: claim };
      const group = placement.ofHash(hash);
      const list = byGroup.get(group);
      if (list) list.push(reference);
      else byGroup.set(group, [reference]);
    }
    try {
      const commands: Promise<AddRefsResult>[] = [];
      for (const [group, refs] of byGroup)
        for (let at = 0; at < refs.length; at += MAX_PER_COMMAND) {
          const command: PartitionCommand = { op: "add-refs", refs: refs.slice(at, at + MAX_PER_COMMAND) };
          commands.push(groups.propose(group as never, command));
        }
      const results = await Promise.all(commands);
      if (results.every(({ added }) => added.every(Boolean))) return { blocks, expiry };
    } catch (error) {
      this.#lazy.add("drop-refs", target.claim, blocks);
      throw serviceFailure(error);
    }
    this.#lazy.add("drop-refs", target.claim, blocks);
    return undefined;
  }
}

const LAZY_MS = 1000;

interface Head {
  readonly pieces: readonly Uint8Array[];
  readonly size: number;
}

function copyOf(piece: Uint8Array): Uint8Array {
  const copy = Buffer.allocUnsafeSlow(piece.byteLength);
  copy.set(piece);
  return copy;
}

interface BlockBodyOptions extends BodyWriterOptions {
  readonly upload: Upload;
  readonly target: UploadTarget;
  readonly pending: PendingRow;
}

interface BlockBodyParts extends BodyWriterParts {
  readonly placer: BlockPlacer;
  readonly stalled: StalledStreams;
}

/** One body on its way into blocks. */
class BlockBody implements CuttableStream {
  readonly #options: BlockBodyOptions;
  readonly #parts: BlockBodyParts;
  readonly #references = new Set<Hash>();
  readonly #entries: (BlockEntry | undefined)[] = [];
  readonly #underWay = new Set<Promise<void>>();
  #digester: Digester | undefined;
  #failure: { readonly error: unknown } | undefined;
  #size = 0;
  #fill: { readonly memory: Uint8Array; used: number } | undefined;

  constructor(options: BlockBodyOptions, parts: BlockBodyParts) {
    this.#options = options;
    this.#parts = parts;
  }

  get stalledMs(): number {
    return this.#options.upload.source.sender?.stalledMs ?? 0;
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
    return this.#finish();
  }

  async #take(piece: Uint8Array): Promise<void> {
    for (let from = 0; from < piece.byteLength; ) {
      if (this.#fill && this.#fill.used === this.#fill.memory.byteLength) await this.#submitFull();
      this.#fill ??= { memory: await this.#allocate(piece.byteLength - from), used: 0 };
      const { memory, used } = this.#fill;
      const count = Math.min(memory.byteLength - used, piece.byteLength - from);
      memory.set(from === 0 && count === piece.byteLength ? piece : piece.subarray(from, from + count), used);
      this.#fill.used += count;
      from += count;
    }
  }

  /**
   * Memory for the next block, as much as the body will need when its size is known. All of it with the block's first bytes: to let it grow would
   * cost a copy of what is there. Clients that then stall don't keep it from others.
   */
  async #allocate(pieceBytes: number): Promise<Uint8Array> {
    const { blockSizeBytes, upload, budgetPatienceMs } = this.#options;
    const { budget, clock, cpu } = this.#parts;
    const done = this.#size - pieceBytes;
    const size = upload.sizeBytes === undefined ? blockSizeBytes : Math.min(blockSizeBytes, upload.sizeBytes - done);
    if (!budget.tryTake(size)) {
      const deadline = Promise.withResolvers<void>();
      const timer = clock.timer(budgetPatienceMs, deadline.resolve);
      const onAbort = (): void => deadline.resolve();
      upload.signal.addEventListener("abort", onAbort, { once: true });
      const taking = budget.take(size, deadline.promise);
      this.#parts.stalled.makeRoom();
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
    this.#digester ??= this.#parts.cpu.digester(wantedDigests(this.#options.upload));
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
    return this.#parts.placer.place(bytes, {
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
    return { ...verified, body, sizeBytes: this.#size, needsPending: needs === "needed", expiry: pending.expiry };
  }

  #giveBack(): void {
    const fill = this.#fill;
    this.#fill = undefined;
    if (fill) this.#release(fill.memory);
  }

  #release(memory: Uint8Array): void {
    this.#parts.cpu.free(memory);
    this.#parts.budget.give(memory.byteLength);
  }
}

const NO_PIECES: readonly Uint8Array[] = [];
