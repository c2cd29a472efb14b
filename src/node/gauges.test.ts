import assert from "node:assert/strict";
import { test } from "node:test";
import { ADMIN_TOKEN, AdminNode } from "../api/admin/testing/admin-node.ts";

/** Values of the gauges without labels. */
async function gauges(node: AdminNode): Promise<Map<string, number>> {
  const { text } = await node.call("/metrics", { token: ADMIN_TOKEN });
  return new Map([...text.matchAll(/^([a-z_]+) (\S+)$/gm)].map(([, name, value]) => [name as string, Number(value)]));
}

/** A commit of its metadata fails; a daemon would end there. */
async function failMetadata({ kv }: AdminNode): Promise<void> {
  kv.disk.failNextCommit = true;
  await assert.rejects(
    kv.transact((tx) => tx.put("rows", Buffer.from("x"), Buffer.from("x"))),
    { code: "kv.io" },
  );
}

test("the cluster's gauges agree with GetClusterHealth: before and after the first layout, and once the metadata store has failed", async () => {
  for (const [singleNode, failed] of [
    [false, false],
    [true, false],
    [true, true],
  ]) {
    const node = await AdminNode.start({ singleNode: singleNode === true });
    try {
      if (failed) await failMetadata(node);
      const well = singleNode && !failed ? 1 : 0;
      const health = (await node.get("GetClusterHealth")).json;
      assert.equal(health.status, well === 1 ? "healthy" : "unavailable");
      assert.equal((await node.call("/health", { token: null })).status, well === 1 ? 200 : 503);
      assert.equal((await node.get("GetClusterStatus")).json.nodes[0].isUp, !failed);
      const shown = await gauges(node);
      assert.deepEqual(Object.fromEntries([...shown].filter(([name]) => name.startsWith("cluster_"))), {
        cluster_healthy: well,
        cluster_available: well,
        cluster_known_nodes: health.knownNodes,
        cluster_connected_nodes: health.connectedNodes,
        cluster_storage_nodes: health.storageNodes,
        cluster_storage_nodes_ok: health.storageNodesUp,
        cluster_partitions: health.partitions,
        cluster_partitions_quorum: health.partitionsQuorum,
        cluster_partitions_all_ok: health.partitionsAllOk,
      });
      assert.equal(shown.get("block_resync_errored_blocks"), 0);
    } finally {
      await node.stop();
    }
  }
});
