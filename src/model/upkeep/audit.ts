import { BlockWalk, LEAVES } from "../../block/block-walk.ts";
import type { FileBlockStore } from "../../block/file-block-store.ts";
import type { Groups } from "../../group/groups.ts";
import { type Clock, sleep } from "../../platform/clock.ts";
import type { Disk } from "../../platform/disk.ts";
import type { ClaimId, GroupId, Hash } from "../../util/ids.ts";
import { leasedClaims } from "../partition/claims.ts";
import { isDamage } from "../partition/damage.ts";
import { eachClaim } from "../partition/data-reads.ts";
import { readOutbox } from "../partition/outbox-row.ts";
import { eachReference, unconfirmedReferences, zeroHashes } from "../partition/reference-row.ts";
import type { Placement } from "../placement.ts";
import { eachDamagedRow, checkGroup } from "./consistency-check.ts";

/** One thing that does not fit together. */
export interface Inconsistency {
  readonly kind: /** A version or part names a block for which it has no reference: the block may go. Never allowed. */
    | "claim-without-reference"
    /** A reference is needed, but no good place holds its block. Never allowed. */
    | "reference-without-file"
    /** A confirmed reference that no version, part or outbox entry names: its block stays for ever. Never allowed. */
    | "reference-without-claim"
    /** A hash is in the list of unneeded blocks and needed at once. Never allowed. */
    | "zero-row-with-reference"
    /**
     * A row's checksum is wrong. What needs all rows to be known (claims, references and files that nothing names) is not said
     * then.
     */
    | "damaged-row"
    /** What a damaged row held is lost: something may be named by nothing else. The same is not said then. */
    | "lost-row"
    /** A row is not there although another one names it. The same is not said then. */
    | "missing-row"
    /**
     * A bucket's counters in one group say something else than its rows there: rows have gone unseen. The same is not said then.
     */
    | "wrong-counters"
    /** Work that the janitor has still before it. */
    | "unconfirmed-reference"
    | "unneeded-block"
    | "file-without-row"
    | "leftover-aside"
    | "leased-upload"
    | "waiting-release";
  readonly hash: Hash | undefined;
  readonly claim: ClaimId | undefined;
  readonly detail: string;
}

export interface AuditReport {
  readonly references: number;
  readonly files: number;
  readonly storedBlocks: number;
  /** Never allowed, whatever is under way. */
  readonly broken: readonly Inconsistency[];
  /** Allowed while uploads, releases or delays are under way; empty after the janitor has run on a quiet store. */
  readonly unfinished: readonly Inconsistency[];
}

const BROKEN: ReadonlySet<Inconsistency["kind"]> = new Set([
  "claim-without-reference",
  "reference-without-file",
  "reference-without-claim",
  "zero-row-with-reference",
  "damaged-row",
  "lost-row",
  "missing-row",
  "wrong-counters",
]);

/** While any of these is found nobody can say that something is named by nothing. Each is a fact of one reading. */
const DOUBTS: ReadonlySet<Inconsistency["kind"]> = new Set(["damaged-row", "lost-row", "missing-row", "wrong-counters"]);

/** What keeps the audit from knowing every claim, and `dropDanglingReferences` from dropping any reference. */
export function isDoubt({ kind }: Inconsistency): boolean {
  return DOUBTS.has(kind);
}

const REFERENCE_PAGE = 20_000;

/**
 * What is broken must be found so in this many readings, `REREAD_MS` apart: rows are read group by group, and what changes in
 * between only looks broken.
 */
const READINGS = 3;
const REREAD_MS = 1000;

interface AuditModules {
  readonly groups: Groups;
  readonly blocks: FileBlockStore;
  readonly placement: Placement;
  readonly disk: Disk;
  readonly clock: Clock;
}

/**
 * Compares objects, versions, parts, counters, outbox, references, unneeded blocks and files, and names everything that does not
 * fit. Reads every row and lists every directory, and holds one entry per reference in memory (about 200 bytes): for tests and
 * for `repair` on an operator's word, not for requests. What it calls broken has been so for seconds.
 */
export async function audit(modules: AuditModules): Promise<AuditReport> {
  let report = await readAll(modules);
  for (let reading = 1; reading < READINGS && report.broken.length > 0; reading++) {
    await sleep(modules.clock, REREAD_MS);
    const before = new Set(report.broken.map(nameOf));
    const next = await readAll(modules);
    report = { ...next, broken: next.broken.filter((one) => isDoubt(one) || before.has(nameOf(one))) };
  }
  return report;
}

function nameOf({ kind, hash, claim }: Inconsistency): string {
  return `${kind} ${hash} ${claim}`;
}

