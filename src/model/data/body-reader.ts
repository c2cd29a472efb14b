import { BlockError, type BlockStore, type LentBlock } from "../../block/block-store.ts";
import type { Groups } from "../../group/groups.ts";
import type { Clock } from "../../platform/clock.ts";
import type { ByteBudget } from "../../util/byte-budget.ts";
import { type ByteSource, sourceOf } from "../../util/byte-source.ts";
import { ServiceError } from "../object-service.ts";
import { type BodyPiece, type BodyPlace, readPieces } from "../partition/body-reads.ts";
import { readReference } from "../partition/reference-row.ts";
import type { Placement } from "../placement.ts";
import type { BodyReading } from "./data-path.ts";
import type { Holds } from "./holds.ts";
import { serviceError } from "./service-errors.ts";

export interface BodyReaderOptions {
  /** Blocks of one stream in memory or on their way: the one being sent and those read ahead. */
  readonly readAheadBlocks: number;
  /** How long a stream waits for memory for its next block. */
  readonly budgetPatienceMs: number;
}

export interface BodyReaderParts {
  readonly groups: Groups;
  readonly blocks: BlockStore;
  readonly placement: Placement;
  readonly clock: Clock;
  readonly holds: Holds;
  /** Memory for blocks of all streams together. */
  readonly budget: ByteBudget;
}

/** Streams bodies; data-path.ts has the contract. */
export class BodyReader implements BodyReading {
  readonly #options: BodyReaderOptions;
  readonly #parts: BodyReaderParts;

  constructor(options: BodyReaderOptions, parts: BodyReaderParts) {
    this.#options = options;
    this.#parts = parts;
  }

