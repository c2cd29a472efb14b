import assert from "node:assert/strict";
import process from "node:process";
import { describe, test } from "node:test";
import fc from "fast-check";
import type { BucketId, GroupId, Hash } from "../../util/ids.ts";
import type {
  AddRefsResult,
  Body,
  CompleteResult,
  NewReference,
  PutCommand,
  PutResult,
  ResolveClaimResult,
} from "../commands.ts";
import { readPartIndex, readPieces } from "./body-reads.ts";
import { leasedClaims } from "./claims.ts";
import { type ReleaseCursor, releasedBlocks } from "./data-reads.ts";
import { listParts } from "./list-uploads.ts";
import { readOutbox } from "./outbox-row.ts";
import { readHeadVersion } from "./read-version.ts";
import { isReferenced, referencesTo, unconfirmedReferences, zeroHashes } from "./reference-row.ts";
import { claimKey, tombstoneKey, ROW } from "./row-keys.ts";
import {
  bucketRef,
  checkRows,
  claimOf,
  hashOf,
  outboxLength,
  PartitionWorld,
  uploadOf,
  WINDOW_MS,
} from "./testing/partition-world.ts";

const BUCKET = bucketRef(1, 1);
const ETAG = "d41d8cd98f00b204e9800998ecf8427e";
const HEADERS = { system: [], user: [] };

async function open() {
  const world = await PartitionWorld.open();
  await world.makeBucket(BUCKET);
  const group = world.placement.ofKey(BUCKET, "k");
  let claims = 0;
  const put = (key: string, body: Body = inline("x"), more: Partial<PutCommand> = {}) =>
    world.propose<PutResult>(group, { ...putOf(key, ++claims, body), ...more });
  return { world, group, put };
}

function putOf(key: string, claim: number, body: Body): PutCommand {
  return { op: "put", bucket: BUCKET.id, key, claim: claimOf(claim), headers: HEADERS, etag: ETAG, body };
}
function inline(text: string): Body {
  return { kind: "inline", bytes: Buffer.from(text) };
}
function blocks(count: number, first = 1, size = 10): Body {
  const list = Array.from({ length: count }, (_, at) => ({ hash: hashOf(first + at), size, storedSize: size }));
  return { kind: "blocks", size: count * size, blocks: list };
}
function refOf(hash: Hash, claim: number, expiryMs: number, more: Partial<NewReference> = {}): NewReference {
  return { hash, claim: claimOf(claim), size: 10, bucket: BUCKET.id, key: "k", expiryMs, ...more };
}

