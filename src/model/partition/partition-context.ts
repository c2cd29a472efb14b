import type { GroupId } from "../../util/ids.ts";
import { Guards } from "./guards.ts";
import { UsageGather } from "./usage.ts";

/** What the commands of one partition share within a batch. */
export class PartitionContext {
  readonly guards: Guards;
  readonly usage: UsageGather;
  /** commandWindow: no command that was under way before a moment can be applied later than this after it. */
  readonly commandWindowMs: number;

  constructor(group: GroupId, commandWindowMs: number) {
    this.guards = new Guards(group);
    this.usage = new UsageGather(group);
    this.commandWindowMs = commandWindowMs;
  }
}
