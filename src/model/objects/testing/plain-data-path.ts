import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { crc32 } from "node:zlib";
import { STOP } from "../../../platform/kv.ts";
import type { ByteSource } from "../../../util/byte-source.ts";
import type { ClaimId, GroupId, Hash, Stamp } from "../../../util/ids.ts";
import type { AddRefsResult, BlockEntry, Body, NewReference, ResolveClaimResult } from "../../commands.ts";
import { newReference } from "../../bytes/block-placer.ts";
import type { BodyReading, BodyWriting, UploadTarget, WrittenBody } from "../../bytes/data-path.ts";
import { ServiceError, type Upload, type UploadRefusal } from "../../object-service.ts";
import { type BodyPiece, type BodyPlace, readPieces } from "../../partition/body-reads.ts";
import { releasedBlocks } from "../../partition/data-reads.ts";
import { readOutbox } from "../../partition/outbox-row.ts";
import { eachReference, unconfirmedReferences } from "../../partition/reference-row.ts";
import { type PartitionWorld, WINDOW_MS } from "../../partition/testing/partition-world.ts";

/**
 * The data path of tests of names: blocks of a few bytes in a map, references by the real commands, effects carried out when the
 * test says so.
 */
export class PlainDataPath implements BodyWriting, BodyReading {
  readonly #world: PartitionWorld;
  readonly blocks = new Map<Hash, Buffer>();
  readonly blockSize: number;
  readonly inlineThreshold: number;
  /** settle and drop work that the real one does lazily. */
  #lazy: (() => Promise<unknown>)[] = [];

  constructor(world: PartitionWorld, { blockSize = 8, inlineThreshold = 6 } = {}) {
    this.#world = world;
    this.blockSize = blockSize;
    this.inlineThreshold = inlineThreshold;
  }