describe("guards and seals", () => {
  test("without a guard nothing is done; with one everything", async () => {
    const { world, group, put } = await open();
    const other = { op: "delete", bucket: bucketRef(9, 1).id, key: "k" } as const;
    assert.deepEqual(await world.propose(group, other), { ok: false, refused: "no-bucket" });
    assert.ok((await put("k")).ok);
  });

  test("only a higher control index changes a guard, and a seal outlasts it", async () => {
    const { world, group, put } = await open();
    const { id: bucket } = BUCKET;
    assert.deepEqual(await world.propose(group, { op: "seal", bucket, attempt: 1 }), { ok: true });
    await world.propose(group, { op: "set-guard", bucket, settings: { controlIndex: 7, indexShards: 1 } });
    assert.deepEqual(await put("k"), { ok: false, refused: "sealed" });
  });

  test("a seal is refused while a version exists, an upload does not stop it, and it stops puts afterwards", async () => {
    const { world, group, put } = await open();
    const { id: bucket } = BUCKET;
    const seal = (attempt: number) => world.propose(group, { op: "seal", bucket, attempt });
    await put("k");
    assert.deepEqual(await seal(1), { ok: false, refused: "not-empty" });
    await world.propose(group, { op: "delete", bucket, key: "k" });
    await world.propose(group, { op: "create-upload", bucket, key: "k", upload: uploadOf(1), headers: HEADERS });
    assert.deepEqual(await seal(1), { ok: true });
    assert.deepEqual(await put("k"), { ok: false, refused: "sealed" });
    assert.deepEqual(await world.propose(group, { op: "renew-lease", bucket, key: "k", claim: claimOf(1), untilMs: 1 }), {
      ok: false,
      refused: "sealed",
    });
    await world.restart();
    assert.deepEqual(await put("k"), { ok: false, refused: "sealed" }, "seals survive restarts");
    await world.propose(group, { op: "unseal", bucket, attempt: 1 });
    assert.ok((await put("k")).ok);
  });

  test("rule 39: an upload is dropped only under the seal whose attempt is decided, and only once", async () => {
    const { world, group } = await open();
    const { id: bucket } = BUCKET;
    const upload = uploadOf(1);
    const drop = (attempt: number) => world.propose(group, { op: "drop-upload", bucket, attempt, key: "k", upload });
    const notSealed = { ok: false, refused: "not-sealed" };
    await world.propose(group, { op: "create-upload", bucket, key: "k", upload, headers: HEADERS });
    assert.deepEqual(await drop(1), notSealed);
    await world.propose(group, { op: "seal", bucket, attempt: 1 });
    assert.deepEqual(await drop(2), notSealed, "of an attempt that has sealed nothing here");
    await world.propose(group, { op: "unseal", bucket, attempt: 1 });
    assert.deepEqual(await drop(1), notSealed, "of an attempt that was given up");
    await world.propose(group, { op: "seal", bucket, attempt: 2 });
    assert.deepEqual(await world.propose(group, { op: "abort-upload", bucket, key: "k", upload }), {
      ok: false,
      refused: "sealed",
    });
    assert.deepEqual(await drop(1), notSealed, "a late one");
    assert.deepEqual(await drop(2), { ok: true });
    assert.deepEqual(await drop(2), { ok: false, refused: "no-such-upload" });
    await world.read((rows) => checkRows(rows, world));
    await world.propose(group, { op: "set-tombstone", bucket, attempt: 2, untilMs: world.wall.now + 1_000 });
    assert.deepEqual(await drop(2), { ok: false, refused: "no-bucket" });
  });

  test("rule 38: a late seal of an attempt that was unsealed is refused, and an old unseal does not open a newer seal", async () => {
    const { world, group, put } = await open();
    const { id: bucket } = BUCKET;
    await world.propose(group, { op: "unseal", bucket, attempt: 1 });
    assert.deepEqual(await world.propose(group, { op: "seal", bucket, attempt: 1 }), { ok: false, refused: "old-attempt" });
    assert.deepEqual(await world.propose(group, { op: "seal", bucket, attempt: 3 }), { ok: true });
    await world.propose(group, { op: "unseal", bucket, attempt: 2 });
    assert.deepEqual(await put("k"), { ok: false, refused: "sealed" });
    assert.deepEqual(await world.propose(group, { op: "set-tombstone", bucket, attempt: 2, untilMs: 1 }), { ok: false });
  });

  test("rule 41: a bucket's tombstone refuses until its time has passed in log time, and its guard goes then", async () => {
    const { world, group, put } = await open();
    const { id: bucket } = BUCKET;
    const rows = () => world.kv.stats().rows.rows;
    await world.propose(group, { op: "seal", bucket, attempt: 1 });
    const untilMs = world.wall.now + 1_000;
    assert.deepEqual(await world.propose(group, { op: "set-tombstone", bucket, attempt: 1, untilMs }), { ok: true });
    assert.deepEqual(await world.propose(group, { op: "set-tombstone", bucket, attempt: 1, untilMs }), { ok: true });
    assert.deepEqual(await put("k"), { ok: false, refused: "no-bucket" });
    assert.deepEqual(await world.propose(group, { op: "seal", bucket, attempt: 2 }), { ok: false, refused: "no-bucket" });
    const before = rows();
    await world.propose(group, { op: "set-guard", bucket: bucketRef(8, 1).id, settings: { controlIndex: 1, indexShards: 1 } });
    assert.equal(rows(), before + 2, "it is not time yet: a guard and counters more");
    world.wall.now = untilMs + 1;
    await world.propose(group, { op: "set-guard", bucket: bucketRef(8, 1).id, settings: { controlIndex: 1, indexShards: 1 } });
    assert.equal(rows(), before, "the guard and its tombstone are gone");
    assert.deepEqual(await put("k"), { ok: false, refused: "no-bucket" });
  });
});

