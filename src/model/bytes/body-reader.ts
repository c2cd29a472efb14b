import { BlockError, type BlockStore, type LentBlock } from "../../block/block-store.ts";
import type { Groups } from "../../group/groups.ts";
import type { Clock, Timer } from "../../platform/clock.ts";
import type { ByteBudget } from "../../util/byte-budget.ts";
import { type ByteSource, type StreamClient, sourceOf } from "../../util/byte-source.ts";
import { ServiceError } from "../object-service.ts";
import { type BodyPiece, type BodyPlace, readPieces } from "../partition/body-reads.ts";
import { readReference } from "../partition/reference-row.ts";
import type { Placement } from "../placement.ts";
import { serviceFailure } from "../service-failure.ts";
import type { BodyReading } from "./data-path.ts";
import type { ReadPins } from "./read-pins.ts";
import { type CuttableStream, StalledStreams } from "./stalled-streams.ts";

export interface BodyReaderOptions {
  /** Blocks of one stream in memory or on their way, of a client that keeps taking them. Any other client's stream has one. */
  readonly readAheadBlocks: number;
  /**
   * How long a stream waits for memory for its first block: the answer has not begun, so the client can be told early to come
   * back.
   */
  readonly firstPatienceMs: number;
  /** How long a stream waits for memory for its next block. */
  readonly budgetPatienceMs: number;
}

export interface BodyReaderModules {
  readonly groups: Groups;
  readonly blocks: BlockStore;
  readonly placement: Placement;
  readonly clock: Clock;
  readonly pins: ReadPins;
  /** Memory for blocks of all streams together. */
  readonly budget: ByteBudget;
}

/** Streams bodies; data-path.ts has the contract. */
export class BodyReader implements BodyReading {
  readonly #options: BodyReaderOptions;
  readonly #modules: BodyStreamModules;

  constructor(options: BodyReaderOptions, modules: BodyReaderModules) {
    this.#options = options;
    this.#modules = { ...modules, stalled: new StalledStreams(modules) };
  }

  /** Downloads that were cut off since the start because their clients had stalled and memory was short. */
  get cutOffs(): number {
    return this.#modules.stalled.cutOffs;
  }

