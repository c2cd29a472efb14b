import type { Entry, StateMachine } from "../../group/groups.ts";
import type { KvWrite } from "../../platform/kv.ts";
import { unreachable } from "../../util/assert.ts";
import type { GroupId } from "../../util/ids.ts";
import type {
  AddRefsResult,
  CompleteResult,
  DeleteResult,
  DropUploadResult,
  PartitionCommand,
  PutPartResult,
  PutResult,
  SealResult,
  UploadResult,
  ResolveClaimResult,
} from "../commands.ts";
import { applyRenewLease, applyEndLease, applyResolveClaim, type LeaseResult } from "./claims.ts";
import { applyCompleteUpload } from "./completion.ts";
import { applyDelete, applyPut } from "./object-commands.ts";
import { applyOutboxDone } from "./outbox-commands.ts";
import { PartitionContext } from "./partition-context.ts";
import { applyRecountUsage, applyRepairRows } from "./repair-commands.ts";
import { applyAddRefs, applyDropRefs, applyForgetHash, applyConfirmRefs } from "./reference-commands.ts";
import { applyAbortUpload, applyCreateUpload, applyDropUpload, applyPutPart } from "./upload-commands.ts";

export type PartitionResult =
  | PutResult
  | DeleteResult
  | LeaseResult
  | UploadResult
  | DropUploadResult
  | PutPartResult
  | CompleteResult
  | ResolveClaimResult
  | AddRefsResult
  | SealResult
  | { readonly ok: boolean };

/**
 * The state machine of one partition: objects of the shards that lie here, and references of the blocks whose hashes fall here.
 */
export class PartitionMachine implements StateMachine<PartitionCommand, PartitionResult> {
  readonly #context: PartitionContext;

  /** @param commandWindowMs  commandWindow, the same on every node. */
  constructor(group: GroupId, { commandWindowMs }: { readonly commandWindowMs: number }) {
    this.#context = new PartitionContext(group, commandWindowMs);
  }

  apply(rows: KvWrite, command: PartitionCommand, entry: Entry): PartitionResult {
    const context = this.#context;
    switch (command.op) {
      case "put":
        return applyPut(context, rows, command, entry);
      case "delete":
        return applyDelete(context, rows, command, entry);
      case "renew-lease":
        return applyRenewLease(context, rows, command, entry);
      case "end-lease":
        return applyEndLease(rows, command.claim, entry);
      case "create-upload":
        return applyCreateUpload(context, rows, command, entry);
      case "put-part":
        return applyPutPart(context, rows, command, entry);
      case "complete-upload":
        return applyCompleteUpload(context, rows, command, entry);
      case "abort-upload":
        return applyAbortUpload(context, rows, command, entry);
      case "drop-upload":
        return applyDropUpload(context, rows, command, entry);
      case "resolve-claim":
        return applyResolveClaim(context, rows, command, entry);
      case "add-refs":
        return applyAddRefs(rows, command.refs, entry);
      case "confirm-refs":
        return applyConfirmRefs(rows, command.refs, entry);
      case "drop-refs":
        return applyDropRefs(rows, command.refs, entry);
      case "forget-hash":
        return applyForgetHash(rows, command.hash, entry);
      case "set-guard":
        if (context.guards.set(rows, command.bucket, command.settings, entry).isNew) context.usage.begin(rows, command.bucket);
        return { ok: true };
      case "seal":
        return context.guards.seal(rows, command);
      case "unseal":
        return context.guards.unseal(rows, command);
      case "set-tombstone": {
        const removed = context.guards.setTombstone(rows, command, entry);
        if (removed.ok) context.usage.drop(command.bucket);
        return removed;
      }
      case "repair-rows":
        return applyRepairRows(context, rows, command, entry);
      case "recount-usage":
        return applyRecountUsage(context, rows, command.bucket, entry);
      case "outbox-done":
        return applyOutboxDone(rows, command.sequences, entry);
      default:
        return unreachable(command);
    }
  }

  flush(rows: KvWrite): void {
    this.#context.usage.flush(rows);
    this.#context.guards.forget();
  }
}