describe("references", () => {
  test("who needs a block, with the way back; settled ones are asked no more", async () => {
    const { world } = await open();
    const group = world.placement.ofHash(hashOf(1));
    const expiryMs = world.wall.now + WINDOW_MS;
    const part = { upload: uploadOf(3), part: 7 };
    const refs = [refOf(hashOf(1), 1, expiryMs), refOf(hashOf(1), 2, expiryMs + 5, part)];
    assert.deepEqual(await world.propose(group, { op: "add-refs", refs }), { added: [true, true] });
    assert.deepEqual(await world.propose(group, { op: "add-refs", refs }), { added: [true, true] }, "a repeated command");
    const found = await world.read((rows) => referencesTo(rows, group, hashOf(1), 10));
    assert.deepEqual(found, [
      { kind: "known", ...refOf(hashOf(1), 1, expiryMs), upload: undefined, part: undefined },
      { kind: "known", ...refOf(hashOf(1), 2, expiryMs + 5), ...part },
    ]);
    const old = (beforeMs: number) => world.read((rows) => unconfirmedReferences(rows, group, { beforeMs, limit: 10 }));
    assert.equal((await old(expiryMs)).length, 0);
    assert.equal((await old(expiryMs + 1)).length, 1);
    assert.equal((await old(expiryMs + 6)).length, 2);
    await world.propose(group, { op: "confirm-refs", refs: [{ hash: hashOf(1), claim: claimOf(1) }] });
    assert.deepEqual(
      (await old(expiryMs + 6)).map(({ claim }) => claim),
      [claimOf(2)],
    );
  });

  test("the last reference dropped leaves a zero row with the log time; a new reference takes it away", async () => {
    const { world } = await open();
    const hash = hashOf(1);
    const group = world.placement.ofHash(hash);
    const expiryMs = world.wall.now + WINDOW_MS;
    const zeros = (beforeMs: number) => world.read((rows) => zeroHashes(rows, group, { beforeMs, limit: 10 }));
    const drop = (...claims: number[]) =>
      world.propose(group, { op: "drop-refs", refs: claims.map((claim) => ({ hash, claim: claimOf(claim) })) });
    await world.propose(group, { op: "add-refs", refs: [1, 2, 3].map((claim) => refOf(hash, claim, expiryMs)) });
    await drop(1, 9);
    assert.deepEqual(await zeros(Number.MAX_SAFE_INTEGER), []);
    world.wall.now += 10;
    await drop(2, 3);
    assert.deepEqual(await zeros(world.wall.now), []);
    assert.deepEqual(await zeros(world.wall.now + 1), [{ hash, sinceMs: world.wall.now }]);
    const since = world.wall.now;
    world.wall.now += 10;
    await drop(2, 3);
    assert.deepEqual(await zeros(world.wall.now + 1), [{ hash, sinceMs: since }], "dropping again does not move the time");
    await world.propose(group, { op: "add-refs", refs: [refOf(hash, 4, expiryMs)] });
    assert.deepEqual(await zeros(Number.MAX_SAFE_INTEGER), []);
    assert.deepEqual(await world.propose(group, { op: "forget-hash", hash }), { ok: false });
    await drop(4);
    assert.deepEqual(await world.propose(group, { op: "forget-hash", hash }), { ok: true });
    assert.deepEqual(await zeros(Number.MAX_SAFE_INTEGER), []);
  });

  test("rule 34: a copy's reference is added only where the source's own still is", async () => {
    const { world } = await open();
    const hash = hashOf(1);
    const group = world.placement.ofHash(hash);
    const expiryMs = world.wall.now + WINDOW_MS;
    await world.propose(group, { op: "add-refs", refs: [refOf(hash, 1, expiryMs)] });
    const copies = [refOf(hash, 2, expiryMs, { onlyIfClaim: claimOf(1) }), refOf(hash, 3, expiryMs, { onlyIfClaim: claimOf(9) })];
    assert.deepEqual(await world.propose<AddRefsResult>(group, { op: "add-refs", refs: copies }), { added: [true, false] });
    assert.deepEqual(
      (await world.read((rows) => referencesTo(rows, group, hash, 10))).map(({ claim }) => claim),
      [claimOf(1), claimOf(2)],
    );
  });
});

