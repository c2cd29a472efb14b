// What every kv engine promises (src/platform/kv.ts). Durability is tested in durability-kv.test.ts and kv-kill.test.ts.
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import type { MemoryKv } from "../../sim/platform/memory-kv.ts";
import { STOP, type Kv, type KvRead, type KvRange, type ScanStep, type Tree } from "../../src/platform/kv.ts";
import { canInject, ENGINES, engineUnderTest, faulty, rethrow } from "./kv-engines.ts";
import { driveIntoFailure, type FailureReport } from "./kv-failure.ts";

const key = (text: string): Buffer => Buffer.from(text, "latin1");
const EVERYTHING: KvRange = { start: Buffer.alloc(0), end: Buffer.alloc(4000, 0xff) };

function list(tx: KvRead, tree: Tree, range: KvRange = EVERYTHING, next: (key: string) => ScanStep = () => undefined): string[] {
  const seen: string[] = [];
  tx.scan(tree, range, (row) => {
    const name = row.key.toString("latin1", row.keyStart, row.keyEnd);
    seen.push(`${name}=${row.value.toString("latin1", row.valueStart, row.valueEnd)}`);
    return next(name);
  });
  return seen;
}

function fill(kv: Kv, names: readonly string[]): Promise<void> {
  return kv.transact((tx) => {
    for (const name of names) tx.put("rows", key(name), key(name.toUpperCase()));
  });
}