  async write(upload: Upload, target: UploadTarget): Promise<WrittenBody | UploadRefusal> {
    const pieces: Buffer[] = [];
    for (let piece = await upload.source.read(); piece !== null; piece = await upload.source.read())
      pieces.push(Buffer.from(piece));
    const bytes = Buffer.concat(pieces);
    const sizeBytes = bytes.byteLength;
    if (upload.sizeBytes !== undefined && upload.sizeBytes !== sizeBytes)
      return { ok: false, code: "incomplete-body", expected: upload.sizeBytes, received: sizeBytes };
    const expiry = (this.#world.host.logTime(target.group) + WINDOW_MS) as Stamp;
    const etag = createHash("md5").update(bytes).digest("hex");
    const base = { ok: true, etag, sizeBytes, needsLease: false, expiry } as const;
    const checksum = upload.algorithm === undefined ? {} : { checksum: fullChecksum(bytes, upload.algorithm) };
    if (sizeBytes <= this.inlineThreshold) return { ...base, ...checksum, body: { kind: "inline", bytes } };
    const blocks: BlockEntry[] = [];
    for (let at = 0; at < sizeBytes; at += this.blockSize) {
      const block = bytes.subarray(at, at + this.blockSize);
      const hash = createHash("sha256").update(block).digest("hex") as Hash;
      this.blocks.set(hash, block);
      blocks.push({ hash, size: block.byteLength, storedSize: block.byteLength });
    }
    await this.#addRefs(blocks.map((block) => newReference({ ...block, target, expiryMs: expiry })));
    return { ...base, ...checksum, body: { kind: "blocks", size: sizeBytes, blocks } };
  }

  settled(target: UploadTarget, body: Body): void {
    this.#later("confirm-refs", target.claim, body);
  }

  discard(target: UploadTarget, { body }: { readonly body: Body }): void {
    this.#later("drop-refs", target.claim, body);
  }

  async copyReferences(pieces: readonly BodyPiece[], target: UploadTarget) {
    const expiry = (this.#world.host.logTime(target.group) + WINDOW_MS) as Stamp;
    const blocks: (BlockEntry & { readonly claim: ClaimId })[] = [];
    for (const piece of pieces) {
      assert.ok(piece.kind === "block");
      blocks.push(piece);
    }
    const added = await this.#addRefs(
      blocks.map((block) => ({ ...newReference({ ...block, target, expiryMs: expiry }), onlyIfClaim: block.claim })),
    );
    if (added) return { blocks: blocks.map(({ hash, size, storedSize }) => ({ hash, size, storedSize })), expiry };
    this.#later("drop-refs", target.claim, { kind: "blocks", size: 0, blocks });
    return undefined;
  }

  open(place: BodyPlace, range = { start: 0, end: place.sizeBytes }): ByteSource {
    let { start: offset } = range;
    return {
      read: async () => {
        if (offset >= range.end) return null;
        const pieces = await this.#world.host.read(place.group, (rows) => readPieces(rows, place, offset, 3));
        const piece = pieces?.[0];
        if (piece === undefined) throw new ServiceError("object.replaced", "rows are gone");
        const bytes = piece.kind === "inline" ? piece.bytes : this.blocks.get(piece.hash);
        assert.ok(bytes, "a live block is there");
        const part = bytes.subarray(offset - piece.offset, Math.min(piece.size, range.end - piece.offset));
        offset += part.byteLength;
        return part;
      },
      cancel: () => {},
    };
  }

  /** Does what was left for later: settles and drops. */
  async drain(): Promise<void> {
    for (const work of this.#lazy.splice(0)) await work();
  }

  /** A crash forgets it instead. */
  forget(): void {
    this.#lazy = [];
  }

  /** Carries out every outbox entry. */
  async release(): Promise<void> {
    const world = this.#world;
    for (const group of world.groups) {
      const entries = await world.read((rows) => readOutbox(rows, group, { after: 0, limit: 1_000_000 }));
      for (const entry of entries) {
        let cursor: Parameters<typeof releasedBlocks>[3];
        do {
          const at = cursor;
          const piece = await world.read((rows) => releasedBlocks(rows, group, entry, at));
          await this.#byGroup(piece.blocks, (refs, home) => world.propose(home, { op: "drop-refs", refs }));
          cursor = piece.next;
        } while (cursor !== undefined);
        await world.propose(group, { op: "outbox-done", sequences: [entry.sequence] });
      }
    }
  }

  /** Resolves the claim of every reference that was not settled until its expiry. */
  async sweep(homeOf: (key: string, bucket: string) => GroupId): Promise<void> {
    const world = this.#world;
    for (const group of world.groups) {
      const old = await world.read((rows) =>
        unconfirmedReferences(rows, group, { beforeMs: world.host.logTime(group), limit: 10_000 }),
      );
      for (const { hash, claim, bucket, key, upload, part } of old) {
        const named = upload === undefined || part === undefined ? {} : { upload, part };
        const command = { op: "resolve-claim", bucket, key, claim, ...named } as const;
        const resolution = await world.propose<ResolveClaimResult>(homeOf(key, bucket), command);
        if (resolution.wait) continue;
        await world.propose(group, { op: resolution.live ? "confirm-refs" : "drop-refs", refs: [{ hash, claim }] });
      }
    }
  }

  /** All references, "hash/claim" sorted. */
  references(): Promise<readonly string[]> {
    return this.#world.read((rows) => {
      const found: string[] = [];
      for (const group of this.#world.groups) {
        eachReference(rows, group, ({ hash, claim }) => {
          found.push(`${hash}/${claim}`);
          return found.length > 10_000_000 ? STOP : undefined;
        });
      }
      return found.sort();
    });
  }

  async #addRefs(refs: readonly NewReference[]): Promise<boolean> {
    let all = true;
    await this.#byGroup(refs, async (some, group) => {
      const { added } = await this.#world.propose<AddRefsResult>(group, { op: "add-refs", refs: some });
      all &&= added.every(Boolean);
    });
    return all;
  }

  #later(op: "confirm-refs" | "drop-refs", claim: ClaimId, body: Body): void {
    if (body.kind === "inline") return;
    const refs = body.blocks.map(({ hash }) => ({ hash, claim }));
    this.#lazy.push(() => this.#byGroup(refs, (some, group) => this.#world.propose(group, { op, refs: some })));
  }

  async #byGroup<T extends { readonly hash: Hash }>(
    all: readonly T[],
    fn: (some: T[], group: GroupId) => Promise<unknown>,
  ): Promise<void> {
    const groups = Map.groupBy(all, ({ hash }) => this.#world.placement.ofHash(hash));
    await Promise.all([...groups].map(([group, some]) => fn(some, group)));
  }
}

export function fullChecksum(bytes: Uint8Array, algorithm: NonNullable<Upload["algorithm"]>) {
  assert.equal(algorithm, "CRC32", "tests of names use the one that node has");
  const value = Buffer.alloc(4);
  value.writeUInt32BE(crc32(bytes));
  return { algorithm, type: "FULL_OBJECT", value: value.toString("base64") } as const;
}
