import type { Groups } from "../../group/groups.ts";
import { type Clock, sleep } from "../../platform/clock.ts";
import type { KvRead } from "../../platform/kv.ts";
import type { Random } from "../../platform/random.ts";
import type { BucketId, ClaimId, GroupId, Stamp } from "../../util/ids.ts";
import type { BodyReading, BodyWriting, UploadTarget, WrittenBody } from "../bytes/data-path.ts";
import type {
  DeleteCommand,
  DeleteResult,
  PartitionCommand,
  PutCommand,
  PutPartCommand,
  PutResult,
  Refusal,
} from "../commands.ts";
import {
  type BucketRef,
  type DeleteOutcome,
  type ObjectHeaders,
  type PutOutcome,
  type PutRequest,
  type Recheck,
  ServiceError,
  type WriteCondition,
} from "../object-service.ts";
import { lostObject } from "../partition/lost.ts";
import { readHead, readHeadVersion } from "../partition/read-version.ts";
import type { Placement } from "../placement.ts";
import { commandFailure, isKnownNotDone, serviceFailure } from "../service-failure.ts";
import { Found } from "./found-object.ts";
import type { Growth, QuotaLedger } from "./quota-ledger.ts";

/** What the object operations work with. */
export interface OperationModules {
  readonly groups: Groups;
  readonly placement: Placement;
  readonly writing: BodyWriting;
  readonly reading: BodyReading;
  readonly random: Random;
  /** For waiting until a DeleteBucket under way has ended. */
  readonly clock: Clock;
  readonly quotas: QuotaLedger;
}

export async function putObject(modules: OperationModules, request: PutRequest): Promise<PutOutcome> {
  const { bucket, key, headers, condition } = request;
  const target = newTarget(modules, bucket, key);
  const written = await modules.writing.write(request.upload, target);
  if (!written.ok) return written;
  return commitPut(modules, bucket, target, { written, headers, condition, recheck: request.recheck });
}

/** Checks the quotas, has the put of what was written decided, and lets go of the blocks when it was refused. */
export async function commitPut(
  modules: OperationModules,
  bucket: BucketRef,
  target: UploadTarget,
  {
    written,
    headers,
    condition,
    recheck,
  }: {
    readonly written: WrittenBody;
    readonly headers: ObjectHeaders;
    readonly condition: WriteCondition | undefined;
    readonly recheck: Recheck | undefined;
  },
): Promise<PutOutcome> {
  const { body, sizeBytes, etag, checksum, needsLease } = written;
  const command: PutCommand = {
    op: "put",
    bucket: bucket.id,
    key: target.key,
    claim: target.claim,
    headers,
    etag,
    body,
    ...(checksum === undefined ? undefined : { checksum }),
    ...(condition === undefined ? undefined : { condition }),
    ...(needsLease ? { needsLease } : undefined),
  };
  const room = await reserve(modules, bucket, { target, written }, (rows) => {
    const old = readHead(rows, target.group, bucket.id, target.key, { sure: false });
    return { bytes: sizeBytes - (old?.sizeBytes ?? 0), objects: old === undefined ? 1 : 0 };
  });
  if (!room.ok) return { ok: false, code: "quota-exceeded", detail: room.detail };
  try {
    const result = await commitBody<PutResult>(modules, target, { command, written, recheck });
    return result.ok ? result : { ok: false, code: refusalCode(result.refused, { bucket: bucket.id, key: target.key }) };
  } finally {
    room.reservation.release();
  }
}

/** Room in the quotas for what was written, which is let go of when there is none. */
export async function reserve(
  modules: OperationModules,
  bucket: BucketRef,
  { target, written }: { readonly target: UploadTarget; readonly written: WrittenBody },
  growthOf: (rows: KvRead) => Growth,
): ReturnType<QuotaLedger["reserve"]> {
  try {
    const room = await modules.quotas.reserve(bucket, growthOf);
    if (!room.ok) modules.writing.discard(target, written);
    return room;
  } catch (error) {
    modules.writing.discard(target, written);
    throw serviceFailure(error);
  }
}

/**
 * Proposes a command that brings a body, if its writer may still write, and confirms or discards the body by its outcome; an
 * unknown outcome is left until the claim is resolved.
 */
