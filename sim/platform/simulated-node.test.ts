import assert from "node:assert/strict";
import { test } from "node:test";
import { memoryKv, MemoryKvDisk } from "./memory-kv.ts";
import { type OtherParts, SimulatedCrash, simPlatform, type SimulatedNode } from "./simulated-node.ts";
import { VirtualTime } from "./virtual-time.ts";

const key = (text: string): Buffer => Buffer.from(text);
/** These tests touch neither disk nor HTTP. */
const parts = {} as OtherParts;

function node(time: VirtualTime, { seed = 1, kvDisk }: { seed?: number; kvDisk?: MemoryKvDisk } = {}): SimulatedNode {
  return simPlatform({ seed, time, parts, ...(kvDisk === undefined ? {} : { kvDisk }) });
}

test("a commit takes simulated time, is invisible until then, and batches what comes meanwhile", async () => {
  const time = new VirtualTime();
  const { kv } = node(time);
  const seen = (): Promise<boolean> => kv.read((tx) => tx.get("rows", key("a")) !== undefined);
  const first = kv.transact((tx) => tx.put("rows", key("a"), key("1")));
  await time.run({ untilMs: 0.9 });
  assert.equal(await seen(), false);
  const later = Array.from({ length: 50 }, (_, at) => kv.transact((tx) => tx.put("rows", key(`b${at}`), key("1"))));
  await time.runUntil(first);
  assert.ok(time.nowMs >= 1 && time.nowMs <= 5);
  assert.equal(await seen(), true);
  await time.runUntil(Promise.all(later));
  assert.equal(kv.stats().commits, 2);
});

for (const inFlight of ["lost", "kept"] as const) {
  test(`a crash keeps what was committed, nothing that waited, and the commit under way as drawn: ${inFlight}`, async () => {
    const time = new VirtualTime();
    const one = node(time);
    let settled = 0;
    const write = (name: string): void =>
      void one.kv.transact((tx) => tx.put("rows", key(name), key(name))).finally(() => (settled += 1));
    write("committed");
    await time.run({ untilMs: 10 });
    assert.equal(settled, 1);
    write("under way");
    await time.run({ untilMs: 10.5 });
    write("waiting");
    one.crash({ inFlight });
    write("too late");
    void one.kv.read(() => undefined).finally(() => (settled += 1));
    void one.kv.close().finally(() => (settled += 1));
    one.clock.timer(1, () => (settled += 1));
    await time.run({ untilMs: 1000 });
    assert.equal(settled, 1, "nothing of a crashed node settles");

    const two = node(time, { kvDisk: one.kv.disk });
    const rows = await two.kv.read((tx) =>
      ["committed", "under way", "waiting"].filter((name) => tx.get("rows", key(name)) !== undefined),
    );
    assert.deepEqual(rows, inFlight === "kept" ? ["committed", "under way"] : ["committed"]);
  });
}

test("fatal crashes the node before the commit", async () => {
  const time = new VirtualTime();
  const one = node(time);
  let settled = false;
  void one.kv
    .transact((tx) => {
      tx.put("rows", key("half"), key("1"));
      throw new Error("bug");
    })
    .finally(() => (settled = true));
  await time.run({ untilMs: 100 });
  assert.equal(one.crashed, true);
  assert.equal(settled, false);
  assert.equal(((one.fatalError as Error).cause as Error).message, "bug");
  assert.equal(one.log.lines.at(-1)?.level, "error");
  assert.equal(await memoryKv({ disk: one.kv.disk }).read((tx) => tx.get("rows", key("half"))), undefined);
  assert.throws(() => node(time).platform.fatal(new Error("x")), SimulatedCrash);
});

test("a failing commit crashes the node, and nobody is told anything", async () => {
  const time = new VirtualTime();
  const one = node(time);
  one.kv.disk.failNextCommit = true;
  let settled = false;
  void one.kv.transact((tx) => tx.put("rows", key("lost"), key("1"))).finally(() => (settled = true));
  await time.run({ untilMs: 100 });
  assert.deepEqual([one.crashed, settled, (one.fatalError as { code?: string }).code], [true, false, "kv.io"]);
  assert.equal(await memoryKv({ disk: one.kv.disk }).read((tx) => tx.get("rows", key("lost"))), undefined);
});

test("a full disk rejects the batch and keeps nothing of it; a clone is a state to go back to", async () => {
  const disk = new MemoryKvDisk();
  const kv = memoryKv({ disk });
  await kv.transact((tx) => tx.put("rows", key("a"), key("1")));
  const backup = disk.clone();
  disk.fillNextCommit = true;
  const outcomes = await Promise.allSettled([1, 2].map((at) => kv.transact((tx) => tx.put("rows", key(`b${at}`), key("1")))));
  for (const outcome of outcomes) assert.equal((outcome as PromiseRejectedResult).reason.code, "kv.full");
  await kv.transact((tx) => tx.put("rows", key("a"), key("2")));
  assert.deepEqual(kv.stats().rows, { rows: 1, bodies: 0 });
  assert.throws(() => memoryKv({ disk }), /open in one place/);
  const old = memoryKv({ disk: backup });
  assert.equal((await old.read((tx) => tx.get("rows", key("a"))))?.toString(), "1");
});

test("one seed, one story", async () => {
  const story = async (seed: number): Promise<string> => {
    const time = new VirtualTime();
    const { platform } = node(time, { seed });
    const lines: string[] = [];
    const writer = async (name: string): Promise<void> => {
      for (let at = 0; at < 20; at++) {
        await platform.kv.transact((tx) => tx.put("rows", platform.random.bytes(8), key(name)));
        lines.push(`${name} ${at} ${platform.clock.monotonicMs()}`);
      }
    };
    await time.runUntil(Promise.all(["a", "b", "c"].map(writer)));
    return lines.join("\n");
  };
  assert.equal(await story(1), await story(1));
  assert.notEqual(await story(1), await story(2));
});