describe("claims", () => {
  const resolveClaimOf = (claim: number) =>
    ({ op: "resolve-claim", bucket: BUCKET.id, key: "k", claim: claimOf(claim) }) as const;

  test("rule 36: a dead claim is fenced for as long as a command with it could come; a live one is not touched", async () => {
    const { world, group, put } = await open();
    const { now } = world.wall;
    await put("k", blocks(2), { claim: claimOf(50) });
    assert.deepEqual(await world.propose<ResolveClaimResult>(group, resolveClaimOf(50)), { live: true });
    assert.deepEqual(await world.propose<ResolveClaimResult>(group, resolveClaimOf(51)), { live: false });
    assert.deepEqual(await put("k", blocks(2), { claim: claimOf(51) }), { ok: false, refused: "claim-fenced" });
    const pend = { op: "renew-lease", bucket: BUCKET.id, key: "k", claim: claimOf(51), untilMs: now + 1 } as const;
    assert.deepEqual(await world.propose(group, pend), { ok: false, refused: "claim-fenced" });
    world.wall.now += WINDOW_MS;
    assert.deepEqual(await put("k", blocks(2), { claim: claimOf(51) }), { ok: false, refused: "claim-fenced" });
    world.wall.now += 1;
    const late = world.propose(group, putOf("k", 51, blocks(2)), now + WINDOW_MS);
    await assert.rejects(late, { code: "group.unknown-outcome" }, "what was under way has expired by now");
    await put("k", inline("other"));
    assert.deepEqual(await world.propose<ResolveClaimResult>(group, resolveClaimOf(50)), { live: false }, "replaced");
  });

  test("an upload that renews its upload lease lives; one whose row ran out is dead, and no late renewal revives it", async () => {
    const { world, group, put } = await open();
    const pend = (claim: number, untilMs: number, renew = false) =>
      world.propose(group, {
        op: "renew-lease",
        bucket: BUCKET.id,
        key: "k",
        claim: claimOf(claim),
        untilMs,
        ...(renew ? { renew } : {}),
      });
    const start = world.wall.now;
    assert.deepEqual(await pend(1, start + 100, true), { ok: false, refused: "lease-lost" });
    assert.deepEqual(await pend(1, start + 100), { ok: true });
    assert.deepEqual(await put("k", blocks(1), { claim: claimOf(2), needsLease: true }), {
      ok: false,
      refused: "lease-lost",
    });
    assert.deepEqual(await world.propose(group, resolveClaimOf(1)), { live: true, wait: true });
    assert.deepEqual(await pend(1, start + 300, true), { ok: true });
    world.wall.now = start + 200;
    assert.deepEqual(await world.propose(group, resolveClaimOf(1)), { live: true, wait: true });
    assert.equal((await world.read((rows) => leasedClaims(rows, group))).length, 1);
    assert.ok((await put("k", blocks(1), { claim: claimOf(1), needsLease: true })).ok);
    assert.deepEqual(await world.read((rows) => leasedClaims(rows, group)), [], "the commit takes the row away");
    await pend(3, start + 300);
    world.wall.now = start + 301;
    assert.deepEqual(await world.propose(group, resolveClaimOf(3)), { live: false });
    world.wall.now += 10 * WINDOW_MS;
    assert.deepEqual(await pend(3, world.wall.now + 100, true), { ok: false, refused: "lease-lost" });
    assert.deepEqual(await put("k", blocks(1), { claim: claimOf(3), needsLease: true }), {
      ok: false,
      refused: "lease-lost",
    });
  });

  test("an upload lease that nobody renews goes with the next one of its partition, and none reaches further ahead than commandWindow", async () => {
    const { world, group } = await open();
    const pend = (claim: number, untilMs: number) =>
      world.propose(group, { op: "renew-lease", bucket: BUCKET.id, key: "k", claim: claimOf(claim), untilMs });
    const pending = async () => (await world.read((rows) => leasedClaims(rows, group))).map(({ claim }) => claim);
    const start = world.wall.now;
    await pend(1, start + 50 * WINDOW_MS);
    await pend(2, start + WINDOW_MS);
    world.wall.now = start + 2 * WINDOW_MS;
    await pend(3, world.wall.now + WINDOW_MS);
    assert.deepEqual(await pending(), [claimOf(1), claimOf(2), claimOf(3)], "late, but perhaps alive");
    world.wall.now += 1;
    await pend(4, world.wall.now + WINDOW_MS);
    assert.deepEqual(await pending(), [claimOf(3), claimOf(4)]);
  });

  test("a damaged row of a claim or of a tombstone stops nobody else", async () => {
    const { world, group, put } = await open();
    const { id: bucket } = BUCKET;
    const pend = (claim: number) =>
      world.propose(group, { op: "renew-lease", bucket, key: "k", claim: claimOf(claim), untilMs: world.wall.now + 1_000 });
    await pend(1);
    world.disk.damage("rows", claimKey(group, ROW.uploadLease, claimOf(1)), 5);
    assert.deepEqual(await pend(2), { ok: true });
    assert.deepEqual(await world.propose(group, resolveClaimOf(3)), { live: false });
    world.disk.damage("rows", claimKey(group, ROW.fenced, claimOf(3)), 5);
    assert.deepEqual(await world.propose(group, resolveClaimOf(4)), { live: false });
    assert.ok((await put("k")).ok);

    const gone = bucketRef(2, 1).id;
    const settings = { controlIndex: 1, indexShards: 1 };
    await world.propose(group, { op: "set-guard", bucket: gone, settings });
    await world.propose(group, { op: "seal", bucket: gone, attempt: 1 });
    const untilMs = world.wall.now + 10;
    assert.deepEqual(await world.propose(group, { op: "set-tombstone", bucket: gone, attempt: 1, untilMs }), { ok: true });
    world.disk.damage("rows", tombstoneKey(group, untilMs, gone), 3);
    world.wall.now += 100;
    assert.deepEqual(await world.propose(group, { op: "set-guard", bucket: bucketRef(3, 1).id, settings }), { ok: true });
  });

  test("parts: live with their upload, with the version that took them, and never when left out or replaced", async () => {
    const { world, group } = await open();
    const upload = uploadOf(1);
    const { id: bucket } = BUCKET;
    const place = { bucket, key: "k", upload } as const;
    await world.propose(group, { op: "create-upload", ...place, headers: HEADERS });
    const part = (number: number, claim: number) =>
      world.propose(group, {
        op: "put-part",
        ...place,
        part: number,
        claim: claimOf(claim),
        etag: ETAG,
        body: blocks(2, claim * 10),
      });
    for (const [number, claim] of [
      [1, 11],
      [2, 12],
      [2, 13],
      [3, 14],
    ] as const)
      await part(number, claim);
    const partOf: Readonly<Record<number, number>> = { 11: 1, 12: 2, 13: 2, 14: 3 };
    const live = async (claim: number): Promise<boolean> => {
      const asked = { ...resolveClaimOf(claim), upload };
      const resolution = await world.propose<ResolveClaimResult>(group, { ...asked, part: partOf[claim] as number });
      assert.deepEqual(await world.propose<ResolveClaimResult>(group, asked), resolution, "all parts are looked at");
      return resolution.live;
    };
    assert.deepEqual([await live(11), await live(13), await live(14)], [true, true, true]);
    const parts = [1, 2].map((number) => ({ part: number, etag: ETAG }));
    assert.ok((await world.propose<CompleteResult>(group, { op: "complete-upload", ...place, parts, minPartSize: 0 })).ok);
    assert.deepEqual([await live(11), await live(12), await live(13), await live(14)], [true, false, true, false]);
    await world.propose(group, { op: "delete", bucket, key: "k" });
    assert.deepEqual([await live(11), await live(13)], [false, false]);
  });
});

