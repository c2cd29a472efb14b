import assert from "node:assert/strict";
import process from "node:process";
import { test } from "node:test";
import { linearizableByBruteForce } from "./brute-force.ts";
import { checkHistory, checkKey } from "./check.ts";
import type { Call, Condition, Operation, Outcome } from "./operation.ts";
import { randomHistory, SHAPES, withOneWrongOutcome } from "./random-history.ts";
import { describeContradiction } from "./shrink.ts";
import { Dice, seededRandom } from "../engine/random.ts";

/** `at(1, 4, …)`: invoked at 1, returned at 4; without an outcome: unknown. */
const at = (invokedAt: number, returnedAt: number, call: Call, outcome: Outcome = "unknown", key = "k"): Operation => ({
  client: `c${invokedAt}`,
  key,
  call,
  invokedAt,
  returnedAt: outcome === "unknown" ? Number.POSITIVE_INFINITY : returnedAt,
  outcome,
});
const put = (value: number, condition?: Condition): Call => ({ kind: "put", value, if: condition });
const remove = (condition?: Condition): Call => ({ kind: "delete", if: condition });
const get: Call = { kind: "get" };
const saw = (value: number | null): Outcome => ({ value });

const good: Record<string, Operation[]> = {
  empty: [],
  "a read of nothing": [at(1, 2, get, saw(null))],
  "a read overlapping a write sees either": [at(1, 9, put(1), "done"), at(2, 3, get, saw(null)), at(4, 5, get, saw(1))],
  "two writers, seen in one order": [at(1, 9, put(1), "done"), at(1, 9, put(2), "done"), at(10, 11, get, saw(1))],
  "an unknown put happens much later": [
    at(1, 2, put(1), "done"),
    at(3, 4, put(2)),
    at(50, 51, get, saw(1)),
    at(60, 61, get, saw(2)),
  ],
  "an unknown put never happens": [at(1, 2, put(1)), at(3, 4, get, saw(null)), at(5, 6, get, saw(null))],
  "a condition that held": [at(1, 2, put(1), "done"), at(3, 4, put(2, { is: 1 }), "done"), at(5, 6, get, saw(2))],
  "a condition that did not": [at(1, 2, put(1), "done"), at(3, 4, put(2, "absent"), "refused"), at(5, 6, get, saw(1))],
  "a refusal explained by an unknown put": [at(1, 2, put(1), "done"), at(3, 4, put(9)), at(5, 6, put(2, { is: 1 }), "refused")],
  "a chain of unknown conditional puts": [
    at(1, 2, put(1), "done"),
    at(3, 4, put(3, { is: 2 })),
    at(5, 6, put(2, { is: 1 })),
    at(7, 8, get, saw(3)),
  ],
  "an unknown delete lets a creation succeed": [at(1, 2, put(1), "done"), at(3, 4, remove()), at(5, 6, put(2, "absent"), "done")],
  "touching moments overlap": [at(1, 2, put(1), "done"), at(2, 3, get, saw(null))],
  "each key apart": [at(1, 2, put(1), "done"), at(3, 4, get, saw(null), "other")],
  "one of two rival creations": [
    at(1, 5, put(1, "absent"), "done"),
    at(1, 5, put(2, "absent"), "refused"),
    at(6, 7, get, saw(1)),
  ],
};
/** Right only in an order that a hasty search cuts off. */
const tricky: Record<string, Operation[]> = {
  "the present value, written again, hides another write": [
    at(0, 3, put(3), "done"),
    at(0, 6, remove(), "done"),
    at(0, 7, put(1, "absent"), "done"),
    at(0, 2, get, saw(1)),
    at(4, 5, get, saw(1)),
  ],
  "only the unconditional one of two equal writes hides another": [
    at(0, 1, put(5), "done"),
    at(2, 6, put(9), "done"),
    at(2, 30, put(1), "done"),
    at(2, 20, put(1, { is: 5 }), "done"),
    at(3, 5, get, saw(1)),
    at(7, 8, get, saw(1)),
    at(9, 10, put(5), "done"),
    at(11, 12, get, saw(1)),
  ],
  "only the unconditional one of two unknown equal writes hides another": [
    at(0, 1, put(5), "done"),
    at(2, 6, put(9), "done"),
    at(2, 0, put(1)),
    at(2, 0, put(1, { is: 5 })),
    at(3, 5, get, saw(1)),
    at(7, 8, get, saw(1)),
    at(9, 10, put(5), "done"),
    at(11, 12, get, saw(1)),
  ],
  ...Object.fromEntries(
    [2, 3].map((value) => [
      `one of two unknown writes explains a refusal, the other, of ${value}, is needed later`,
      [
        at(0, 1, put(1), "done"),
        at(2, 0, put(2)),
        at(2, 0, put(3)),
        at(3, 4, put(9, { is: 1 }), "refused"),
        at(5, 6, put(1), "done"),
        at(7, 8, get, saw(1)),
        at(9, 10, get, saw(value)),
        at(11, 12, put(2), "done"),
        at(11, 12, put(3), "done"),
      ],
    ]),
  ),
  "a conditional write hidden between others": [
    at(1, 5, remove(), "done"),
    at(2, 5, put(1, "absent"), "done"),
    at(5, 9, put(1, "absent"), "done"),
  ],
};
const bad: Record<string, { history: Operation[]; culprits: number }> = {
  "a stale read": { history: [at(1, 2, put(1), "done"), at(3, 4, put(2), "done"), at(5, 6, get, saw(1))], culprits: 3 },
  "a lost write": { history: [at(1, 2, put(1), "done"), at(3, 4, get, saw(null))], culprits: 2 },
  "a value from nowhere": { history: [at(1, 2, put(1), "done"), at(3, 4, get, saw(7))], culprits: 1 },
  "a read before its write": { history: [at(1, 2, get, saw(1)), at(3, 4, put(1), "done")], culprits: 2 },
  "a new value, then the old": {
    history: [at(1, 9, put(1), "done"), at(2, 3, get, saw(1)), at(4, 5, get, saw(null))],
    culprits: 3,
  },
  "two rival creations both succeed": {
    history: [at(1, 5, put(1, "absent"), "done"), at(1, 5, put(2, "absent"), "done")],
    culprits: 2,
  },
  "two rival updates both succeed": {
    history: [at(1, 2, put(1), "done"), at(3, 5, put(2, { is: 1 }), "done"), at(3, 5, put(3, { is: 1 }), "done")],
    culprits: 3,
  },
  "a refused condition that held": { history: [at(1, 2, put(1), "done"), at(3, 4, put(2, { is: 1 }), "refused")], culprits: 2 },
  "a refused put took effect": {
    history: [at(1, 2, put(1), "done"), at(3, 4, put(2, "absent"), "refused"), at(5, 6, get, saw(2))],
    culprits: 2,
  },
  "an unknown put happens twice": {
    history: [
      at(1, 2, put(1)),
      at(3, 4, get, saw(1)),
      at(5, 6, remove(), "done"),
      at(7, 8, get, saw(null)),
      at(9, 10, get, saw(1)),
    ],
    culprits: 4,
  },
  "an unknown put seen before it was sent": { history: [at(1, 2, get, saw(1)), at(3, 4, put(1))], culprits: 2 },
  "a deleted value comes back": {
    history: [at(1, 2, put(1), "done"), at(3, 4, remove(), "done"), at(5, 6, get, saw(1))],
    culprits: 3,
  },
};

