import { BlockError } from "../../block/block-store.ts";
import { GroupError } from "../../group/groups.ts";
import { CpuError } from "../../platform/cpu.ts";
import { DiskError } from "../../platform/disk.ts";
import { ServiceError } from "../object-service.ts";

/** The lower layers' failures as the services' closed union; anything else is passed on as it is. */
export function serviceError(error: unknown): unknown {
  if (error instanceof ServiceError) return error;
  const options = { cause: error };
  if (error instanceof BlockError) {
    if (error.code === "block.no-space") return new ServiceError("service.no-space", error.message, options);
    if (error.code === "block.damaged") return new ServiceError("object.damaged", error.message, options);
    return new ServiceError("service.unavailable", error.message, options);
  }
  if (error instanceof GroupError) {
    if (error.code === "group.no-space") return new ServiceError("service.no-space", error.message, options);
    if (error.code === "group.overloaded") return new ServiceError("service.slow-down", error.message, options);
    return new ServiceError("service.unavailable", error.message, options);
  }
  if (error instanceof CpuError || error instanceof DiskError)
    return new ServiceError("service.unavailable", error.message, options);
  return error;
}