export async function commitBody<R extends { readonly ok: boolean }>(
  modules: OperationModules,
  target: UploadTarget,
  {
    command,
    written,
    recheck,
  }: {
    readonly command: PutCommand | PutPartCommand;
    readonly written: WrittenBody;
    readonly recheck: Recheck | undefined;
  },
): Promise<R> {
  const { body, needsLease, expiry } = written;
  try {
    recheck?.();
  } catch (error) {
    modules.writing.discard(target, written);
    throw error;
  }
  let result: R;
  try {
    // Inline bodies have no references: so nobody resolves their claim.
    const bound = body.kind === "inline" || needsLease ? undefined : { expiry };
    result = await proposeUnsealed<R>(modules, target.group, command, bound);
  } catch (error) {
    if (isKnownNotDone(error)) modules.writing.discard(target, written);
    throw commandFailure(error);
  }
  if (result.ok) modules.writing.settled(target, body);
  else modules.writing.discard(target, written);
  return result;
}

export async function lookupObject(modules: OperationModules, bucket: BucketRef, key: string): Promise<Found | null> {
  const group = modules.placement.ofKey(bucket, key);
  try {
    const found = await modules.groups.read(group, (rows) => readHeadVersion(rows, group, bucket.id, key));
    if (found?.content.stored.kind === "lost") throw lostObject({ bucket: bucket.id, key });
    return found === undefined ? null : new Found({ group, bucket: bucket.id, key }, found.version, found.content, modules);
  } catch (error) {
    throw serviceFailure(error, `of ${JSON.stringify(key)} in bucket ${bucket.id}`);
  }
}

export async function deleteObject(
  modules: OperationModules,
  request: { readonly bucket: BucketRef; readonly key: string; readonly condition?: DeleteCommand["condition"] },
): Promise<DeleteOutcome> {
  const { bucket, key, condition } = request;
  const command: DeleteCommand = {
    op: "delete",
    bucket: bucket.id,
    key,
    ...(condition === undefined ? undefined : { condition }),
  };
  const result = await propose<DeleteResult>(modules, modules.placement.ofKey(bucket, key), command);
  return result.ok ? result : { ok: false, code: refusalCode(result.refused, command) };
}

function refusalCode(
  refused: Extract<PutResult, { ok: false }>["refused"],
  object: { readonly bucket: BucketId; readonly key: string },
): "precondition-failed" | "no-such-key" | "no-such-bucket" {
  if (refused === "lost") throw lostObject(object);
  return refused === "precondition-failed" || refused === "no-such-key" ? refused : noBucket(refused);
}

export async function propose<R>(modules: OperationModules, group: GroupId, command: PartitionCommand): Promise<R> {
  try {
    return await proposeUnsealed<R>(modules, group, command);
  } catch (error) {
    throw commandFailure(error);
  }
}

/** How long a command waits for the end of a DeleteBucket under way, and how often it looks. */
const SEAL_PATIENCE_MS = 2_000;
const SEAL_LOOK_MS = 50;

/**
 * Proposes a command again while it is refused as sealed: a DeleteBucket that turns out to be refused (the bucket has objects)
 * seals partitions for some milliseconds, and must not fail the writes of others. A refused command has changed nothing, and
 * blocks that wait for it keep their references, so only the command is repeated; never past the expiry after which its outcome
 * could not be known.
 */
async function proposeUnsealed<R>(
  { groups, clock }: OperationModules,
  group: GroupId,
  command: PartitionCommand,
  bound?: { readonly expiry: Stamp },
): Promise<R> {
  const deadlineMs = clock.monotonicMs() + SEAL_PATIENCE_MS;
  for (;;) {
    const result = await groups.propose<PartitionCommand, R>(group, command, bound);
    if ((result as { readonly refused?: string }).refused !== "sealed" || clock.monotonicMs() >= deadlineMs) return result;
    if (bound !== undefined && groups.logTime(group) + 2 * SEAL_LOOK_MS > bound.expiry) return result;
    await sleep(clock, SEAL_LOOK_MS);
  }
}

/**
 * The answer to a refusal that is neither a condition nor the client's: a sealed bucket may live on, and a claim that ran out may
 * be tried again.
 */
export function noBucket(refused: Refusal | "claim-fenced" | "lease-lost"): "no-such-bucket" {
  if (refused === "no-bucket") return "no-such-bucket";
  throw new ServiceError(
    "service.unavailable",
    refused === "sealed" ? "the bucket is being deleted; ask again" : "the upload took too long to be committed; send it again",
  );
}

/** A fresh attempt at a version of a key. */
export function newTarget(modules: OperationModules, bucket: BucketRef, key: string): UploadTarget {
  const claim = Buffer.from(modules.random.bytes(16)).toString("hex") as ClaimId;
  return { bucket: bucket.id, key, group: modules.placement.ofKey(bucket, key), claim };
}
