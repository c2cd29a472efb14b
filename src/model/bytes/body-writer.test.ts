import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { describe, it } from "node:test";
import { crc32 } from "node:zlib";
import { GroupError } from "../../group/groups.ts";
import type { ByteSource } from "../../util/byte-source.ts";
import { type PutRequest, ServiceError, type Upload } from "../object-service.ts";
import type { WrittenBody } from "./data-path.ts";
import {
  BLOCK,
  DataWorld,
  GC_DELAY_MS,
  INLINE,
  inPieces,
  readAll,
  someBytes,
  uploadOf,
  WINDOW_MS,
} from "../upkeep/testing/data-world.ts";

const md5 = (bytes: Uint8Array): string => createHash("md5").update(bytes).digest("hex");
const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

async function writeOk(world: DataWorld, bytes: Uint8Array, more: Partial<Upload> = {}): Promise<WrittenBody> {
  const written = await world.settle(world.data.writer.write(uploadOf(bytes, world.random, more), world.target("k")));
  assert.ok(written.ok, JSON.stringify(written));
  return written;
}

/** Nothing is left in memory, and after the janitor nothing on disk. */
async function assertNothingLeft(world: DataWorld, { killed = false } = {}): Promise<void> {
  await world.settle(world.data.flush());
  // Whoever lives drops its references at once; those of the dead wait until their claim is resolved.
  if (!killed) assert.equal((await world.settle(world.data.audit())).references, 0);
  assert.equal(world.cpu.stats().bytesInUse, 0);
  assert.equal(world.data.budgets.writing.heldBytes, 0);
  const report = await world.clean();
  assert.deepEqual([report.broken, report.unfinished], [[], []]);
  assert.equal(report.references, 0);
  assert.equal(report.files, 0);
}

