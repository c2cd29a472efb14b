import { GroupError } from "../../group/groups.ts";
import { KvError } from "../../platform/kv.ts";
import { ServiceError } from "../object-service.ts";

/** What the layers below reject with, in the words of the object service. Anything else passes as it is: a bug, or the client's broken stream. */
export function asServiceFailure(error: unknown): unknown {
  if (error instanceof GroupError) return ofGroup(error);
  if (error instanceof KvError) return ofKv(error);
  return error;
}

/** Whether a failed proposal certainly changed nothing, so that its blocks may be let go. */
export function isKnownNotDone(error: unknown): boolean {
  return error instanceof GroupError && error.code !== "group.unknown-outcome";
}

function ofGroup(error: GroupError): ServiceError {
  switch (error.code) {
    case "group.unknown-outcome":
      return new ServiceError("service.unavailable", "whether the change was made is not known; ask again", { cause: error });
    case "group.not-here":
    case "group.stopping":
      return new ServiceError("service.unavailable", "this node does not answer for the object now", { cause: error });
    case "group.no-space":
      return new ServiceError("service.no-space", error.message, { cause: error });
    case "group.overloaded":
      return new ServiceError("service.slow-down", error.message, { cause: error });
  }
}

function ofKv(error: KvError): ServiceError {
  switch (error.code) {
    case "kv.damaged":
      return new ServiceError("object.damaged", "a metadata row is damaged", { cause: error });
    case "kv.full":
      return new ServiceError("service.no-space", "the metadata store is full", { cause: error });
    case "kv.io":
    case "kv.closed":
      return new ServiceError("service.unavailable", "the metadata store does not answer", { cause: error });
  }
}
