import type { Groups } from "../../group/groups.ts";
import type { BucketId, GroupId } from "../../util/ids.ts";
import { bucketKey, ROW } from "../partition/row-keys.ts";

/**
 * Whether any partition still holds counters of a bucket. They go when the bucket's end is decided (its guards are tombstones),
 * so with them a bucket that the control group does not know is none that was deleted: its control row has gone, or its end is
 * still under way.
 */
export function hasRemains(groups: Groups, bucket: BucketId): Promise<boolean> {
  const all = Array.from({ length: groups.partitions }, (_, group) => group as GroupId);
  return groups.readAll(all, (rows) => all.some((group) => rows.view("rows", bucketKey(group, ROW.usage, bucket)) !== undefined));
}