  open(place: BodyPlace, range?: { readonly start: number; readonly end: number }): ByteSource {
    const start = range?.start ?? 0;
    const end = Math.min(range?.end ?? place.sizeBytes, place.sizeBytes);
    const { stored } = place;
    if (stored.kind === "inline") return sourceOf(stored.bytes.subarray(start, Math.max(start, end)));
    return new BodyStream({ ...this.#options, place, start, end }, this.#modules);
  }
}

/**
 * A client that needs longer for a piece gets the next one fetched when it asks: a disk's milliseconds don't delay it noticeably.
 */
const PROMPT_MS = 500;
/** What was read ahead for a client that has not come back for this long is given up; it is fetched again when wanted. */
const STALLED_MS = 2_000;

/** Pieces are looked up this many at a time; a page of rows (1,024 blocks) comes as a whole anyway. */
const PIECES_AHEAD = 64;

interface BodyStreamOptions extends BodyReaderOptions {
  readonly place: BodyPlace;
  readonly start: number;
  readonly end: number;
}

interface BodyStreamModules extends BodyReaderModules {
  readonly stalled: StalledStreams;
}

class BodyStream implements ByteSource, CuttableStream {
  readonly #options: BodyStreamOptions;
  readonly #modules: BodyStreamModules;
  readonly #pinnedAs: string;
  /** Pieces known but not asked for. */
  #pieces: readonly BodyPiece[] = [];
  #pieceAt = 0;
  /** Where the pieces after #pieces begin. */
  #listedTo: number;
  /** Asked for, in order. */
  readonly #coming: Coming[] = [];
  #sent: LentBlock | undefined;
  #taker: StreamClient | undefined;
  /** Blocks that may be asked for together now. */
  #ahead = 1;
  /** When the last piece was handed out. */
  #handedMs: number | undefined;
  #stalled: Timer | undefined;
  #open = true;

  constructor(options: BodyStreamOptions, modules: BodyStreamModules) {
    this.#options = options;
    this.#modules = modules;
    this.#listedTo = options.start;
    const { claim, stored } = options.place;
    this.#pinnedAs = "upload" in stored ? stored.upload : claim;
    modules.pins.pin(this.#pinnedAs);
  }

  async read(): Promise<Uint8Array | null> {
    this.#clientIsBack();
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
      this.#handedMs = this.#modules.clock.monotonicMs();
      if (this.#coming.length > 0) this.#stalled = this.#modules.clock.timer(STALLED_MS, () => this.#dropReadAhead());
      return lent.bytes.subarray(next.from, next.to);
    } catch (error) {
      this.cancel();
      throw serviceFailure(error);
    }
  }

  takenBy(taker: StreamClient): void {
    if (!this.#open) return;
    this.#taker = taker;
    this.#modules.stalled.add(this);
  }

  get stalledMs(): number {
    return this.#sent === undefined ? 0 : (this.#taker?.stalledMs ?? 0);
  }

  get heldMs(): number {
    return this.#sent === undefined ? 0 : this.#modules.clock.monotonicMs() - (this.#handedMs ?? 0);
  }

  get heldBytes(): number {
    return this.#sent?.bytes.byteLength ?? 0;
  }

  cutOff(): void {
    this.#taker?.cutOff();
  }

  cancel(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#modules.stalled.delete(this);
    this.#stalled?.cancel();
    this.#modules.pins.unpin(this.#pinnedAs);
    this.#sent?.release();
    this.#sent = undefined;
    this.#releaseComing();
  }

  /** The last piece is taken: how fast that went decides how much is read ahead. Memory is for those who use it. */
  #clientIsBack(): void {
    this.#stalled?.cancel();
    this.#stalled = undefined;
    if (this.#handedMs === undefined) return;
    const prompt = this.#modules.clock.monotonicMs() - this.#handedMs <= PROMPT_MS;
    this.#ahead = prompt ? this.#options.readAheadBlocks : 1;
  }

  #dropReadAhead(): void {
    this.#pieces = [...this.#coming.map(({ piece }) => piece), ...this.#pieces.slice(this.#pieceAt)];
    this.#pieceAt = 0;
    this.#releaseComing();
  }

  #releaseComing(): void {
    for (const { block } of this.#coming.splice(0))
      block.then(
        (lent) => lent.release(),
        () => {},
      );
  }

  /** Asks for the next blocks: one at least, more for a prompt client as long as memory is free. */
  async #ask(): Promise<void> {
    const { end } = this.#options;
    while (this.#coming.length < this.#ahead) {
      if (this.#pieceAt === this.#pieces.length) {
        if (this.#listedTo >= end) return;
        await this.#list();
        if (!this.#open) return;
      }
      const piece = this.#pieces[this.#pieceAt] as BodyPiece;
      if (piece.kind === "block" && !this.#modules.budget.tryTake(piece.size)) {
        if (this.#coming.length > 0) return;
        await this.#waitForMemory(piece.size);
      }
      this.#pieceAt++;
      this.#coming.push(this.#begin(piece));
    }
  }

  async #list(): Promise<void> {
    const { place, end } = this.#options;
    const { groups } = this.#modules;
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
    if (piece.kind === "inline") return { piece, from, to, block: Promise.resolve({ bytes: piece.bytes, release() {} }) };
    const block = this.#fetch(piece);
    block.catch(() => {}); // Seen when its turn comes.
    return { piece, from, to, block };
  }

  async #fetch(piece: Extract<BodyPiece, { kind: "block" }>): Promise<LentBlock> {
    const { blocks, budget } = this.#modules;
    try {
      const lent = await blocks.lend(piece);
      return lendOnce(lent, () => budget.give(piece.size));
    } catch (error) {
      budget.give(piece.size);
      throw error instanceof BlockError && error.code === "block.absent" ? await this.#explainAbsence(piece, error) : error;
    }
  }

  /** No file: either the object went away long ago (a reader without a read pin), or the block is lost. */
  async #explainAbsence(piece: Extract<BodyPiece, { kind: "block" }>, cause: unknown): Promise<ServiceError> {
    const { groups, placement } = this.#modules;
    const group = placement.ofHash(piece.hash);
    const needed = await groups.read(group, (rows) => readReference(rows, group, piece.hash, piece.claim) !== undefined);
    return needed
      ? new ServiceError("object.damaged", `block ${piece.hash} is missing`, { cause })
      : new ServiceError("object.replaced", "the object was replaced while it was being read", { cause });
  }

  async #waitForMemory(bytes: number): Promise<void> {
    const deadline = Promise.withResolvers<void>();
    const { firstPatienceMs, budgetPatienceMs } = this.#options;
    const patienceMs = this.#handedMs === undefined ? firstPatienceMs : budgetPatienceMs;
    const timer = this.#modules.clock.timer(patienceMs, deadline.resolve);
    const taking = this.#modules.budget.take(bytes, deadline.promise);
    this.#modules.stalled.makeRoom();
    const granted = await taking;
    timer.cancel();
    if (!granted) throw new ServiceError("service.slow-down", "too many bytes of downloads wait for their clients");
    if (this.#open) return;
    this.#modules.budget.give(bytes);
    throw new ServiceError("service.slow-down", "cancelled");
  }
}

/** A block on its way, and which of its bytes are wanted. */
interface Coming {
  readonly piece: BodyPiece;
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