describe("a command that comes again under its own claim, when its result in the dedup table has gone", () => {
  // Blocks that are embedded in the row, and blocks in pages of their own.
  for (const count of [3, 3_000])
    for (const op of ["put", "put-part"] as const)
      test(`${op} of ${count} blocks: they are needed still, and nothing releases them`, async () => {
        const { world, group } = await open();
        const { id: bucket } = BUCKET;
        const upload = uploadOf(1);
        await world.propose(group, { op: "create-upload", bucket, key: "k", upload, headers: HEADERS });
        const body = blocks(count);
        const write = (claim: number) =>
          op === "put"
            ? world.propose<{ readonly ok: boolean }>(group, putOf("k", claim, body))
            : world.propose<{ readonly ok: boolean }>(group, {
                ...{ op, bucket, key: "k", upload, part: 1, claim: claimOf(claim), etag: ETAG, body },
              });
        const outbox = () => world.read((rows) => readOutbox(rows, group, { after: 0, limit: 10 }));
        assert.ok((await write(1)).ok);
        assert.ok((await write(1)).ok);
        assert.deepEqual(await outbox(), []);
        await world.read((rows) => checkRows(rows, world));
        assert.ok((await write(2)).ok);
        const [entry, ...more] = await outbox();
        assert.ok(entry?.kind === "body" && entry.claim === claimOf(1) && more.length === 0, "another claim's replaces it");
      });
});