for (const [name, history] of Object.entries({ ...good, ...tricky })) {
  test(`good: ${name}`, () => {
    assert.equal(checkHistory(history), null);
    const keys = new Set(history.map((o) => o.key));
    for (const key of keys) assert.ok(linearizableByBruteForce(history.filter((o) => o.key === key)));
  });
}
for (const [name, { history, culprits }] of Object.entries(bad)) {
  test(`bad: ${name}`, () => {
    assert.equal(linearizableByBruteForce(history), false);
    const found = checkHistory(history);
    assert.equal(found?.verdict, "not linearizable");
    assert.equal(found.operations.length, culprits, describeContradiction(found.operations));
  });
}

test("an unknown operation that ends took effect by then or never", () => {
  const ended: Operation = { ...at(1, 4, put(1)), returnedAt: 4 };
  for (const [history, expected] of [
    [[ended, at(3, 9, get, saw(null)), at(5, 6, get, saw(1))], true],
    [[ended, at(5, 6, get, saw(null)), at(7, 8, get, saw(1))], false],
    [[ended, at(5, 6, get, saw(null)), at(7, 8, get, saw(null))], true],
  ] as const) {
    assert.equal(linearizableByBruteForce(history), expected);
    assert.equal(checkKey(history), expected ? "linearizable" : "not linearizable");
  }
});

const SHAPE_NAMES = Object.keys(SHAPES) as (keyof typeof SHAPES)[];

