import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { NodeId } from "../util/ids.ts";
import { subsets } from "./testing/enumerate.ts";
import { chooseVoters, suitableVoterCount, type VoterCandidate } from "./voters.ts";

const candidatesIn = (zones: string): VoterCandidate[] => [...zones].map((zone, i) => ({ id: `n${i}` as NodeId, zone }));
const ids = (text: string): NodeId[] => text.split(" ").filter((id) => id !== "") as NodeId[];

/** Sum of squares of voters per zone (least first), then voters replaced. */
function cost(candidates: readonly VoterCandidate[], voters: readonly NodeId[], present: readonly NodeId[]): [number, number] {
  const perZone = new Map<string, number>();
  for (const { id, zone } of candidates) if (voters.includes(id)) perZone.set(zone, (perZone.get(zone) ?? 0) + 1);
  return [[...perZone.values()].reduce((sum, n) => sum + n * n, 0), voters.filter((id) => !present.includes(id)).length];
}

const cluster = fc.array(fc.constantFrom("a", "b", "c", "d", "e"), { maxLength: 9 }).map((zones) => candidatesIn(zones.join("")));
const wanted = fc.constantFrom(1 as const, 3 as const, 5 as const);
/** Also nodes that are gone (n9 …). */
const voting = fc.uniqueArray(fc.nat({ max: 11 }), { maxLength: 5 }).map((list) => list.map((n) => `n${n}` as NodeId));

test("no other choice is more even over zones, or as even with fewer changes", () => {
  fc.assert(
    fc.property(cluster, voting, wanted, (candidates, present, count) => {
      const { voters, added, removed } = chooseVoters(candidates, present, count);
      const size = candidates.length >= count ? count : candidates.length >= 3 ? 3 : Math.min(1, candidates.length);
      assert.equal(voters.length, size);
      assert.deepEqual(
        added,
        voters.filter((id) => !present.includes(id)),
      );
      assert.deepEqual([...removed].sort(), present.filter((id) => !voters.includes(id)).sort());
      const [uneven, changes] = cost(candidates, voters, present);
      let mostZones = 0;
      for (const set of subsets(candidates.length, size)) {
        const other = cost(
          candidates,
          set.map((i) => candidates[i]!.id),
          present,
        );
        assert.ok(uneven < other[0] || (uneven === other[0] && changes <= other[1]), `${set} is better`);
        mostZones = Math.max(mostZones, new Set(set.map((i) => candidates[i]!.zone)).size);
      }
      assert.equal(new Set(candidates.filter((c) => voters.includes(c.id)).map((c) => c.zone)).size, mostZones);
    }),
    { numRuns: 500 },
  );
});

test("the order of the arguments does not matter, and a choice made once stays", () => {
  fc.assert(
    fc.property(cluster, voting, wanted, (candidates, present, count) => {
      const choice = chooseVoters(candidates, present, count);
      assert.deepEqual(chooseVoters([...candidates].reverse(), [...present].reverse(), count), choice);
      assert.deepEqual(chooseVoters(candidates, choice.voters, count), { voters: choice.voters, added: [], removed: [] });
    }),
  );
});

test("a lost voter is replaced in its own zone's stead only when no zone is without one", () => {
  const six = candidatesIn("aabbcc");
  assert.deepEqual(chooseVoters(six, [], 3).voters, ids("n0 n2 n4"));
  assert.deepEqual(chooseVoters(six, ids("n1 n3 n5"), 3).voters, ids("n1 n3 n5"));
  const withoutN3 = six.filter((candidate) => candidate.id !== "n3");
  assert.deepEqual(chooseVoters(withoutN3, ids("n1 n3 n5"), 3), {
    voters: ids("n1 n2 n5"),
    added: ids("n2"),
    removed: ids("n3"),
  });
  // Five over three zones: 2 + 2 + 1, never 3 + 1 + 1, so that any one zone may vanish.
  const five = chooseVoters(candidatesIn("aaabbc"), ids("n0 n1 n2 n3 n5"), 5);
  assert.deepEqual(five, { voters: ids("n0 n1 n3 n4 n5"), added: ids("n4"), removed: ids("n2") });
});

test("how many voters suit", () => {
  const counts = (storageNodes: number, zones: number, replicationFactor: number): number =>
    suitableVoterCount({ storageNodes, zones, replicationFactor });
  assert.deepEqual([counts(0, 0, 3), counts(1, 1, 1), counts(2, 2, 2)], [1, 1, 1]);
  assert.deepEqual([counts(3, 3, 3), counts(4, 4, 3), counts(100, 4, 3), counts(3, 1, 1)], [3, 3, 3, 3]);
  assert.deepEqual([counts(5, 5, 3), counts(5, 1, 5), counts(100, 10, 3)], [5, 5, 5]);
});