describe("big bodies", () => {
  test("a body of many pages: read from any offset, released by one outbox row, nothing left", async () => {
    const { world, group, put } = await open();
    const count = 2_500;
    assert.ok((await put("k", blocks(count))).ok);
    const place = await placeOf(world, group, "k");
    for (const offset of [0, 9, 10, 10_239, 10_240, 20_485, 24_999]) {
      const pieces = await world.read((rows) => readPieces(rows, place, offset, 5));
      assert.ok(pieces);
      assert.equal(pieces[0]?.offset, offset - (offset % 10));
      assert.deepEqual(
        pieces.map((piece) => (piece.kind === "block" ? piece.hash : "")),
        pieces.map((piece) => hashOf(1 + piece.offset / 10)),
      );
    }
    assert.deepEqual(await world.read((rows) => readPieces(rows, place, 25_000, 5)), []);
    await put("k", inline("small"));
    assert.ok(await world.read((rows) => readPieces(rows, place, 0, 5)), "readable until it is released");
    const [entry] = await world.read((rows) => readOutbox(rows, group, { after: 0, limit: 10 }));
    assert.ok(entry);
    await world.propose(group, { op: "outbox-done", sequences: [entry.sequence] });
    assert.equal(await world.read((rows) => readPieces(rows, place, 0, 5)), undefined);
    assert.deepEqual(world.kv.stats().rows.bodies, 1);
  });

  test("an aborted upload releases every block, however many of its parts lie inline", async () => {
    const { world, group } = await open();
    const { id: bucket } = BUCKET;
    const place = { bucket, key: "k", upload: uploadOf(1) } as const;
    await world.propose(group, { op: "create-upload", ...place, headers: HEADERS });
    const bodies = Array.from({ length: 2_500 }, (_, at) => (at % 1_200 === 1_199 ? blocks(2, at) : inline("x")));
    await Promise.all(
      bodies.map((body, at) =>
        world.propose(group, { op: "put-part", ...place, part: at + 1, claim: claimOf(at + 1), etag: ETAG, body }),
      ),
    );
    await world.propose(group, { op: "abort-upload", ...place });
    const [entry] = await world.read((rows) => readOutbox(rows, group, { after: 0, limit: 10 }));
    assert.ok(entry);
    const released: Hash[] = [];
    let cursor: ReleaseCursor | undefined;
    do {
      const at = cursor;
      const piece = await world.read((rows) => releasedBlocks(rows, group, entry, at));
      released.push(...piece.blocks.map(({ hash }) => hash));
      cursor = piece.next;
    } while (cursor !== undefined);
    assert.deepEqual(released, [1_199, 1_200, 2_399, 2_400].map(hashOf));
    await world.propose(group, { op: "outbox-done", sequences: [entry.sequence] });
    assert.equal(world.kv.stats().rows.bodies, 0);
  });

  test("10,000 parts: completed by one command, found by position and by offset, listed in pages, released", async () => {
    const { world, group } = await open();
    const { id: bucket } = BUCKET;
    const upload = uploadOf(1);
    const place = { bucket, key: "k", upload } as const;
    await world.propose(group, { op: "create-upload", ...place, headers: HEADERS });
    const numbers = Array.from({ length: 10_000 }, (_, at) => at + 1);
    const sizes = numbers.map((number) => 1 + (number % 3));
    await Promise.all(
      numbers.map((number, at) =>
        world.propose(group, {
          op: "put-part",
          ...place,
          part: number,
          claim: claimOf(number),
          etag: ETAG,
          body: blocks(1, number, sizes[at] as number),
        }),
      ),
    );
    const page = await world.read((rows) => listParts(rows, group, { ...place, after: 9_998, limit: 1_000 }));
    assert.deepEqual([page?.parts.map(({ part }) => part), page?.truncated], [[9_999, 10_000], false]);
    const first = await world.read((rows) => listParts(rows, group, { ...place, after: 0, limit: 1_000 }));
    assert.deepEqual([first?.parts.length, first?.truncated], [1_000, true]);
    const parts = numbers.map((part) => ({ part, etag: ETAG }));
    const complete = { op: "complete-upload", ...place, parts, minPartSize: 0 } as const;
    const result = await world.propose<CompleteResult>(group, complete);
    assert.ok(result.ok && result.etag.endsWith("-10000"));
    assert.deepEqual(await world.propose<CompleteResult>(group, complete), result, "asked again");
    const body = await placeOf(world, group, "k");
    assert.equal(
      body.sizeBytes,
      sizes.reduce((a, b) => a + b),
    );
    for (const after of [0, 1_023, 1_024, 5_000, 9_999]) {
      const index = await world.read((rows) => readPartIndex(rows, body, after, 2));
      const offset = sizes.slice(0, after).reduce((a, b) => a + b, 0);
      assert.deepEqual(index?.[0], { position: after + 1, offset, entry: { number: after + 1, size: sizes[after] } });
      const pieces = await world.read((rows) => readPieces(rows, body, offset, 1));
      assert.deepEqual([pieces?.[0]?.offset, pieces?.[0]?.size], [offset, sizes[after]]);
    }
    await world.read((rows) => checkRows(rows, world));
    await world.propose(group, { op: "delete", bucket, key: "k" });
    const entries = await world.read((rows) => readOutbox(rows, group, { after: 0, limit: 10 }));
    assert.equal(entries.length, 1);
    await world.propose(group, { op: "outbox-done", sequences: entries.map(({ sequence }) => sequence) });
    assert.equal(world.kv.stats().rows.bodies, 0);
    assert.equal(await world.read((rows) => outboxLength(rows, world)), 0);
  });
});

