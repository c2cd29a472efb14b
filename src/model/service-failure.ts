import { BlockError } from "../block/block-store.ts";
import { GroupError } from "../group/groups.ts";
import { CpuError } from "../platform/cpu.ts";
import { DiskError } from "../platform/disk.ts";
import { KvError } from "../platform/kv.ts";
import { ServiceError, type ServiceErrorCode } from "./object-service.ts";

/**
 * What the layers below reject with, in the words of the services. Anything else passes as it is: a bug, or the client's broken
 * stream.
 *
 * @param what  whose rows were asked for; goes into the message of a damaged row.
 */
export function serviceFailure(cause: unknown, what = "asked for"): unknown {
  const failure = (code: ServiceErrorCode, message: string): ServiceError => new ServiceError(code, message, { cause });
  if (cause instanceof GroupError) {
    switch (cause.code) {
      case "group.unknown-outcome":
        return failure("service.unavailable", "whether a step on the way was made is not known; ask again");
      case "group.not-here":
      case "group.stopping":
        return failure("service.unavailable", "this node does not answer for the object now");
      case "group.no-space":
        return failure("service.no-space", cause.message);
      case "group.overloaded":
        return failure("service.slow-down", cause.message);
    }
  }
  if (cause instanceof KvError) {
    switch (cause.code) {
      case "kv.damaged":
        return failure("object.damaged", `a metadata row ${what} is damaged`);
      case "kv.full":
        return failure("service.no-space", "the metadata store is full");
      case "kv.io":
      case "kv.closed":
        return failure("service.unavailable", "the metadata store does not answer");
    }
  }
  if (cause instanceof BlockError) {
    if (cause.code === "block.no-space") return failure("service.no-space", cause.message);
    if (cause.code === "block.damaged") return failure("object.damaged", cause.message);
    return failure("service.unavailable", cause.message);
  }
  if (cause instanceof CpuError || cause instanceof DiskError) return failure("service.unavailable", cause.message);
  return cause;
}

/** The same of the command that would have made the change: what it came to may be unknown, which its client must be told. */
export function commandFailure(cause: unknown): unknown {
  return cause instanceof GroupError && !isKnownNotDone(cause)
    ? new ServiceError("service.unknown-outcome", "whether the change was made is not known; ask again", { cause })
    : serviceFailure(cause);
}

/**
 * Whether a failed proposal certainly changed nothing, so that its blocks may be let go and its client may be told so. That comes
 * from the seam. A damaged row is certain only as long as groups have one member: a command reads before it writes, and nobody
 * else decides it.
 */
export function isKnownNotDone(error: unknown): boolean {
  return error instanceof GroupError ? error.notDone : error instanceof KvError && error.code === "kv.damaged";
}
