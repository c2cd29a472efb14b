import assert from "node:assert/strict";
import { test } from "node:test";
import { ADMIN_TOKEN, AdminNode } from "../api/admin/testing/admin-node.ts";

/** Values of the gauges without labels. */
async function gauges(node: AdminNode): Promise<Map<string, number>> {
  const { text } = await node.call("/metrics", { token: ADMIN_TOKEN });
  return new Map([...text.matchAll(/^([a-z_]+) (\S+)$/gm)].map(([, name, value]) => [name as string, Number(value)]));
}

test("the cluster's gauges agree with GetClusterHealth, before and after the first layout", async () => {
  for (const singleNode of [false, true]) {
    const node = await AdminNode.start({ singleNode });
    try {
      const health = (await node.get("GetClusterHealth")).json;
      const shown = await gauges(node);
      assert.deepEqual(Object.fromEntries([...shown].filter(([name]) => name.startsWith("cluster_"))), {
        cluster_healthy: singleNode ? 1 : 0,
        cluster_available: singleNode ? 1 : 0,
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