/** Few values, much overlap, any outcomes: about half of them can't be. */
function smallHistory(dice: Dice): Operation[] {
  const values = 1 + dice.below(3);
  const unknown = dice.pick([0, 0.1, 0.25, 0.5, 0.7]);
  const conditions = dice.random();
  const span = dice.pick([1, 3, 6, 10, 20]);
  const length = dice.pick([2, 4, 8]);
  const reads = dice.pick([0.2, 0.4, 0.7]);
  const deletes = dice.random() * 0.4;
  return Array.from({ length: 2 + dice.below(6) }, () => {
    const invokedAt = dice.below(span);
    const anyValue = dice.below(values);
    const condition: Condition | undefined = dice.chance(conditions)
      ? dice.chance(0.3)
        ? "absent"
        : { is: dice.below(values) }
      : undefined;
    const call = dice.chance(reads) ? get : dice.chance(deletes) ? remove(condition) : put(anyValue, condition);
    const refused = condition !== undefined && dice.chance(0.3);
    const outcome = call === get ? saw(dice.chance(0.25) ? null : anyValue) : refused ? "refused" : "done";
    const returnedAt = invokedAt + dice.below(length + 1);
    if (!dice.chance(unknown)) return at(invokedAt, returnedAt, call, outcome);
    return { ...at(invokedAt, returnedAt, call), ...(dice.chance(0.4) ? { returnedAt } : {}) };
  });
}

/** What a register did with clients that wait for answers, often told wrongly. */
function nearlyRightHistory(dice: Dice): Operation[] {
  let history = randomHistory({
    operations: 8,
    clients: 4 + dice.below(5),
    unknown: dice.pick([0, 0, 0.2, 0.5]),
    values: 1 + dice.below(4),
    shape: dice.pick(SHAPE_NAMES),
    random: dice.random,
  });
  for (let wrong = dice.below(3); wrong > 0; wrong--) history = withOneWrongOutcome(history, dice.random);
  return history;
}

/**
 * What a register did, every operation with a lot of time around its moment: right by construction, with many other orders that
 * are not.
 */
function wideHistory(dice: Dice, operations: number): Operation[] {
  const values = 1 + dice.below(4);
  const unknown = dice.pick([0, 0, 0.1, 0.3]);
  const conditions = dice.random();
  const width = dice.pick([2, 5, 10, 30]);
  const reads = dice.pick([0.1, 0.3, 0.6]);
  let state: number | null = null;
  return Array.from({ length: 3 + dice.below(operations - 2) }, (_, moment) => {
    const guess = dice.below(values);
    const want = dice.chance(0.6) ? state : guess;
    const condition: Condition | undefined = !dice.chance(conditions) ? undefined : want === null ? "absent" : { is: want };
    const call = dice.chance(reads) ? get : dice.chance(0.2) ? remove(condition) : put(dice.below(values), condition);
    const invokedAt = moment - dice.random() * width;
    const returnedAt = moment + dice.random() * width;
    const isLost = dice.chance(unknown);
    if (call.kind === "get") return at(invokedAt, returnedAt, call, isLost ? "unknown" : saw(state));
    const holds: boolean = call.if === undefined || state === (call.if === "absent" ? null : call.if.is);
    if (holds && !(isLost && dice.chance(0.3))) state = call.kind === "put" ? Number(call.value) : null;
    if (!isLost) return at(invokedAt, returnedAt, call, holds ? "done" : "refused");
    return { ...at(invokedAt, returnedAt, call), ...(dice.chance(0.4) ? { returnedAt } : {}) };
  });
}

const RUNS = Number(process.env["LINEARIZABILITY_RUNS"] ?? 20_000);

test("agrees with brute force on small random histories", () => {
  const counts = { good: 0, bad: 0 };
  for (let seed = 1; seed <= RUNS; seed++) {
    const dice = new Dice(seed);
    const history = seed % 10 === 0 ? nearlyRightHistory(dice) : smallHistory(dice);
    const expected = linearizableByBruteForce(history);
    counts[expected ? "good" : "bad"]++;
    assert.equal(checkKey(history), expected ? "linearizable" : "not linearizable", `seed ${seed}`);
    if (expected || seed % 15 !== 0) continue;
    const few = checkHistory(history)!.operations;
    assert.ok(few.length > 0 && few.length <= history.length, `seed ${seed}`);
  }
  assert.ok(counts.good > RUNS / 4 && counts.bad > RUNS / 4, `both kinds must occur: ${JSON.stringify(counts)}`);
});

test("finds an order among much overlap", () => {
  for (let seed = 1; seed <= RUNS; seed++) {
    const history = wideHistory(new Dice(seed), seed % 4 === 0 ? 30 : 12);
    assert.equal(checkKey(history), "linearizable", `seed ${seed}`);
  }
});

test("many clients at once: more operations under way than a word has bits", () => {
  const history = randomHistory({ operations: 300, clients: 70, unknown: 0.05, values: 3, random: seededRandom(5) });
  assert.equal(checkKey(history), "linearizable");
  const writes = Array.from({ length: 70 }, (_, i) => at(i, 100 + i, put(i), "done"));
  assert.equal(checkKey([...writes, at(200, 201, get, saw(69)), at(202, 203, get, saw(3))]), "not linearizable");
  assert.equal(checkKey([...writes, at(200, 201, get, saw(3)), at(202, 203, get, saw(3))]), "linearizable");
});