async function placeOf(world: PartitionWorld, group: GroupId, key: string) {
  const head = await world.read((rows) => readHeadVersion(rows, group, BUCKET.id, key));
  assert.ok(head);
  return { group, bucket: BUCKET.id as BucketId, key, ...head.content };
}

describe("multipart checksums", () => {
  const crc = (text: string) => Buffer.from(text, "hex").toString("base64");
  test("composite and full object CRC32 of two parts; digests that the client gave are compared", async () => {
    const { world, group } = await open();
    const { id: bucket } = BUCKET;
    // CRC-32 of "hello " and "world" and of both: known values.
    const sums = [crc("ed81f9f6"), crc("3a771143")];
    for (const [at, type, value] of [
      [1, "FULL_OBJECT", crc("0d4a1185")],
      [2, "COMPOSITE", undefined],
    ] as const) {
      const upload = uploadOf(at);
      const place = { bucket, key: "k", upload } as const;
      await world.propose(group, { op: "create-upload", ...place, headers: HEADERS, checksum: { algorithm: "CRC32", type } });
      const part = (number: number, sum: string | undefined, size: number) =>
        world.propose(group, {
          op: "put-part",
          ...place,
          part: number,
          claim: claimOf(at * 10 + number),
          etag: ETAG,
          body: inline("x".repeat(size)),
          ...(sum === undefined ? {} : { checksum: { algorithm: "CRC32", type: "FULL_OBJECT", value: sum } }),
        });
      assert.deepEqual(await part(1, undefined, 6), { ok: false, refused: "checksum-type-mismatch" });
      await part(1, sums[0], 6);
      await part(2, sums[1], 5);
      const parts = [1, 2].map((number) => ({ part: number, etag: ETAG, checksums: { CRC32: sums[number - 1] as string } }));
      const complete = { op: "complete-upload", ...place, parts, minPartSize: 6 } as const;
      const swapped = parts.map((wanted, n) => ({ ...wanted, checksums: { CRC32: sums[1 - n] as string } }));
      assert.deepEqual(await world.propose(group, { ...complete, parts: swapped }), {
        ok: false,
        refused: "invalid-part",
        part: 1,
      });
      assert.deepEqual(await world.propose(group, { ...complete, fullObjectChecksum: sums[0] as string }), {
        ok: false,
        refused: "bad-digest",
      });
      assert.deepEqual(await world.propose(group, { ...complete, objectSize: 10 }), {
        ok: false,
        refused: "wrong-object-size",
        sizeBytes: 11,
      });
      assert.deepEqual(await world.propose(group, { ...complete, minPartSize: 7 }), {
        ok: false,
        refused: "part-too-small",
        part: 1,
      });
      const result = await world.propose<CompleteResult>(group, complete);
      assert.ok(result.ok);
      if (value) assert.deepEqual(result.checksum, { algorithm: "CRC32", type, value });
      else assert.match(result.checksum?.value ?? "", /^[A-Za-z0-9+/]{6}==-2$/);
    }
  });
});

