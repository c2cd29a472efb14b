import assert from "node:assert/strict";
import { it } from "node:test";
import { Turns } from "./turns.ts";

it("so many jobs run at a time, in order, and a failure gives its turn to the next", async () => {
  const turns = new Turns(2);
  const jobs = Array.from({ length: 5 }, () => Promise.withResolvers<number>());
  const started: number[] = [];
  const results = jobs.map(({ promise }, n) =>
    turns.run(() => {
      started.push(n);
      return promise;
    }),
  );
  const settled = Promise.allSettled(results);
  assert.deepEqual(started, [0, 1]);
  jobs[1]!.reject(new Error("disk"));
  await assert.rejects(results[1]!, /disk/);
  assert.deepEqual(started, [0, 1, 2]);
  for (const [n, { resolve }] of jobs.entries()) resolve(n);
  await settled;
  assert.deepEqual(started, [0, 1, 2, 3, 4]);
  assert.equal(await turns.run(() => Promise.resolve("free again")), "free again");
  assert.deepEqual(await Promise.all([results[0], results[4]]), [0, 4]);
});