describe("writing bodies", () => {
  for (const size of [0, 1, INLINE - 1, INLINE, INLINE + 1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK, 7 * BLOCK + 13])
    for (const known of [true, false])
      it(`${size} bytes, size ${known ? "known" : "unknown"}: digests, blocks, and the same bytes back in any range`, async () => {
        const world = await DataWorld.open(size + 1);
        const bytes = someBytes(world.random, size);
        const written = await writeOk(world, bytes, {
          algorithm: "CRC32",
          sha256: sha256(bytes),
          ...(known ? { sizeBytes: size } : {}),
        });
        assert.equal(written.etag, md5(bytes));
        assert.equal(written.sizeBytes, size);
        const crc = Buffer.alloc(4);
        crc.writeUInt32BE(crc32(bytes));
        assert.deepEqual(written.checksum, { algorithm: "CRC32", type: "FULL_OBJECT", value: crc.toString("base64") });
        assert.equal(written.body.kind, size <= INLINE ? "inline" : "blocks");
        if (written.body.kind === "blocks") {
          assert.deepEqual(
            written.body.blocks.map((block) => block.hash),
            Array.from({ length: Math.ceil(size / BLOCK) }, (_, at) => sha256(bytes.subarray(at * BLOCK, (at + 1) * BLOCK))),
          );
          const place = { ...world.target("k"), sizeBytes: size, stored: written.body };
          for (let i = 0; i < 20; i++) {
            const start = Math.floor(world.random() * (size + 1));
            const end = start + Math.floor(world.random() * (size + 1 - start));
            const got = await world.settle(readAll(world.data.reader.open(place, { start, end })));
            assert.ok(bytes.subarray(start, end).equals(got), `range ${start}–${end}`);
          }
          assert.equal(world.data.budgets.reading.heldBytes, 0);
          assert.equal(world.data.pins.count, 0);
        } else assert.ok(bytes.equals(written.body.bytes));
      });

  const bytes = someBytes(() => 0.5, 3 * BLOCK + 5);
  const small = bytes.subarray(0, INLINE);
  const single = bytes.subarray(0, BLOCK - 1);
  const wrong = createHash("md5").update("other").digest();
  for (const [body, name] of [
    [small, "inline"],
    [single, "one block"],
    [bytes, "several blocks"],
  ] as const) {
    const refusals: readonly [string, Partial<Upload>, object][] = [
      ["Content-MD5", { md5: wrong }, { code: "bad-digest", which: "md5", expected: wrong.toString("base64") }],
      ["signed SHA-256", { sha256: "0".repeat(64) }, { code: "bad-digest", which: "sha256", computed: sha256(body) }],
      [
        "trailing checksum",
        { algorithm: "CRC32C", expectedChecksum: () => "AAAAAA==" },
        { code: "bad-digest", which: "CRC32C", expected: "AAAAAA==" },
      ],
      ["short body", { sizeBytes: body.byteLength + 1 }, { code: "incomplete-body", received: body.byteLength }],
      ["long body", { sizeBytes: body.byteLength - 1 }, { code: "incomplete-body", expected: body.byteLength - 1 }],
      ["announced size beyond the limit", { sizeBytes: 6 * 1024 ** 3 }, { code: "too-large" }],
    ];
    for (const [why, more, expected] of refusals)
      it(`refuses a wrong ${why} (${name}) and keeps nothing`, async () => {
        const world = await DataWorld.open();
        const outcome = await world.settle(world.data.writer.write(uploadOf(body, world.random, more), world.target("k")));
        assert.equal(outcome.ok, false);
        for (const [field, value] of Object.entries(expected))
          assert.deepEqual((outcome as unknown as Record<string, unknown>)[field], value);
        await assertNothingLeft(world);
      });
  }

  for (const failAt of [0, 50, 500, 1500, 2999])
    it(`keeps nothing of a client that vanishes after ${failAt} bytes`, async () => {
      const world = await DataWorld.open(failAt + 1);
      const source = inPieces(bytes, world.random, { failAt });
      const upload = { source, sizeBytes: bytes.byteLength, signal: new AbortController().signal };
      await assert.rejects(world.settle(world.data.writer.write(upload, world.target("k"))), /vanished/);
      await assertNothingLeft(world);
    });

  for (const code of ["disk.full", "disk.io"] as const)
    it(`keeps nothing when a disk says ${code} in the middle`, async () => {
      const world = await DataWorld.open();
      let left = 3;
      world.fault = (operation, path) => (operation === "sync" && path.startsWith("/data/") && --left < 0 ? code : undefined);
      await assert.rejects(
        world.settle(world.data.writer.write(uploadOf(bytes, world.random), world.target("k"))),
        (error) =>
          error instanceof ServiceError && error.code === (code === "disk.full" ? "service.no-space" : "service.unavailable"),
      );
      world.fault = () => undefined;
      await assertNothingLeft(world);
    });

  it("keeps nothing when references can't be added", async () => {
    const world = await DataWorld.open();
    let count = 0;
    world.beforePropose = async (command) => {
      if (command.op === "add-refs" && ++count === 2) throw new ServiceError("service.unavailable", "no majority");
    };
    await assert.rejects(world.settle(world.data.writer.write(uploadOf(bytes, world.random), world.target("k"))), ServiceError);
    await assertNothingLeft(world);
  });

  it("a reference whose outcome is unknown leaves the write itself certainly undone", async () => {
    const world = await DataWorld.open();
    world.beforePropose = async (command) => {
      if (command.op === "add-refs") throw new GroupError("group.unknown-outcome", "no majority");
    };
    await assert.rejects(
      world.settle(world.data.writer.write(uploadOf(bytes, world.random), world.target("k"))),
      (error) => error instanceof ServiceError && error.code === "service.unavailable",
    );
  });

  it("sends the bytes again when it learned of the reference late (rule 32)", async () => {
    const world = await DataWorld.open();
    let writes = 0;
    world.fault = (operation, path) => {
      if (operation === "rename" && path.startsWith("/data/")) writes++;
      return undefined;
    };
    world.beforePropose = async (command) => {
      if (command.op === "add-refs") await new Promise<void>((resolve) => world.time.schedule(GC_DELAY_MS * 0.6, resolve));
    };
    await writeOk(world, single);
    assert.equal(writes, 2);
    world.beforePropose = async (command) => {
      if (command.op === "add-refs") await new Promise<void>((resolve) => world.time.schedule(GC_DELAY_MS * 0.4, resolve));
    };
    await writeOk(world, someBytes(world.random, BLOCK - 2));
    assert.equal(writes, 3);
  });

  it("gives its share of the memory back when there is none to be had", async () => {
    const world = await DataWorld.open();
    const allocate = world.cpu.allocate.bind(world.cpu);
    world.cpu.allocate = () => {
      throw new RangeError("Array buffer allocation failed");
    };
    await assert.rejects(world.settle(world.data.writer.write(uploadOf(bytes, world.random), world.target("k"))), RangeError);
    world.cpu.allocate = allocate;
    assert.equal(world.data.budgets.writing.heldBytes, 0);
    await assertNothingLeft(world);
  });

  it("tells to slow down when the memory stays taken", async () => {
    const world = await DataWorld.open();
    const { writing } = world.data.budgets;
    assert.ok(writing.tryTake(writing.limitBytes));
    await assert.rejects(
      world.settle(world.data.writer.write(uploadOf(bytes, world.random), world.target("k"))),
      (error) => error instanceof ServiceError && error.code === "service.slow-down",
    );
    writing.give(writing.limitBytes);
    await assertNothingLeft(world);
  });
});