test("headers that no row can hold fail their own command before it writes, and nothing else", async () => {
  const { world, put } = await open();
  for (const body of [inline("x"), blocks(100)]) {
    const headers = { system: [["cache-control", "x".repeat(70_000)] as const], user: [] };
    const [before, wide, behind] = await Promise.allSettled([put("a", body), put("k", body, { headers }), put("z", body)]);
    assert.deepEqual([before?.status, wide?.status, behind?.status], ["fulfilled", "rejected", "fulfilled"]);
  }
  await world.read((rows) => checkRows(rows, world));
});

describe("batches", () => {
  /** Longer: HANGAR_PROPERTY_RUNS=2000. */
  const RUNS = Number(process.env["HANGAR_PROPERTY_RUNS"] ?? 40);
  const step = fc.record({
    key: fc.constantFrom("a", "b", "\0", "a\0"),
    kind: fc.constantFrom("create" as const, "replace" as const, "put" as const, "delete" as const),
  });

  test("commands proposed together decide as if one after the other; a crash keeps all of a commit or none", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(step, { minLength: 1, maxLength: 12 }), { maxLength: 6 }),
        fc.constantFrom("lost" as const, "kept" as const),
        async (rounds, inFlight) => {
          const { world, group } = await open();
          let model = new Map<string, string>();
          let claims = 0;
          const send = (present: Map<string, string>, steps: (typeof rounds)[number]) =>
            steps.map(({ key, kind }) => {
              const claim = ++claims;
              if (kind === "delete") {
                const existed = present.delete(key);
                const result = world.propose(group, { op: "delete", bucket: BUCKET.id, key });
                return { result, expected: { ok: true, existed } };
              }
              const has = present.has(key);
              const refused =
                kind === "create" && has ? "precondition-failed" : kind === "replace" && !has ? "no-such-key" : undefined;
              if (!refused) present.set(key, claimOf(claim));
              const condition =
                kind === "create"
                  ? { condition: { ifNoneMatch: "*" } as const }
                  : kind === "replace"
                    ? { condition: { ifMatch: "*" } as const }
                    : {};
              const body = claim % 2 ? inline("y") : blocks(2, claim * 2);
              const result = world.propose<PutResult>(group, { ...putOf(key, claim, body), ...condition });
              return { result, expected: refused ? { ok: false, refused } : { ok: true } };
            });
          const compare = async (expected: Map<string, string>): Promise<boolean> => {
            for (const key of ["a", "b", "\0", "a\0"]) {
              const head = await world.read((rows) => readHeadVersion(rows, group, BUCKET.id, key));
              if (head?.content.claim !== expected.get(key)) return false;
            }
            return true;
          };
          for (const steps of rounds) {
            for (const { result, expected } of send(model, steps)) {
              const { ok, refused, existed } = (await result) as Record<string, unknown>;
              assert.deepEqual({ ok, ...(refused ? { refused } : {}), ...(existed === undefined ? {} : { existed }) }, expected);
            }
          }
          assert.ok(await compare(model));
          const after = new Map(model);
          for (const { result } of send(after, rounds[0] ?? [])) result.catch(() => {});
          await Promise.resolve();
          await Promise.resolve();
          await world.crash(inFlight);
          if (await compare(after)) model = after;
          assert.ok(await compare(model), "all of the batch or none");
          await world.read((rows) => checkRows(rows, world));
          assert.equal(await world.read((rows) => isReferenced(rows, group, hashOf(1))), false);
        },
      ),
      { numRuns: RUNS },
    );
  });
});
