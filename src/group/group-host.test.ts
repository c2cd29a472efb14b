import assert from "node:assert/strict";
import { test } from "node:test";
import { memoryKv, MemoryKvDisk } from "../../sim/platform/memory-kv.ts";
import type { KvWrite } from "../platform/kv.ts";
import { type CommandId, CONTROL_GROUP, type GroupId, type NodeId, type Stamp } from "../util/ids.ts";
import { GroupHost, MAX_BATCH_PROPOSALS, MAX_QUEUED_PROPOSALS, MAX_REPAIRS, type OnDamaged } from "./group-host.ts";
import { type Entry, GroupError, type StateMachine } from "./groups.ts";
import { DedupTable } from "./dedup-table.ts";

const MEMBER = "ab".repeat(32) as NodeId;
const commandWindow = 60_000;
const G0 = 0 as GroupId;
const G1 = 1 as GroupId;

type Command = { readonly add: number; readonly fail?: "before" | "after" | "damage"; readonly outside?: boolean };

/** Adds numbers up in one row and remembers what it saw; gathers in memory like the real ones. */
class Adder implements StateMachine<Command, { sum: number; index: number; stamp: number }> {
  #sum: number | undefined;
  readonly group: GroupId;
  flushes = 0;
  constructor(group: GroupId) {
    this.group = group;
  }
  apply(rows: KvWrite, command: Command, entry: Entry) {
    if (command.fail === "before") throw new Error("refuses");
    if (command.fail === "damage") rows.get("rows", this.#key(900));
    this.#sum ??= rows.get("rows", this.#key(0))?.readUInt32BE() ?? 0;
    if (command.outside) rows.put("rows", Buffer.of(0, 9, 9), Buffer.of(1));
    this.#sum += command.add;
    rows.put("rows", this.#key(entry.index), Buffer.of(1));
    if (command.fail === "after") throw new Error("breaks");
    return { sum: this.#sum, index: entry.index, stamp: entry.stamp };
  }
  flush(rows: KvWrite): void {
    this.flushes++;
    const value = Buffer.alloc(4);
    value.writeUInt32BE(this.#sum ?? 0);
    rows.put("rows", this.#key(0), value);
    this.#sum = undefined;
  }
  #key(n: number): Buffer {
    return Buffer.of(this.group >> 8, this.group & 255, 0x90, n >> 8, n & 255);
  }
}

async function world({
  disk = new MemoryKvDisk(),
  wall = { now: 1_000_000 },
  monotonic = { now: 0 },
  onDamaged,
}: {
  disk?: MemoryKvDisk;
  wall?: { now: number };
  monotonic?: { now: number };
  onDamaged?: OnDamaged;
} = {}) {
  const fatals: unknown[] = [];
  const machines = new Map<GroupId, Adder>();
  const fatal = (error: unknown): never => {
    fatals.push(error);
    throw error;
  };
  const kv = memoryKv({ disk, fatal });
  const host = await GroupHost.open(
    { partitions: 4, member: MEMBER, commandWindowMs: commandWindow },
    {
      clock: { wallMs: () => wall.now, monotonicMs: () => monotonic.now },
      kv,
      fatal,
      ...(onDamaged && { onDamaged }),
      machine: (group) => {
        const machine = new Adder(group);
        machines.set(group, machine);
        return machine;
      },
    },
  );
  const add = (group: GroupId, add: number, options?: { id?: CommandId; expiry?: Stamp }, extra: Partial<Command> = {}) =>
    host.propose<Command, { sum: number; index: number; stamp: number }>(group, { add, ...extra }, options);
  return { disk, kv, host, add, wall, monotonic, fatals, machines };
}

const id = (n: number) => n.toString(16).padStart(32, "0") as CommandId;
const code = (expected: string) => (error: unknown) => error instanceof GroupError && error.code === expected;
const notDone = (known: boolean, expected: string) => (error: unknown) =>
  code(expected)(error) && (error as GroupError).notDone === known;

test("proposals that wait together share one commit; each touched group is flushed once", async () => {
  const { kv, add, machines } = await world();
  const results = await Promise.all([add(G0, 1), add(G1, 10), add(G0, 2), add(CONTROL_GROUP, 5)]);
  assert.deepEqual(
    results.map(({ sum, index }) => [sum, index]),
    [
      [1, 1],
      [10, 1],
      [3, 2],
      [5, 1],
    ],
  );
  assert.equal(kv.stats().commits, 1);
  assert.equal(machines.get(G0)?.flushes, 1);
});

test("more proposals than one batch takes are all decided, in order", async () => {
  const { add } = await world();
  const count = MAX_BATCH_PROPOSALS * 2 + 7;
  const results = await Promise.all(Array.from({ length: count }, () => add(G0, 1)));
  assert.deepEqual(
    results.map(({ sum }) => sum),
    Array.from({ length: count }, (_, at) => at + 1),
  );
});

test("index and stamp go on after a restart and never go back", async () => {
  const first = await world();
  first.wall.now = 5_000_000;
  await first.add(G0, 1);
  await first.kv.close();
  const second = await world({ disk: first.disk, wall: { now: 4_000_000 } });
  const result = await second.add(G0, 1);
  assert.deepEqual(result, { sum: 2, index: 2, stamp: 5_000_000 });
  assert.equal(second.host.logTime(G0), 5_000_000);
  assert.equal(second.host.logTime(G1), 4_000_000);
  second.wall.now = 6_000_000;
  assert.equal((await second.add(G0, 1)).stamp, 6_000_000);
});

test("log time goes on while the wall clock is behind it, through many commands and a restart, and the wall clock takes over again", async () => {
  const first = await world({ wall: { now: 9_000_000 } });
  await first.add(G0, 1);
  first.wall.now = 1_000_000;
  for (let at = 1; at <= 1_000; at++) {
    first.monotonic.now = at;
    const { stamp } = await first.add(G0, 1);
    assert.equal(stamp, 9_000_000 + Math.floor(at / 2));
  }
  first.monotonic.now = 2_000_000;
  assert.equal(first.host.logTime(G0), 10_000_000);
  assert.equal(first.host.logTime(G1), 1_000_000, "a group that saw no wrong clock keeps the right time");
  assert.equal((await first.add(G0, 1)).stamp, 10_000_000);
  await first.kv.close();
  const second = await world({ disk: first.disk, monotonic: { now: 77 } });
  assert.equal(second.host.logTime(G0), 10_000_000);
  second.monotonic.now += 10;
  assert.equal(second.host.logTime(G0), 10_000_005);
  second.wall.now = 10_000_020;
  assert.equal((await second.add(G0, 1)).stamp, 10_000_020);
  second.monotonic.now += 10;
  assert.equal(second.host.logTime(G0), 10_000_025);
});

test("a time that was told holds when the wall clock is set back; a clock jump ahead that no command saw leaves nothing", async () => {
  const { host, add, wall, monotonic } = await world();
  await add(G0, 1);
  const pass = (ms: number): void => {
    wall.now += ms;
    monotonic.now += ms;
  };
  pass(30_000);
  const expiry = (host.logTime(G0) + commandWindow) as Stamp;
  wall.now -= 5_000;
  assert.equal(host.logTime(G0), 1_030_000);
  assert.equal((await add(G0, 1, { expiry })).stamp, 1_030_000, "an expiry made before is no further off than W");
  wall.now += 1e9;
  assert.equal(host.logTime(G0), wall.now);
  wall.now -= 1e9;
  assert.equal(host.logTime(G0), 1_030_000);
  pass(20_000);
  assert.equal(host.logTime(G0), wall.now, "caught up");
});

test("a full memory of results costs no sweep a command, and takes new ones once old ones have expired", async () => {
  const results = new DedupTable(3);
  for (let n = 0; n < 3; n++) results.add(id(n), n, 1_000);
  assert.equal(results.hasRoom, false);
  results.expire(1_000 as Stamp);
  assert.equal(results.hasRoom, false);
  results.expire(1_001 as Stamp);
  assert.deepEqual([results.hasRoom, results.size], [true, 0]);
});

test("a command id is answered from memory: in the same batch, later, and until its expiry has passed", async () => {
  const { add, wall } = await world();
  const expiry = (wall.now + commandWindow) as Stamp;
  const [one, again] = await Promise.all([add(G0, 1, { id: id(1), expiry }), add(G0, 1, { id: id(1), expiry })]);
  assert.deepEqual(one, again);
  assert.deepEqual(await add(G0, 1, { id: id(1), expiry }), one);
  assert.equal((await add(G1, 1, { id: id(1), expiry })).sum, 1, "another group knows nothing of it");
  wall.now += commandWindow + 1;
  // Remembered longer or refused: never repeated.
  await add(G0, 1, { id: id(1), expiry }).then(
    (late) => assert.deepEqual(late, one),
    (error: unknown) => assert.ok(code("group.unknown-outcome")(error)),
  );
  wall.now += 10_000;
  await add(G0, 1, { id: id(2), expiry: wall.now as Stamp });
  await assert.rejects(add(G0, 1, { id: id(1), expiry }), code("group.unknown-outcome"));
});

test("a command that comes after its expiry, or expires beyond the window, is refused and changes nothing", async () => {
  const { add, wall } = await world();
  await assert.rejects(add(G0, 1, { expiry: (wall.now - 1) as Stamp }), notDone(true, "group.unknown-outcome"));
  const beyond = { id: id(1), expiry: (wall.now + commandWindow + 1) as Stamp };
  await assert.rejects(add(G0, 1, beyond), notDone(false, "group.unknown-outcome"), "an earlier attempt may have been decided");
  assert.deepEqual(await add(G0, 1, { expiry: wall.now as Stamp }), { sum: 1, index: 1, stamp: wall.now });
});

test("a throw before the first write rejects that command alone; after it the node stops", async () => {
  const { add, fatals } = await world();
  const [good, bad, next] = await Promise.allSettled([add(G0, 1), add(G0, 1, {}, { fail: "before" }), add(G0, 1)]);
  assert.equal(good?.status, "fulfilled");
  assert.equal(bad?.status, "rejected");
  assert.equal(next?.status === "fulfilled" && next.value.index, 2);
  assert.equal(fatals.length, 0);
  await assert.rejects(add(G0, 1, {}, { fail: "after" }));
  assert.ok(fatals.length > 0);
});

test("a state machine can't write outside its group", async () => {
  const { add, kv } = await world();
  await assert.rejects(add(G0, 1, {}, { outside: true }), /own group/);
  assert.equal(await kv.read((rows) => rows.get("rows", Buffer.of(0, 9, 9))), undefined);
});

test("a full store loses the whole batch and says so; nothing of it shows later", async () => {
  const { add, disk, host, fatals } = await world();
  await add(G0, 1);
  disk.capacityBytes = disk.sizeBytes;
  const failed = await Promise.allSettled([add(G0, 10, { id: id(7) }), add(G1, 10)]);
  for (const outcome of failed) assert.ok(outcome.status === "rejected" && notDone(true, "group.no-space")(outcome.reason));
  assert.equal(fatals.length, 0);
  disk.capacityBytes = Number.POSITIVE_INFINITY;
  assert.equal((await add(G0, 1, { id: id(7) })).sum, 2, "the lost sum and the lost id are forgotten");
  assert.equal((await add(G1, 1)).sum, 1);
  await host.stop();
});

test("an I/O error leaves the outcome unknown", async () => {
  const { add, disk } = await world();
  disk.failNextCommit = true;
  const [failed, behind] = [add(G0, 1), add(G1, 1)];
  await assert.rejects(failed, notDone(false, "group.unknown-outcome"));
  await assert.rejects(behind, notDone(false, "group.unknown-outcome"));
  // The store has stopped: no later command may be there without those.
  await assert.rejects(add(G0, 1), notDone(true, "group.unknown-outcome"));
});

test("a command that was applied and then lost with its commit is not remembered: its retry is carried out", async () => {
  const { add, disk } = await world();
  disk.fillNextCommit = true;
  await assert.rejects(add(G0, 5, { id: id(8) }), GroupError);
  await add(G0, 5, { id: id(8) });
  assert.equal((await add(G0, 1)).sum, 6);
});

test("too many waiting proposals are refused at once", async () => {
  const { add } = await world();
  const all = Array.from({ length: MAX_QUEUED_PROPOSALS + 3 }, () => add(G0, 1));
  const outcomes = await Promise.allSettled(all);
  const refused = outcomes.filter((outcome) => outcome.status === "rejected");
  assert.equal(refused.length, 3);
  for (const outcome of refused) assert.ok(notDone(true, "group.overloaded")(outcome.reason));
});

test("stop settles what is under way and refuses the rest", async () => {
  const { add, host, kv } = await world();
  const last = add(G0, 1);
  const stopped = host.stop();
  await assert.rejects(add(G0, 1), notDone(true, "group.stopping"));
  await stopped;
  assert.equal((await last).sum, 1);
  await kv.close();
  await assert.rejects(host.propose(9 as GroupId, {}), notDone(true, "group.not-here"));
});

test("a crash loses what was not answered and nothing else", async () => {
  const first = await world();
  await first.add(G0, 1);
  let answered = false;
  void first.add(G0, 1).then(() => {
    answered = true;
  });
  first.kv.crash();
  const second = await world({ disk: first.disk });
  assert.equal((await second.add(G0, 1)).sum, 2);
  assert.equal(answered, false);
});

/** A store with a damaged row, which commands that "damage" look at and reads may meet. */
async function damagedWorld(onDamaged: (disk: MemoryKvDisk) => OnDamaged) {
  const disk = new MemoryKvDisk();
  const first = await world({ disk });
  const row = Buffer.of(0, 0, 0x90, 3, 132);
  await first.kv.transact((tx) => tx.put("rows", row, Buffer.of(1)));
  await first.kv.close();
  disk.damage("rows", row);
  return { row, ...(await world({ disk, onDamaged: onDamaged(disk) })) };
}

test("a command that meets damage is repaired for and applied again; the others of its batch don't wait", async () => {
  const asked: GroupId[] = [];
  const { add, host, row } = await damagedWorld((disk) => async (group, { key }) => {
    asked.push(group);
    disk.damage("rows", key as Buffer);
    return "repaired";
  });
  const order: string[] = [];
  const note = (name: string) => () => void order.push(name);
  await Promise.all([add(G0, 1, {}, { fail: "damage" }).then(note("hit")), add(G0, 2).then(note("other"))]);
  assert.deepEqual([order, asked], [["other", "hit"], [G0]]);
  assert.equal((await add(G0, 1)).sum, 4);
  assert.ok(await host.read(G0, (rows) => rows.get("rows", row)));
});

test("a read runs again after a repair, looking for damage does not ask for one, and a halt passes the damage on", async () => {
  const damaged = { code: "kv.damaged" };
  const repairing = await damagedWorld((disk) => async (_group, { key }) => {
    disk.damage("rows", key as Buffer);
    return "repaired";
  });
  const look = (rows: { get(tree: "rows", key: Buffer): unknown }) => rows.get("rows", repairing.row);
  await assert.rejects(repairing.host.inspect(G0, look), damaged);
  assert.ok(await repairing.host.read(G0, look));
  const halting = await damagedWorld(() => async () => "halt");
  await assert.rejects(halting.host.readAll([G1, G0], look), damaged);
  await assert.rejects(halting.add(G0, 1, {}, { fail: "damage" }), damaged);
  await halting.host.stop();
});

test("repairs that don't help, or fail, end with the damage", async () => {
  let asked = 0;
  const { add, host } = await damagedWorld(() => async () => {
    asked++;
    return "repaired";
  });
  await assert.rejects(add(G0, 1, {}, { fail: "damage" }), { code: "kv.damaged" });
  assert.equal(asked, MAX_REPAIRS);
  await host.stop();
  const failing = await damagedWorld(() => () => Promise.reject(new GroupError("group.no-space", "full")));
  await assert.rejects(failing.add(G0, 1, {}, { fail: "damage" }), { code: "kv.damaged" });
});