describe("memory of all uploads", () => {
  /** All there is, in blocks. */
  const BUDGET = 20;

  /**
   * A client that sends `bytes` of its upload and then stops, until it is cut off; it fails a little later, as a socket's end is
   * noticed.
   */
  class Staller {
    readonly outcome: Promise<unknown>;
    readonly #stopped = Promise.withResolvers<null>();
    readonly #world: DataWorld;
    #stalledMs = 0;
    #waitedFor = false;
    cut = false;
    /** Says that it has stalled even while nobody waits for it. */
    slanders = false;

    constructor(world: DataWorld, bytes: number, announced: number) {
      this.#world = world;
      this.#stopped.promise.catch(() => {});
      const sent = inPieces(someBytes(world.random, bytes), world.random);
      const source: ByteSource = {
        sender: this,
        read: async () => {
          const piece = await sent.read();
          if (piece !== null) return piece;
          this.#waitedFor = true;
          return this.#stopped.promise;
        },
        cancel() {},
      };
      const upload = { source, sizeBytes: announced, signal: new AbortController().signal };
      this.outcome = world.data.writer.write(upload, world.target("k")).catch((error: unknown) => error);
    }

    get stalledMs(): number {
      return this.#waitedFor || this.slanders ? this.#stalledMs : 0;
    }
    set stalledMs(forMs: number) {
      this.#stalledMs = forMs;
    }

    cutOff(): void {
      this.cut = true;
      this.#world.node.clock.timer(50, () => this.leave());
    }

    leave(): void {
      this.#stopped.reject(new Error("timeout"));
    }
  }

  const numbersOf = (stallers: readonly Staller[]): number[] => stallers.flatMap(({ cut }, n) => (cut ? [n] : []));

  it("that is all in use is taken from those who have stalled longest, and from no more than needed", async () => {
    const world = await DataWorld.open();
    const { writing } = world.data.budgets;
    // Some have a block on its way or on disk when they stop, some have filled theirs to the brim.
    const stallers = Array.from(
      { length: BUDGET },
      (_, n) => new Staller(world, (n % 3 === 0 ? BLOCK : 0) + (n % 2 === 0 ? BLOCK : INLINE + 1), 3 * BLOCK),
    );
    await world.pass(1_000);
    assert.equal(writing.heldBytes, BUDGET * BLOCK);
    Object.assign(stallers[7] as Staller, { stalledMs: 9_000 });
    Object.assign(stallers[3] as Staller, { stalledMs: 4_000 });
    Object.assign(stallers[5] as Staller, { stalledMs: 1_500 });

    await writeOk(world, someBytes(world.random, BLOCK));
    assert.deepEqual(numbersOf(stallers), [7]);
    assert.match(String(await (stallers[7] as Staller).outcome), /timeout/);
    // One gets what the newcomer gave back.
    const more = Array.from({ length: 3 }, () => new Staller(world, BLOCK, 2 * BLOCK));
    await world.pass(1_000);
    assert.deepEqual(numbersOf(stallers), [3, 7]);
    // Its time has come only now.
    (stallers[5] as Staller).stalledMs = 2_500;
    await world.pass(1_000);
    assert.deepEqual(numbersOf(stallers), [3, 5, 7]);
    // Nobody has stalled: one of those that came first makes room, once it has had its time for a block.
    const startMs = world.time.nowMs;
    await writeOk(world, someBytes(world.random, BLOCK));
    assert.ok(world.time.nowMs - startMs > 5_000, `after ${world.time.nowMs - startMs} ms`);
    assert.equal(numbersOf(stallers).length, 4);
    assert.deepEqual(numbersOf(more), []);
    assert.equal(world.data.writer.cutOffs, 4);

    for (const staller of [...stallers, ...more]) staller.leave();
    await world.settle(Promise.all([...stallers, ...more].map(({ outcome }) => outcome)));
    assert.equal(writing.heldBytes, 0);
    assert.equal(world.cpu.stats().bytesInUse, 0);
  });

  it("is given back, and nothing stays on disk, of those that are cut off", async () => {
    const world = await DataWorld.open();
    const stallers = Array.from({ length: BUDGET + 5 }, () => new Staller(world, 2 * BLOCK + 1, 4 * BLOCK));
    for (const staller of stallers) staller.stalledMs = 5_000;
    await world.pass(1_000);
    const outcome = await world.settle(
      world.data.writer.write(
        uploadOf(someBytes(world.random, BLOCK), world.random, { md5: Buffer.alloc(16) }),
        world.target("k"),
      ),
    );
    assert.equal(outcome.ok, false, "its bytes were taken, and found wrong");
    assert.ok(world.data.writer.cutOffs >= 6);
    for (const staller of stallers) staller.leave();
    await world.settle(Promise.all(stallers.map(({ outcome: one }) => one)));
    await assertNothingLeft(world);
  });

  it("is not taken from those who wait for a disk or for memory themselves", async () => {
    const world = await DataWorld.open();
    const { writing } = world.data.budgets;
    let blocked: (() => void)[] = [];
    world.beforePropose = (command) =>
      command.op === "add-refs" ? new Promise((resolve) => blocked.push(resolve)) : Promise.resolve();
    // Three blocks each are on their way to a disk that does not answer: nobody waits for these clients, whatever is said of
    // them.
    const stallers = Array.from({ length: 7 }, () => new Staller(world, 5 * BLOCK, 5 * BLOCK));
    await world.pass(500);
    assert.equal(writing.heldBytes, BUDGET * BLOCK);
    assert.ok(writing.waiting > 0);
    for (const staller of stallers) Object.assign(staller, { stalledMs: 9_000, slanders: true });
    await world.pass(3_000);
    assert.deepEqual(numbersOf(stallers), []);
    world.beforePropose = () => Promise.resolve();
    for (const unblock of blocked) unblock();
    blocked = [];
    for (const staller of stallers) staller.leave();
    await world.settle(Promise.all(stallers.map(({ outcome }) => outcome)));
    await assertNothingLeft(world);
  });
});

