import assert from "node:assert/strict";
import crypto from "node:crypto";
import { syncBuiltinESMExports } from "node:module";
import { after, afterEach, before, beforeEach, describe, test } from "node:test";
import { SimulatedClock } from "../../../sim/platform/simulated-clock.ts";
import { VirtualTime } from "../../../sim/platform/virtual-time.ts";
import type { TokenRow } from "../../model/control/rows.ts";
import { AdminError } from "./admin-error.ts";
import { ADMIN_TOKEN, AdminNode } from "./testing/admin-node.ts";
import { TokenVerifier } from "./token-verifier.ts";
import { hashToken } from "./tokens.ts";

/** Hashes on a thread of the pool, how many at the same time, and those that would have held the event loop. */
const hashes = { done: 0, running: 0, mostAtOnce: 0, synchronous: 0 };
const { argon2, argon2Sync } = crypto;
type Argon2 = typeof crypto.argon2;

const ID = "0123456789abcdef01234567";

/** A row as CreateAdminToken writes it. */
async function tokenRow(id: string, bearer: string): Promise<TokenRow> {
  const hash = await hashToken(bearer, crypto.randomBytes(16));
  hashes.done = 0;
  return { id, name: "t", hash, createdMs: 0, scope: ["*"] };
}

type Answer = boolean | "refused";

function verifierOf() {
  const time = new VirtualTime();
  const passes = (ms: number): Promise<number> => time.run({ untilMs: time.nowMs + ms });
  const verifier = new TokenVerifier({ clock: new SimulatedClock(time) });
  const ask = async (token: TokenRow, bearer: string, from = "192.0.2.1"): Promise<Answer> => {
    try {
      return await verifier.fits(token, bearer, from);
    } catch (error) {
      assert.ok(error instanceof AdminError && error.code === "TooManyRequests", String(error));
      return "refused";
    }
  };
  const wrong = (token: TokenRow, count: number, from?: string): Promise<Answer[]> =>
    Promise.all(Array.from({ length: count }, (_, n) => ask(token, `${token.id}.wrong-${n}`, from)));
  return { passes, ask, wrong };
}
const count = (answers: readonly Answer[], wanted: Answer): number => answers.filter((one) => one === wanted).length;

