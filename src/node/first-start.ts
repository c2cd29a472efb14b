import { apply } from "../layout/apply.ts";
import { stage } from "../layout/staging.ts";
import type { Control } from "../model/control/control.ts";
import { isDamage } from "../model/partition/damage.ts";
import type { Log } from "../platform/log.ts";
import type { NodeId } from "../util/ids.ts";
import { type DefaultKey, type Space, StartError } from "./node-options.ts";

const FALLBACK_CAPACITY_BYTES = 2 ** 30;

/**
 * `server --single-node`: at layout version 0 this node gets zone dc1, tag default and the size of its data partition; at version
 * 1 everything is there. Any other version means that somebody manages the layout by hand.
 */
export async function ensureSingleNode(control: Control, id: NodeId, data: Space): Promise<void> {
  const { version } = control.layout();
  if (version > 1)
    throw new StartError(
      `--single-node: the layout has version ${version}, so it is managed by hand; start without --single-node`,
    );
  if (version === 1) return;
  await control.changeLayout((layout) => {
    if (layout.version > 0) return layout;
    const staged = stage(layout, {
      kind: "assign",
      node: id,
      zone: "dc1",
      capacity: Math.max(data.totalBytes, FALLBACK_CAPACITY_BYTES),
      tags: ["default"],
    });
    return apply(staged, 1).next;
  });
}

/**
 * `--default-access-key` and `--default-bucket`: made when absent, left alone when they are there, refused when they are there
 * otherwise. A damaged row of theirs is told and nothing is made over it: the rest of the store goes on.
 */
export async function ensureDefaults(control: Control, wanted: DefaultKey, log: Log): Promise<void> {
  try {
    await makeDefaults(control, wanted);
  } catch (error) {
    if (!isDamage(error)) throw error;
    log.error(
      { err: error, keyId: wanted.keyId, bucket: wanted.bucket },
      "the default key or bucket can't be used: its row is damaged",
    );
  }
}

async function makeDefaults(control: Control, { keyId, secret, bucket }: DefaultKey): Promise<void> {
  // A start that has nothing to make writes nothing: it works on a full disk too.
  if (isThere(control, { keyId, secret, bucket })) return;
  const { importFault } = await import("../api/admin/key-operations.ts");
  const fault = importFault(keyId, secret);
  if (fault !== undefined) throw new StartError(`the default access key can't be made: ${fault}`);
  const made = await control.command({
    op: "create-key",
    id: keyId,
    secret,
    name: "default key",
    mayCreateBucket: true,
    sameIsFine: true,
  });
  if (!made.ok) {
    throw new StartError(
      made.detail === "deleted"
        ? `the default access key ${keyId} was deleted from this store; choose another id`
        : `the default access key ${keyId} exists with another secret; give the right one`,
    );
  }
  if (bucket === undefined) return;
  if (!control.view.aliases.has(bucket)) {
    const created = await control.createBucket({ globalAlias: bucket });
    if (!created.ok && created.code !== "exists") throw new StartError(`the default bucket can't be made: ${created.message}`);
  }
  const id = control.view.aliases.get(bucket);
  if (id === undefined) throw new StartError(`the default bucket ${bucket} could not be made`);
  const granted = await control.command({ op: "change-rights", bucket: id, keyId, add: "rwo", remove: "" });
  if (!granted.ok) throw new StartError(`the default key could not be given its rights on ${bucket}: ${granted.code}`);
}

function isThere(control: Control, { keyId, secret, bucket }: DefaultKey): boolean {
  if (control.accessKey(keyId)?.secret !== secret) return false;
  if (bucket === undefined) return true;
  const id = control.view.aliases.get(bucket);
  const rights = id === undefined ? undefined : control.bucket(id)?.rights(keyId);
  return rights !== undefined && rights.read && rights.write && rights.owner;
}