async function readAll(modules: AuditModules): Promise<AuditReport> {
  const { groups, blocks, placement, disk } = modules;
  const found: Inconsistency[] = [];
  const add = (kind: Inconsistency["kind"], hash: Hash | undefined, claim: ClaimId | undefined, detail: string): void =>
    void found.push({ kind, hash, claim, detail });

  const damaged = new Set<string>();
  /** Runs `read`; false when it met a damaged row, and with it what is known of the group's rows is not all. */
  const isWhole = (read: () => void): boolean => {
    try {
      read();
      return true;
    } catch (error) {
      if (!isDamage(error)) throw error;
      damaged.add((error as Error).message);
      return false;
    }
  };
  let allReferences = true;

  const claimed = new Map<string, string>();
  /** Waiting for their release: their references may be gone already. */
  const released = new Set<string>();
  const unconfirmed = new Set<string>();
  for (const group of allGroups(groups))
    await groups.inspect(group, (rows) => {
      const known = isWhole(() =>
        eachClaim(rows, group, ({ hash, claim, by, key }) => {
          claimed.set(hash + claim, `${by} of ${JSON.stringify(key)}`);
          if (by === "outbox") released.add(hash + claim);
        }),
      );
      isWhole(() => checkGroup(rows, group, ({ kind, detail }) => add(kind, undefined, undefined, detail)));
      // A damaged outbox entry has been met above.
      if (!known) return;
      for (const entry of readOutbox(rows, group, { after: 0, limit: REFERENCE_PAGE }))
        add("waiting-release", undefined, entry.kind === "body" ? entry.claim : undefined, `of ${JSON.stringify(entry.key)}`);
      isWhole(() => {
        for (const { claim, key, untilMs } of leasedClaims(rows, group))
          add("leased-upload", undefined, claim, `upload of ${JSON.stringify(key)}, until ${untilMs}`);
      });
    });

  await eachDamagedRow(groups, (message) => void damaged.add(message));
  const allClaims = damaged.size === 0 && !found.some(isDoubt);

  const needed = new Set<Hash>();
  /** Of a live claim: an upload under way, or dead, may have a reference before it has the bytes. */
  const mustExist = new Set<Hash>();
  const unneeded = new Set<Hash>();
  let references = 0;
  for (const group of allGroups(groups))
    await groups.inspect(group, (rows) => {
      isWhole(() => {
        for (const { hash, claim, expiryMs } of unconfirmedReferences(rows, group, { limit: REFERENCE_PAGE })) {
          unconfirmed.add(hash + claim);
          add("unconfirmed-reference", hash, claim, `expires ${expiryMs}`);
        }
      });
      const known = isWhole(() =>
        eachReference(rows, group, (reference) => {
          const { hash, claim } = reference;
          references++;
          needed.add(hash);
          if (placement.ofHash(hash) !== group) add("reference-without-claim", hash, claim, `in the wrong group ${group}`);
          const isClaimed = claimed.delete(hash + claim);
          const isUnconfirmed = unconfirmed.has(hash + claim);
          if (isClaimed || !isUnconfirmed) mustExist.add(hash);
          if (!isClaimed && !isUnconfirmed && allClaims)
            add(
              "reference-without-claim",
              hash,
              claim,
              reference.kind === "lost" ? "whose row is lost" : `left from ${JSON.stringify(reference.key)}`,
            );
          return undefined;
        }),
      );
      const zerosKnown = isWhole(() => {
        for (const { hash, sinceMs } of zeroHashes(rows, group, { beforeMs: 2 ** 47, limit: REFERENCE_PAGE })) {
          unneeded.add(hash);
          add(needed.has(hash) ? "zero-row-with-reference" : "unneeded-block", hash, undefined, `since ${sinceMs}`);
        }
      });
      allReferences &&= known && zerosKnown;
    });
  for (const [name, by] of claimed)
    if (allReferences && !released.has(name))
      add("claim-without-reference", name.slice(0, 64) as Hash, name.slice(64) as ClaimId, `claimed by ${by}`);

  const stored = new Set<Hash>();
  let files = 0;
  const walk = new BlockWalk(blocks.directories, disk);
  for (let position = 0; position < LEAVES; ) {
    const leaf = await walk.next(position);
    position = leaf.next;
    for (const { hash, path, kind } of leaf.files) {
      files++;
      if (kind === "aside") add("leftover-aside", hash, undefined, path);
      else if (allReferences && kind === "corrupted" && !needed.has(hash)) add("file-without-row", hash, undefined, path);
      else if (kind === "block") {
        stored.add(hash);
        if (allReferences && !needed.has(hash) && !unneeded.has(hash)) add("file-without-row", hash, undefined, path);
      }
    }
  }
  // It may lie in the quarantine, where every reader would find it: asked for, it is put back.
  for (const hash of mustExist)
    if (!stored.has(hash) && !(await blocks.holds(hash))) add("reference-without-file", hash, undefined, "no file");

  for (const message of damaged) add("damaged-row", undefined, undefined, message);
  return {
    references,
    files,
    storedBlocks: stored.size,
    broken: found.filter(({ kind }) => BROKEN.has(kind)),
    unfinished: found.filter(({ kind }) => !BROKEN.has(kind)),
  };
}

function allGroups(groups: Groups): readonly GroupId[] {
  return Array.from({ length: groups.partitions }, (_, group) => group as GroupId);
}