describe("bearers of stored tokens", () => {
  before(() => {
    const counted: Argon2 = (algorithm, parameters, callback) => {
      hashes.running++;
      hashes.mostAtOnce = Math.max(hashes.mostAtOnce, hashes.running);
      argon2(algorithm, parameters, (error, digest) => {
        hashes.running--;
        hashes.done++;
        callback(error, digest);
      });
    };
    crypto.argon2 = counted;
    crypto.argon2Sync = (...given) => {
      hashes.synchronous++;
      return argon2Sync(...given);
    };
    syncBuiltinESMExports();
  });
  after(() => {
    Object.assign(crypto, { argon2, argon2Sync });
    syncBuiltinESMExports();
  });
  beforeEach(() => {
    Object.assign(hashes, { done: 0, mostAtOnce: 0, synchronous: 0 });
  });
  afterEach(() => {
    assert.equal(hashes.synchronous, 0, "never on the event loop");
    assert.ok(hashes.mostAtOnce <= 1, `${hashes.mostAtOnce} hashes at once`);
  });

  test("wrong ones: some are hashed, one at a time, the rest is told to try again", async () => {
    const { ask, wrong, passes } = verifierOf();
    const token = await tokenRow(ID, `${ID}.right`);
    const first = await wrong(token, 200);
    assert.deepEqual([count(first, false), count(first, "refused"), hashes.done], [8, 192, 8]);
    assert.equal(await ask(token, `${ID}.right`), "refused", "nobody can tell without hashing");
    await passes(1_900);
    assert.equal(await ask(token, `${ID}.right`), "refused");
    await passes(200);
    assert.deepEqual(await wrong(token, 1), [false], "one more after a while");
    assert.equal(await ask(token, `${ID}.right`), "refused");
    assert.equal(await ask(token, `${ID}.right`, "192.0.2.2"), true, "who sits elsewhere is not locked out");
    assert.equal(await ask(token, `${ID}.right`), true, "and now it is known");
  });

  test("many senders and many tokens: so many hashes in all, whoever sends them", async () => {
    const { wrong, passes } = verifierOf();
    const tokens = await Promise.all(Array.from({ length: 4 }, (_, n) => tokenRow(`${n}`.repeat(24), "right")));
    hashes.mostAtOnce = 0;
    for (let sender = 0; sender < 5; sender++) for (const token of tokens) await wrong(token, 8, `192.0.2.${sender}`);
    assert.equal(hashes.done, 24);
    await passes(1_000);
    for (let sender = 0; sender < 5; sender++) for (const token of tokens) await wrong(token, 8, `198.51.100.${sender}`);
    assert.equal(hashes.done, 28, "four a second");
  });

  test("many requests with one right token wait for one hash", async () => {
    const { ask } = verifierOf();
    const token = await tokenRow(ID, `${ID}.right`);
    const answers = await Promise.all(Array.from({ length: 300 }, (_, n) => ask(token, `${ID}.right`, `192.0.2.${n % 250}`)));
    assert.deepEqual([count(answers, true), hashes.done], [300, 1]);
  });

  test("once the right one was seen, wrong ones cost no hash, and the right one always gets through", async () => {
    const { ask, wrong } = verifierOf();
    const token = await tokenRow(ID, `${ID}.right`);
    assert.equal(await ask(token, `${ID}.right`), true);
    hashes.done = 0;
    const [answers, ...right] = await Promise.all([
      wrong(token, 500),
      ...Array.from({ length: 50 }, () => ask(token, `${ID}.right`)),
    ]);
    assert.deepEqual([count(answers as Answer[], false), hashes.done], [500, 0]);
    assert.deepEqual(new Set(right), new Set([true]));
    // Another token with the same id is another hash.
    assert.equal(await ask(await tokenRow(ID, `${ID}.new`), `${ID}.right`), false);
  });

  test("over HTTP: while wrong secrets of its token pour in, the right one and the master token are served", async () => {
    const api = await AdminNode.start();
    try {
      const { id, secretToken } = (await api.post("CreateAdminToken", { scope: ["ListKeys"] })).json;
      const statuses = new Map<string, number>();
      const call = async (token: string): Promise<number> => {
        const { status } = await api.call("/v2/ListKeys", { token });
        const who = token === secretToken ? "right" : token === ADMIN_TOKEN ? "master" : "wrong";
        statuses.set(`${who} ${status}`, (statuses.get(`${who} ${status}`) ?? 0) + 1);
        return status;
      };
      assert.equal(await call(secretToken), 200);
      hashes.done = 0;
      const calls = Array.from({ length: 150 }, (_, n) =>
        call(n % 5 === 0 ? secretToken : n % 5 === 1 ? ADMIN_TOKEN : `${id}.${crypto.randomBytes(32).toString("base64url")}`),
      );
      await Promise.all(calls);
      assert.deepEqual(Object.fromEntries(statuses), { "right 200": 31, "master 200": 30, "wrong 403": 90 });
      assert.equal(hashes.done, 0);
      // A token that nobody has used yet: most of the wrong ones are put off.
      const other = (await api.post("CreateAdminToken", { scope: ["ListKeys"] })).json.id;
      hashes.done = 0;
      const startedMs = performance.now();
      const put = await Promise.all(
        Array.from({ length: 100 }, (_, n) => api.call("/v2/ListKeys", { token: `${other}.wrong-${n}` })),
      );
      const refusals = put.filter((answer) => answer.status === 429);
      assert.equal(refusals[0]?.json.code, "TooManyRequests");
      assert.equal(put.filter((answer) => answer.status === 403).length, hashes.done);
      assert.equal(refusals.length + hashes.done, 100);
      const refilled = Math.ceil((performance.now() - startedMs) / 2_000);
      assert.ok(hashes.done <= 8 + refilled, `${hashes.done} hashes, ${refilled} more than at once`);
      assert.equal(await call(secretToken), 200);
    } finally {
      await api.stop();
    }
  });
});