  open(place: BodyPlace, range?: { readonly start: number; readonly end: number }): ByteSource {
    const start = range?.start ?? 0;
    const end = Math.min(range?.end ?? place.sizeBytes, place.sizeBytes);
    const { stored } = place;
    if (stored.kind === "inline") return sourceOf(stored.bytes.subarray(start, Math.max(start, end)));
    return new BodyStream({ ...this.#options, place, start, end }, this.#parts);
  }
}

/** Pieces are looked up this many at a time; a page of rows (1,024 blocks) comes as a whole anyway. */
const PIECES_AHEAD = 64;

interface BodyStreamOptions extends BodyReaderOptions {
  readonly place: BodyPlace;
  readonly start: number;
  readonly end: number;
}

class BodyStream implements ByteSource {
  readonly #options: BodyStreamOptions;
  readonly #parts: BodyReaderParts;
  readonly #heldAs: string;
  /** Pieces known but not asked for. */
  #pieces: readonly BodyPiece[] = [];
  #pieceAt = 0;
  /** Where the pieces after #pieces begin. */
  #listedTo: number;
  /** Asked for, in order. */
  readonly #coming: Coming[] = [];
  #sent: LentBlock | undefined;
  #open = true;

  constructor(options: BodyStreamOptions, parts: BodyReaderParts) {
    this.#options = options;
    this.#parts = parts;
    this.#listedTo = options.start;
    const { claim, stored } = options.place;
    this.#heldAs = "upload" in stored ? stored.upload : claim;
    parts.holds.hold(this.#heldAs);
  }

  async read(): Promise<Uint8Array | null> {
    this.#sent?.release();
    this.#sent = undefined;
    try {
      if (!this.#open) return null;
      await this.#ask();
      const next = this.#coming.shift();
      if (next === undefined) {
        this.cancel();
        return null;
      }
      const lent = await next.block;
      if (!this.#open) {
        lent.release();
        return null;
      }
      this.#sent = lent;
      return lent.bytes.subarray(next.from, next.to);
    } catch (error) {
      this.cancel();
      throw serviceError(error);
    }
  }

  cancel(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#parts.holds.release(this.#heldAs);
    this.#sent?.release();
    this.#sent = undefined;
    for (const { block } of this.#coming.splice(0))
      block.then(
        (lent) => lent.release(),
        () => {},
      );
  }

  /** Asks for the next blocks: one at least, more as long as memory is free. */
  async #ask(): Promise<void> {
    const { readAheadBlocks, end } = this.#options;
    while (this.#coming.length < readAheadBlocks) {
      if (this.#pieceAt === this.#pieces.length) {
        if (this.#listedTo >= end) return;
        await this.#list();
        if (!this.#open) return;
      }
      const piece = this.#pieces[this.#pieceAt] as BodyPiece;
      if (piece.kind === "block" && !this.#parts.budget.tryTake(piece.size)) {
        if (this.#coming.length > 0) return;
        await this.#waitForMemory(piece.size);
      }
      this.#pieceAt++;
      this.#coming.push(this.#begin(piece));
    }
  }

  async #list(): Promise<void> {
    const { place, end } = this.#options;
    const { groups } = this.#parts;
    const found = await groups.read(place.group, (rows) => readPieces(rows, place, this.#listedTo, PIECES_AHEAD));
    if (found === undefined) throw new ServiceError("object.replaced", "the object was replaced while it was being read");
    const last = found.at(-1);
    if (last === undefined) throw new ServiceError("object.damaged", "the object's block list ends early");
    // Whole pages come back: of the last one only what lies in the range is wanted.
    this.#pieces = last.offset < end ? found : found.filter(({ offset }) => offset < end);
    this.#pieceAt = 0;
    this.#listedTo = last.offset + last.size;
  }

  #begin(piece: BodyPiece): Coming {
    const { start, end } = this.#options;
    const from = Math.max(0, start - piece.offset);
    const to = Math.min(piece.size, end - piece.offset);
    if (piece.kind === "inline") return { from, to, block: Promise.resolve({ bytes: piece.bytes, release() {} }) };
    const block = this.#fetch(piece);
    block.catch(() => {}); // Seen when its turn comes.
    return { from, to, block };
  }

  async #fetch(piece: Extract<BodyPiece, { kind: "block" }>): Promise<LentBlock> {
    const { blocks, budget } = this.#parts;
    try {
      const lent = await blocks.lend(piece);
      return lendOnce(lent, () => budget.give(piece.size));
    } catch (error) {
      budget.give(piece.size);
      throw error instanceof BlockError && error.code === "block.absent" ? await this.#explainAbsence(piece, error) : error;
    }
  }

  /** No file: either the object went away long ago (a reader without a hold), or the block is lost. */
  async #explainAbsence(piece: Extract<BodyPiece, { kind: "block" }>, cause: unknown): Promise<ServiceError> {
    const { groups, placement } = this.#parts;
    const group = placement.ofHash(piece.hash);
    const needed = await groups.read(group, (rows) => readReference(rows, group, piece.hash, piece.claim) !== undefined);
    return needed
      ? new ServiceError("object.damaged", `block ${piece.hash} is missing`, { cause })
      : new ServiceError("object.replaced", "the object was replaced while it was being read", { cause });
  }

  async #waitForMemory(bytes: number): Promise<void> {
    const deadline = Promise.withResolvers<void>();
    const timer = this.#parts.clock.timer(this.#options.budgetPatienceMs, deadline.resolve);
    const granted = await this.#parts.budget.take(bytes, deadline.promise);
    timer.cancel();
    if (!granted) throw new ServiceError("service.slow-down", "too many bytes of downloads wait for their clients");
    if (this.#open) return;
    this.#parts.budget.give(bytes);
    throw new ServiceError("service.slow-down", "cancelled");
  }
}

/** A block on its way, and which of its bytes are wanted. */
interface Coming {
  readonly from: number;
  readonly to: number;
  readonly block: Promise<LentBlock>;
}

/** Releasing twice must not free memory that someone else got meanwhile. */
function lendOnce(lent: LentBlock, after: () => void): LentBlock {
  let released = false;
  return {
    bytes: lent.bytes,
    release() {
      if (released) return;
      released = true;
      lent.release();
      after();
    },
  };
}