describe("a slow upload", () => {
  /** Sends `bytes` over about `overMs`. */
  function slowly(world: DataWorld, bytes: Uint8Array, overMs: number): Upload {
    const fast = inPieces(bytes, world.random, { largest: 200 });
    const pauseMs = overMs / (bytes.byteLength / 100);
    return {
      source: {
        read: async () => {
          await new Promise<void>((resolve) => world.time.schedule(pauseMs, resolve));
          return fast.read();
        },
        cancel: () => fast.cancel(),
      },
      signal: new AbortController().signal,
    };
  }

  it("lives by its upload lease, whatever the janitor asks meanwhile", async () => {
    const world = await DataWorld.open();
    const bytes = someBytes(world.random, 6 * BLOCK);
    const put = world.objects.put({
      bucket: world.bucket,
      key: "slow",
      headers: { system: [], user: [] },
      upload: slowly(world, bytes, 4 * WINDOW_MS),
    });
    let over = false;
    const end = (): void => {
      over = true;
    };
    put.then(end, end);
    let asked = 0;
    while (!over) {
      await world.settle(world.data.workers.janitor.runOnce());
      await world.settle(world.data.workers.orphans.runOnce());
      await world.pass(500);
      asked++;
    }
    assert.ok(asked > 20);
    const outcome = await world.settle(put);
    assert.ok(outcome.ok, JSON.stringify(outcome));
    const found = await world.settle(world.objects.lookup({ bucket: world.bucket, key: "slow" }));
    assert.ok(bytes.equals(await world.settle(readAll((found as NonNullable<typeof found>).open()))));
    const report = await world.clean();
    assert.deepEqual([report.broken, report.unfinished], [[], []]);
  });

  it("leaves no upload lease when its put is refused", async () => {
    const world = await DataWorld.open();
    const { bucket } = world;
    const bytes = someBytes(world.random, 3 * BLOCK);
    const headers = { system: [], user: [] };
    const put = (request: Omit<PutRequest, "headers">) => world.settle(world.objects.put({ headers, ...request }));
    assert.ok((await put({ bucket, key: "k", upload: uploadOf(bytes, world.random) })).ok);
    const slow = slowly(world, bytes, 2 * WINDOW_MS);
    const refused = await put({ bucket, key: "k", upload: slow, condition: { ifNoneMatch: "*" } });
    assert.deepEqual(refused, { ok: false, code: "precondition-failed" });
    const full = { ...bucket, quotas: { maxSizeBytes: 1 } };
    const over = await put({ bucket: full, key: "other", upload: slowly(world, bytes, 2 * WINDOW_MS) });
    assert.ok(!over.ok && over.code === "quota-exceeded");
    await world.settle(world.data.flush());
    const { unfinished } = await world.settle(world.data.audit());
    assert.deepEqual(
      unfinished.filter(({ kind }) => kind === "leased-upload"),
      [],
    );
  });

  it("leaves nothing when it dies with its process", async () => {
    const world = await DataWorld.open();
    const bytes = someBytes(world.random, 6 * BLOCK);
    void world.data.writer.write(slowly(world, bytes, 3 * WINDOW_MS), world.target("slow"));
    await world.pass(2 * WINDOW_MS);
    const before = await world.settle(world.data.audit());
    assert.ok(before.references > 0 && before.unfinished.some(({ kind }) => kind === "leased-upload"));
    await world.crash();
    await assertNothingLeft(world, { killed: true });
  });
});