for (const engine of ENGINES) {
  suite(`kv on ${engine}`, () => {
    test("keys of 1 to 4,000 bytes, with every byte value, are in byte order", async (t) => {
      const kv = await engineUnderTest(engine, t).open();
      const keys: Buffer[] = [];
      for (let byte = 0; byte < 256; byte++) keys.push(Buffer.from([byte]), Buffer.from([0x61, byte]), Buffer.from([byte, 0, 0]));
      for (const length of [1, 2, 3, 10, 255, 256, 511, 1000, 1978, 1979, 3999, 4000])
        for (const byte of [0, 1, 0x61, 0xfe]) keys.push(Buffer.alloc(length, byte));
      const expected = [...new Set(keys.map((bytes) => bytes.toString("latin1")))].sort();
      await kv.transact((tx) => keys.forEach((bytes) => void tx.put("rows", bytes, bytes)));
      const [forward, reverse] = await kv.read((tx) => [list(tx, "rows"), list(tx, "rows", { ...EVERYTHING, reverse: true })]);
      assert.deepEqual(
        forward,
        expected.map((name) => `${name}=${name}`),
      );
      assert.deepEqual(reverse, forward?.toReversed());
      await kv.read((tx) => {
        for (const bytes of keys) assert.ok(tx.view("rows", bytes)?.equals(bytes));
      });
      await kv.close();
    });

    test("values of any bytes and size come back, also after a reopen", async (t) => {
      const store = engineUnderTest(engine, t);
      let kv = await store.open();
      const sizes = [0, 1, 3, 4, 5, 260, 1023, 1024, 1025, 4096, 8180, 16384, 40_000, 70_000, 1_000_000];
      const values = sizes.map((size) => Buffer.from(Array.from({ length: size }, (_, at) => (at * 31 + size) & 0xff)));
      await kv.transact((tx) => values.forEach((value, at) => void tx.put("bodies", key(`v${at}`), value)));
      for (const reopened of [false, true]) {
        if (reopened) {
          await kv.close();
          kv = await store.open();
        }
        await kv.read((tx) => {
          for (const [at, value] of values.entries()) {
            assert.ok(tx.get("bodies", key(`v${at}`))?.equals(value), `${value.length} bytes`);
            assert.ok(tx.view("bodies", key(`v${at}`))?.equals(value), `${value.length} bytes`);
          }
          let scanned = 0;
          tx.scan("bodies", EVERYTHING, (row) => {
            const at = Number(row.key.toString("latin1", row.keyStart + 1, row.keyEnd));
            assert.ok(row.value.subarray(row.valueStart, row.valueEnd).equals(values[at]!));
            scanned += 1;
            return undefined;
          });
          assert.equal(scanned, values.length);
        });
        assert.deepEqual(kv.stats().rows, { rows: 0, bodies: values.length });
      }
      await kv.close();
    });

    test("a copy is the caller's, whatever is read or written after", async (t) => {
      const kv = await engineUnderTest(engine, t).open();
      await fill(kv, ["a", "b"]);
      const copy = await kv.read((tx) => {
        const a = tx.get("rows", key("a"));
        tx.get("rows", key("b"));
        return a;
      });
      await kv.transact((tx) => tx.put("rows", key("a"), key("other")));
      assert.equal(copy?.toString(), "A");
      await kv.close();
    });

    test("put takes the bytes as they are at the call", async (t) => {
      const kv = await engineUnderTest(engine, t).open();
      const [name, value] = [key("k1"), key("v1")];
      await kv.transact((tx) => {
        tx.put("rows", name, value);
        assert.equal(tx.get("rows", key("k1"))?.toString(), "v1");
      });
      assert.deepEqual(await kv.read((tx) => list(tx, "rows")), ["k1=v1"]);
      await kv.close();
    });

    test("a transaction reads its own writes; the two trees are apart", async (t) => {
      const kv = await engineUnderTest(engine, t).open();
      await fill(kv, ["a", "c", "e"]);
      await kv.transact((tx) => {
        tx.put("rows", key("b"), key("new"));
        tx.put("rows", key("c"), key("changed"));
        tx.remove("rows", key("e"));
        tx.remove("rows", key("absent"));
        tx.put("bodies", key("a"), key("body"));
        assert.equal(tx.get("rows", key("b"))?.toString(), "new");
        assert.equal(tx.view("rows", key("e")), undefined);
        assert.deepEqual(list(tx, "rows"), ["a=A", "b=new", "c=changed"]);
        assert.deepEqual(list(tx, "rows", { ...EVERYTHING, reverse: true }), ["c=changed", "b=new", "a=A"]);
        assert.deepEqual(list(tx, "bodies"), ["a=body"]);
      });
      assert.deepEqual(await kv.read((tx) => list(tx, "rows")), ["a=A", "b=new", "c=changed"]);
      await kv.close();
    });

    test("a scan in a transaction meets what its visitor writes ahead of it", async (t) => {
      const kv = await engineUnderTest(engine, t).open();
      await fill(kv, ["a", "b", "c", "d"]);
      const seen = await kv.transact((tx) =>
        list(tx, "rows", EVERYTHING, (name) => {
          if (name === "a") {
            tx.remove("rows", key("b"));
            tx.put("rows", key("c"), key("fresh"));
            tx.put("rows", key("e"), key("added"));
          }
          return undefined;
        }),
      );
      assert.deepEqual(seen, ["a=A", "c=fresh", "d=D", "e=added"]);
      await kv.close();
    });

    test("reads see one state while a write is under way, and the new one once it has settled", async (t) => {
      const kv = await engineUnderTest(engine, t).open();
      await fill(kv, ["a"]);
      const see = (): Promise<string> =>
        kv.read(
          (tx) => `${tx.get("rows", key("x"))?.toString()} ${tx.get("bodies", key("x"))?.toString()} ${list(tx, "rows").length}`,
        );
      let settled = false;
      const write = kv
        .transact((tx) => {
          tx.put("rows", key("x"), key("1"));
          tx.put("bodies", key("x"), key("1"));
        })
        .then(() => {
          settled = true;
        });
      const states = new Set<string>([await see()]);
      while (!settled) {
        states.add(await see());
        await new Promise((resolve) => setImmediate(resolve));
      }
      await write;
      assert.equal(await see(), "1 1 2");
      for (const state of states) assert.ok(state === "undefined undefined 1" || state === "1 1 2", `torn: ${state}`);
      await kv.close();
    });

    test("calls that wait together run in order and share a commit", async (t) => {
      const kv = await engineUnderTest(engine, t).open();
      await fill(kv, ["warm"]);
      const before = kv.stats();
      const results = await Promise.all(
        Array.from({ length: 300 }, (_, at) =>
          kv.transact((tx) => {
            const count = Number(tx.get("rows", key("count"))?.toString() ?? 0);
            tx.put("rows", key("count"), key(String(count + 1)));
            return [at, count];
          }),
        ),
      );
      assert.deepEqual(
        results,
        results.map((_, at) => [at, at]),
      );
      const after = kv.stats();
      assert.ok(
        after.commits - before.commits >= 1 && after.commits - before.commits <= 5,
        `${after.commits - before.commits} commits`,
      );
      assert.ok(after.fsyncs - before.fsyncs <= 5);
      await kv.close();
    });

    test("a batch is bounded: thousands of calls take several commits, still in order", async (t) => {
      const kv = await engineUnderTest(engine, t).open();
      const order: number[] = [];
      const calls = Array.from({ length: 2500 }, (_, at) =>
        kv.transact((tx) => {
          order.push(at);
          tx.put("rows", key(`row ${at % 100}`), key(String(at)));
        }),
      );
      await Promise.all(calls);
      assert.deepEqual(
        order,
        order.map((_, at) => at),
      );
      assert.equal(order.length, 2500);
      assert.ok(kv.stats().commits >= 3, `${kv.stats().commits} commits`);
      await kv.close();
    });

    test("a throw before the first write rejects that call alone", async (t) => {
      const kv = await engineUnderTest(engine, t).open({ fatal: () => assert.fail("fatal") });
      const refused = new Error("refused");
      const outcomes = await Promise.allSettled([
        kv.transact((tx) => tx.put("rows", key("a"), key("1"))),
        kv.transact((tx) => {
          assert.equal(tx.get("rows", key("a"))?.toString(), "1");
          throw refused;
        }),
        kv.transact((tx) => tx.put("rows", key("b"), key("2"))),
      ]);
      assert.deepEqual(
        outcomes.map((outcome) => (outcome.status === "rejected" ? outcome.reason : outcome.status)),
        ["fulfilled", refused, "fulfilled"],
      );
      await assert.rejects(
        kv.transact(() => {
          throw refused;
        }),
        refused,
      );
      assert.deepEqual(await kv.read((tx) => list(tx, "rows")), ["a=1", "b=2"]);
      await assert.rejects(
        kv.read(() => {
          throw refused;
        }),
        refused,
      );
      await kv.close();
    });

    test("a throw after a write is fatal", async (t) => {
      const reported: unknown[] = [];
      const fatal = (error: unknown): never => {
        reported.push(error);
        return rethrow(error);
      };
      const kv = await engineUnderTest(engine, t).open({ fatal });
      const bug = new Error("bug");
      const call = kv.transact((tx) => {
        tx.put("rows", key("a"), key("1"));
        throw bug;
      });
      await assert.rejects(call);
      assert.equal(reported.length, 1);
      assert.equal((reported[0] as Error).cause, bug);
      await kv.close();
    });

    test("reading through the store inside a transaction is refused", async (t) => {
      const kv = await engineUnderTest(engine, t).open();
      const inner = await kv.transact((tx) => {
        tx.put("rows", key("a"), key("1"));
        return {
          outcome: kv
            .read((other) => other.get("rows", key("a")))
            .then(
              () => "shown",
              (error: Error) => error.message,
            ),
        };
      });
      assert.match(await inner.outcome, /reads through itself/);
      await kv.close();
    });

    test("what is not synchronous is refused", async (t) => {
      const kv = await engineUnderTest(engine, t).open();
      await assert.rejects(
        kv.transact(async () => 1),
        /synchronous/,
      );
      await assert.rejects(
        kv.read(async () => 1),
        /synchronous/,
      );
      await kv.close();
    });

    test("scans: bounds, reverse, seek, stop, nested", async (t) => {
      const kv = await engineUnderTest(engine, t).open();
      const names = ["a", "a/1", "a/2", "a/3", "b", "b/1", "c", "c\0", "c\0\0", "d"];
      await fill(kv, names);
      const keys = (tx: KvRead, range: KvRange, next?: (name: string) => ScanStep): string[] =>
        list(tx, "rows", range, next).map((row) => row.split("=")[0]!);
      await kv.read((tx) => {
        const range = (start: string, end: string, reverse = false): KvRange => ({ start: key(start), end: key(end), reverse });
        assert.deepEqual(keys(tx, range("", "\xff")), names);
        assert.deepEqual(keys(tx, range("", "")), []);
        assert.deepEqual(keys(tx, range("a/2", "c")), ["a/2", "a/3", "b", "b/1"]);
        assert.deepEqual(keys(tx, range("a/1\0", "b")), ["a/2", "a/3"]);
        assert.deepEqual(keys(tx, range("b", "b")), []);
        assert.deepEqual(keys(tx, range("d", "a")), []);
        assert.deepEqual(keys(tx, range("a/2", "c", true)), ["b/1", "b", "a/3", "a/2"]);
        assert.deepEqual(keys(tx, range("", "b", true)), ["a/3", "a/2", "a/1", "a"]);
        assert.deepEqual(keys(tx, range("c", "zzz", true)), ["d", "c\0\0", "c\0", "c"]);
        assert.deepEqual(keys(tx, range("x", "z", true)), []);
        assert.deepEqual(
          keys(tx, range("", "\xff"), () => STOP),
          ["a"],
        );
        assert.deepEqual(
          keys(tx, range("", "\xff", true), (name) => (name === "c" ? STOP : undefined)),
          ["d", "c\0\0", "c\0", "c"],
        );
        // Seek past a "directory", onto an existing key, between keys, to the end, and beyond it.
        const skip: Record<string, string> = { "a/1": "a/\xff", b: "c", c: "c\0\0", "c\0\0": "zz" };
        assert.deepEqual(
          keys(tx, range("", "z"), (name) => (skip[name] === undefined ? undefined : key(skip[name]))),
          ["a", "a/1", "b", "c", "c\0\0"],
        );
        assert.deepEqual(
          keys(tx, range("", "b"), (name) => (name === "a" ? key("b") : undefined)),
          ["a"],
        );
        const pairs: string[] = [];
        tx.scan("rows", range("a/", "b"), (outer) => {
          const name = outer.key.toString("latin1", outer.keyStart, outer.keyEnd);
          tx.scan("rows", range("b", "c"), (inner) => {
            pairs.push(`${name}:${inner.key.toString("latin1", inner.keyStart, inner.keyEnd)}`);
            return undefined;
          });
          tx.get("rows", key("d"));
          return undefined;
        });
        assert.deepEqual(pairs, ["a/1:b", "a/1:b/1", "a/2:b", "a/2:b/1", "a/3:b", "a/3:b/1"]);
      });
      await assert.rejects(
        kv.read((tx) => list(tx, "rows", { ...EVERYTHING, reverse: true }, () => key("a"))),
        /seek/,
      );
      await assert.rejects(
        kv.read((tx) =>
          tx.scan("rows", EVERYTHING, () => {
            throw new Error("visitor");
          }),
        ),
        /visitor/,
      );
      assert.equal((await kv.read((tx) => list(tx, "rows"))).length, names.length);
      await kv.close();
    });

    test("a long scan with many rows and seeks", async (t) => {
      const kv = await engineUnderTest(engine, t).open();
      const names = Array.from({ length: 3000 }, (_, at) => String(at).padStart(5, "0"));
      for (let at = 0; at < names.length; at += 500) await fill(kv, names.slice(at, at + 500));
      await kv.read((tx) => {
        assert.deepEqual(
          list(tx, "rows"),
          names.map((name) => `${name}=${name}`),
        );
        assert.deepEqual(list(tx, "rows", { ...EVERYTHING, reverse: true }).length, names.length);
        const tens = list(tx, "rows", EVERYTHING, (name) =>
          key(String(Math.floor(Number(name) / 10) * 10 + 10).padStart(5, "0")),
        );
        assert.equal(tens.length, 300);
      });
      await kv.close();
    });

    test("a damaged row is refused by name, counted, and hurts no other", async (t) => {
      const store = engineUnderTest(engine, t);
      let kv = await store.open();
      const value = Buffer.from("a value that occurs once, e7a1c0ffee");
      await kv.transact((tx) => {
        tx.put("rows", key("before"), key("1"));
        tx.put("rows", key("sick"), value);
        tx.put("rows", key("tail"), key("2"));
      });
      await kv.close();
      store.damage("rows", key("sick"), value);
      kv = await store.open();
      const damaged = { code: "kv.damaged", key: key("sick"), message: new RegExp(key("sick").toString("hex")) };
      await assert.rejects(
        kv.read((tx) => tx.get("rows", key("sick"))),
        damaged,
      );
      await assert.rejects(
        kv.read((tx) => tx.view("rows", key("sick"))),
        damaged,
      );
      await assert.rejects(
        kv.read((tx) => list(tx, "rows")),
        damaged,
      );
      await assert.rejects(
        kv.transact((tx) => tx.get("rows", key("sick"))),
        damaged,
      );
      assert.equal(kv.stats().damagedRows, 4);
      assert.equal((await kv.read((tx) => tx.get("rows", key("tail"))))?.toString(), "2");
      await kv.transact((tx) => tx.put("rows", key("sick"), key("healed")));
      assert.deepEqual(await kv.read((tx) => list(tx, "rows")), ["before=1", "sick=healed", "tail=2"]);
      await kv.close();
    });

    test("full: the whole batch is refused and nothing of it kept; with room again, writes go on", async (t) => {
      const store = engineUnderTest(engine, t);
      const kv = await store.open({ limitBytes: 2 << 20 });
      let stored = 0;
      let refused: PromiseSettledResult<unknown>[] = [];
      for (let round = 0; round < 200 && refused.length === 0; round++) {
        const outcomes = await Promise.allSettled(
          Array.from({ length: 8 }, (_, at) =>
            kv.transact((tx) => tx.put("bodies", key(`r${String(round).padStart(4, "0")}-${at}`), Buffer.alloc(9000, round))),
          ),
        );
        refused = outcomes.filter((outcome) => outcome.status === "rejected");
        stored += outcomes.length - refused.length;
        for (const outcome of refused) assert.equal((outcome as PromiseRejectedResult).reason.code, "kv.full");
      }
      assert.ok(refused.length > 0, "the limit was reached");
      assert.ok(stored * 9000 > 1 << 20 && stored * 9000 < 4 << 20, `${stored} rows fitted`);
      const names = await kv.read((tx) => list(tx, "bodies").map((row) => row.split("=")[0]!));
      assert.equal(names.length, stored);
      for (let again = 0; again < 2; again++)
        await assert.rejects(
          kv.transact((tx) => {
            tx.remove("bodies", key(names[0]!));
            for (let at = 0; at < 500; at++) tx.put("rows", key(`x${at}`), Buffer.alloc(9000));
          }),
          { code: "kv.full" },
        );
      assert.equal((await kv.read((tx) => list(tx, "bodies"))).length, stored);
      assert.equal(kv.stats().rows.rows, 0);
      await kv.transact((tx) => names.slice(0, stored >> 1).forEach((name) => void tx.remove("bodies", key(name))));
      await kv.transact((tx) => tx.put("rows", key("room"), Buffer.alloc(9000)));
      assert.equal((await kv.read((tx) => tx.get("rows", key("room"))))?.length, 9000);
      assert.equal((await kv.read((tx) => list(tx, "bodies"))).length, stored - (stored >> 1));
      await kv.close();
    });

    test("after a commit that failed nothing later is acknowledged, durable or shown", async (t) => {
      if (engine !== "memory" && !canInject) return t.skip("needs strace and the right to trace");
      const store = engineUnderTest(engine, t);
      let report: FailureReport & { readonly failures: number };
      if (store.directory === undefined) {
        let failures = 0;
        const kv = (await store.open({ failed: () => void failures++ })) as MemoryKv;
        const reported = await driveIntoFailure(kv, (at) => {
          if (at === 3) kv.disk.failNextCommit = true;
        });
        report = { ...reported, failures };
        kv.crash();
      } else {
        report = JSON.parse(
          faulty([engine, store.directory, "fail"], "fdatasync:error=EIO:when=9").stdout.trim().split("\n").at(-1)!,
        );
      }
      assert.deepEqual(report.codes, ["kv.io", "kv.io", "kv.io", "kv.io", "kv.io"]);
      assert.deepEqual([report.failure, report.failures], ["kv.io", 1]);
      const kv = await store.open();
      const rows = await kv.read((tx) => list(tx, "rows").map((row) => row.split("=")[0]!));
      const { acknowledged } = report;
      const expected = Array.from({ length: acknowledged }, (_, at) => [`row ${at}`, `waiting ${at}`]).flat();
      // Of the failed batch nobody knows; of what came behind it nothing may be there.
      const unknown = [`row ${acknowledged}`, `waiting ${acknowledged}`];
      assert.deepEqual(rows.filter((name) => !unknown.includes(name)).sort(), expected.sort());
      if (!rows.includes(unknown[0]!)) assert.ok(!rows.includes(unknown[1]!), "a later batch is there without the earlier one");
      await kv.close();
    });

    test("close waits for what is under way, then refuses", async (t) => {
      const store = engineUnderTest(engine, t);
      let kv = await store.open();
      const calls = Array.from({ length: 50 }, (_, at) => kv.transact((tx) => tx.put("rows", key(String(at)), key("x"))));
      const closed = kv.close();
      await assert.rejects(
        kv.transact((tx) => tx.put("rows", key("late"), key("x"))),
        { code: "kv.closed" },
      );
      await Promise.all([...calls, closed, kv.close()]);
      assert.equal(kv.stats().rows.rows, 50);
      await assert.rejects(
        kv.read((tx) => tx.get("rows", key("1"))),
        { code: "kv.closed" },
      );
      kv = await store.open();
      assert.equal((await kv.read((tx) => list(tx, "rows"))).length, 50);
      await kv.close();
    });
  });
}
