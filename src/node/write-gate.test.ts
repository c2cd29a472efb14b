import assert from "node:assert/strict";
import { test } from "node:test";
import { MemoryLog } from "../../sim/platform/memory-log.ts";
import { SimulatedClock } from "../../sim/platform/simulated-clock.ts";
import { VirtualTime } from "../../sim/platform/virtual-time.ts";
import { type ObjectService, type PutOutcome, type PutRequest, ServiceError } from "../model/object-service.ts";
import type { KvStats } from "../platform/kv.ts";
import { WriteGate } from "./write-gate.ts";

const MIB = 2 ** 20;

/** A gate over a disk and a metadata store whose fill is set by hand. */
function gateOver(state: { freeBytes: number | Error; usedBytes: number; sizeBytes?: number; layout?: boolean }) {
  const time = new VirtualTime();
  const log = new MemoryLog();
  let puts = 0;
  const gate = new WriteGate(
    { metadataLimitBytes: 100 * MIB },
    {
      kv: { stats: () => ({ usedBytes: state.usedBytes, sizeBytes: state.sizeBytes ?? state.usedBytes }) as KvStats },
      clock: new SimulatedClock(time),
      log,
      hasLayout: () => state.layout !== false,
      space: () => ({
        get metadata() {
          if (state.freeBytes instanceof Error) throw state.freeBytes;
          return { availableBytes: state.freeBytes, totalBytes: 100_000 * MIB };
        },
      }),
    },
  );
  const service = gate.guard({
    put: () => Promise.resolve({ ok: true, at: ++puts } as unknown as PutOutcome),
  } as Partial<ObjectService> as ObjectService);
  gate.start();
  return {
    gate,
    log,
    put: () => service.put({} as PutRequest),
    later: (ms: number) => time.run({ untilMs: time.nowMs + ms }),
    get puts() {
      return puts;
    },
  };
}

const refused = (why: RegExp) => (error: unknown) =>
  error instanceof ServiceError && error.code === "service.no-space" && why.test(error.message);

test("a disk that fills within the second between two looks is noticed by the next write", async () => {
  const state = { freeBytes: 200 * MIB, usedBytes: 0 };
  const one = gateOver(state);
  await one.put();
  state.freeBytes = 20 * MIB;
  await assert.rejects(one.put(), refused(/disk of metadata_dir is full/));
  state.freeBytes = 200 * MIB;
  await one.put();
  assert.equal(one.puts, 2);
  one.gate.stop();
});

test("far from full, it looks once a second", async () => {
  const state: { freeBytes: number | Error; usedBytes: number } = { freeBytes: 50_000 * MIB, usedBytes: 0 };
  const one = gateOver(state);
  state.freeBytes = new Error("a look");
  await one.put();
  await one.later(1100);
  await assert.rejects(one.put(), refused(/metadata_dir can't be looked at: a look/));
  state.freeBytes = 50_000 * MIB;
  await one.later(1100);
  await one.put();
  const said = one.log.lines.map(({ level, message }) => [level, message.replace(/:.*/s, "")]);
  assert.deepEqual(said, [
    ["error", "no new data is taken"],
    ["info", "there is room again; new data is taken"],
  ]);
  one.gate.stop();
});

test("before the first layout nothing is taken", async () => {
  const state = { freeBytes: 50_000 * MIB, usedBytes: 0, layout: false };
  const one = gateOver(state);
  await assert.rejects(one.put(), refused(/layout apply --version 1/));
  state.layout = true;
  await one.put();
  one.gate.stop();
});

test("beyond lmdb_map_size nothing new is taken until something is deleted", async () => {
  const state = { freeBytes: 50_000 * MIB, usedBytes: 95 * MIB };
  const one = gateOver(state);
  await one.put();
  state.usedBytes = 101 * MIB;
  await assert.rejects(one.put(), refused(/lmdb_map_size/));
  state.usedBytes = 99 * MIB;
  await one.put();
  one.gate.stop();
});

test("on a full disk, the room that deleted rows left inside the metadata counts", async () => {
  const state = { freeBytes: 1 * MIB, usedBytes: 60 * MIB, sizeBytes: 80 * MIB };
  const one = gateOver(state);
  await assert.rejects(
    one.put(),
    refused(/disk of metadata_dir is full: 1048576 bytes of free space are left, and 20971520 inside/),
  );
  state.usedBytes = 45 * MIB;
  await one.put();
  state.usedBytes = 50 * MIB;
  await assert.rejects(one.put(), refused(/disk of metadata_dir is full/), "near the end every write looks");
  one.gate.stop();
});
