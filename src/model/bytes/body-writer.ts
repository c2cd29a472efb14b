import type { BlockStore } from "../../block/block-store.ts";
import type { Groups } from "../../group/groups.ts";
import type { Clock } from "../../platform/clock.ts";
import type { Cpu } from "../../platform/cpu.ts";
import type { Log } from "../../platform/log.ts";
import type { ByteBudget } from "../../util/byte-budget.ts";
import type { Stamp } from "../../util/ids.ts";
import type { AddRefsResult, BlockEntry, Body, NewReference, PartitionCommand } from "../commands.ts";
import type { Upload, UploadRefusal } from "../object-service.ts";
import type { BodyPiece } from "../partition/body-reads.ts";
import type { Placement } from "../placement.ts";
import { serviceFailure } from "../service-failure.ts";
import { BlockBody } from "./block-body.ts";
import { BlockPlacer, newReference } from "./block-placer.ts";
import { verifyUpload, wantedDigests } from "./checks.ts";
import type { BodyWriting, UploadTarget, WrittenBody } from "./data-path.ts";
import { LazyReferences, MAX_PER_COMMAND } from "./lazy-references.ts";
import { UploadLease, endUploadLease } from "./upload-lease.ts";
import { StalledStreams } from "./stalled-streams.ts";

export interface BodyWriterOptions {
  /** Bodies up to this size go inline in the command (`inline_threshold`). */
  readonly inlineThresholdBytes: number;
  /** `block_size`. */
  readonly blockSizeBytes: number;
  /** Largest body taken (5 GiB for a PUT or a part). */
  readonly maxUploadBytes: number;
  /** `block_max_concurrent_writes_per_request`. */
  readonly maxConcurrentBlocks: number;
  /** `block_gc_delay`. */
  readonly gcDelayMs: number;
  /** commandWindow. */
  readonly commandWindowMs: number;
  /** How long a request waits for a share of the memory before it is told to slow down. */
  readonly budgetPatienceMs: number;
}

export interface BodyWriterModules {
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
  readonly #modules: BodyWriterModules;
  readonly #placer: BlockPlacer;
  readonly #lazy: LazyReferences;
  readonly #stalled: StalledStreams;
  readonly #endingLeases = new Set<Promise<void>>();

  constructor(options: BodyWriterOptions, modules: BodyWriterModules) {
    this.#options = options;
    this.#modules = modules;
    this.#stalled = new StalledStreams(modules);
    this.#placer = new BlockPlacer(options, modules);
    this.#lazy = new LazyReferences({ delayMs: Math.min(LAZY_MS, options.commandWindowMs / 4) }, modules);
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
    if (body.kind === "blocks") this.#lazy.add("confirm-refs", claim, body.blocks);
  }

  discard(target: UploadTarget, { body, needsLease }: { readonly body: Body; readonly needsLease?: boolean }): void {
    if (body.kind === "blocks") this.#lazy.add("drop-refs", target.claim, body.blocks);
    if (!needsLease) return;
    const removal = endUploadLease(this.#modules.groups, target).finally(() => this.#endingLeases.delete(removal));
    this.#endingLeases.add(removal);
  }

  /** Carries out what was put off; for stopping and for tests. */
  async flush(): Promise<void> {
    await Promise.all([...this.#endingLeases, this.#lazy.flush()]);
  }

  /** The whole body when it is small, else its first pieces (copied: a source's piece is valid only until the next read). */
  async #readHead(upload: Upload, target: UploadTarget): Promise<{ readonly expiry: Stamp; readonly head: Uint8Array | Head }> {
    const { inlineThresholdBytes, commandWindowMs } = this.#options;
    const expiry = (this.#modules.groups.logTime(target.group) + commandWindowMs) as Stamp;
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
    const digests = await this.#modules.cpu.digest(bytes, wantedDigests(upload)).catch((error: unknown) => {
      throw serviceFailure(error);
    });
    const verified = verifyUpload(upload, bytes.byteLength, digests);
    if (!verified.ok) return verified;
    return { ...verified, body: { kind: "inline", bytes }, sizeBytes: bytes.byteLength, needsLease: false, expiry };
  }

  async #blocks(upload: Upload, target: UploadTarget, head: Head): Promise<WrittenBody | UploadRefusal> {
    const pending = new UploadLease({ target, windowMs: this.#options.commandWindowMs }, this.#modules);
    const body = new BlockBody(
      { ...this.#options, upload, target, pending },
      { ...this.#modules, placer: this.#placer, stalled: this.#stalled },
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

  async #undo(target: UploadTarget, body: BlockBody, pending: UploadLease): Promise<void> {
    await body.quiet();
    this.#stalled.delete(body);
    this.#lazy.add("drop-refs", target.claim, body.references());
    await pending.giveUp();
  }

  async copyReferences(
    pieces: readonly BodyPiece[],
    target: UploadTarget,
  ): Promise<{ readonly blocks: readonly BlockEntry[]; readonly expiry: Stamp } | undefined> {
    const { groups, placement } = this.#modules;
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