test("2,000 operations on one key by 16 clients, one in twenty unknown, are decided within 300,000 positions", () => {
  const verdicts = { linearizable: 0, "not linearizable": 0, undecided: 0 };
  for (const [index, values] of [1, 2, 3, 4, 6, 8, 12, 16, 24, 50, 200, undefined].entries()) {
    const random = seededRandom(100 + index);
    const history = randomHistory({
      operations: 2000,
      clients: 16,
      unknown: 0.05,
      ...(values === undefined ? {} : { values }),
      shape: index % 2 === 0 ? "mixed" : SHAPE_NAMES[index % SHAPE_NAMES.length]!,
      random,
    });
    assert.equal(checkKey(history, 300_000), "linearizable", `${values} values`);
    const verdict = checkKey(withOneWrongOutcome(history, random), 300_000);
    assert.notEqual(verdict, "undecided", `${values} values, one outcome wrong`);
    verdicts[verdict]++;
  }
  assert.ok(verdicts["not linearizable"] > 0 && verdicts.linearizable > 0, JSON.stringify(verdicts));
});

test("histories in which 16 clients time out together time and again are decided", () => {
  for (const values of [4, 12, 50]) {
    const history = randomHistory({
      operations: 1000,
      clients: 16,
      unknown: 0.1,
      values,
      shape: "crashing",
      random: seededRandom(7),
    });
    assert.ok(history.filter((o) => o.outcome === "unknown").length > 100);
    assert.equal(checkKey(history, 300_000), "linearizable", `${values} values`);
  }
});

test("what is wrong for want of an unknown write used up long before is found out, and shrinks", () => {
  const filler = (from: number): Operation[] =>
    Array.from({ length: 200 }, (_, i) => [
      at(from + i * 4, from + i * 4 + 3, put(i % 7), "done"),
      at(from + i * 4 + 1, from + i * 4 + 3, put((i + 3) % 7), "done"),
      at(from + i * 4 + 1, from + i * 4 + 6, put(8, { is: 9 })),
    ]).flat();
  const history = [
    at(1, 2, put(9)),
    at(3, 4, get, saw(9)),
    at(5, 6, put(1), "done"),
    ...filler(10),
    at(1000, 1001, get, saw(9)),
    ...filler(1002),
  ];
  const found = checkHistory(history)!;
  assert.equal(found.verdict, "not linearizable");
  assert.ok(found.operations.length <= 5, describeContradiction(found.operations));
  assert.ok(found.operations.some((o) => o.invokedAt === 3) && found.operations.some((o) => o.invokedAt === 1000));
  assert.equal(checkKey([...history, at(7, 8, put(9))]), "linearizable");
});

test("a lost write, a wrong read, a wrong answer among 2,000 operations shrink to a few that are enough", () => {
  let shrunk = 0;
  for (const shape of SHAPE_NAMES) {
    for (const values of [12, undefined]) {
      const random = seededRandom(values ?? 1);
      const options = {
        operations: 2000,
        clients: 16,
        unknown: 0.05,
        ...(values === undefined ? {} : { values }),
        shape,
        random,
      };
      for (const history of [
        withOneWrongOutcome(randomHistory(options), random),
        randomHistory({ ...options, losesWriteAfter: 1000 }),
      ]) {
        const found = checkHistory(history);
        if (found === null) continue;
        shrunk++;
        assert.equal(found.verdict, "not linearizable");
        assert.ok(found.operations.length <= 12, `${shape}, ${values} values\n${describeContradiction(found.operations)}`);
      }
    }
  }
  assert.ok(shrunk >= 8, `${shrunk} of 24 were wrong`);
});
test("a stale read among 2,000 operations shrinks to the read, what it saw, and what had overwritten that", () => {
  const history = randomHistory({ operations: 2000, clients: 16, unknown: 0.05, random: seededRandom(99) });
  const reads = history.filter((o) => o.call.kind === "get" && typeof o.outcome === "object");
  const middle = reads.length >> 1;
  const stale = reads[middle]!;
  const broken = history.map((o) => (o === stale ? { ...o, outcome: reads[middle - 30]!.outcome } : o));
  const found = checkHistory(broken)!;
  assert.equal(found.verdict, "not linearizable");
  assert.ok(found.operations.length <= 5, describeContradiction(found.operations));
  assert.ok(found.operations.some((o) => o.invokedAt === stale.invokedAt && o.client === stale.client));
});
