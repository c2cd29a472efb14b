// DeleteBucket where only unfinished uploads are left: they go with it, as at AWS.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { type NodeServer, startNodeServer } from "../support/node-server.ts";
import { ask } from "../support/request.ts";

const PARTS_OF_BLOCKS = 100_000;

describe("a bucket with unfinished uploads", () => {
  let server: NodeServer;
  before(async () => {
    server = await startNodeServer();
  });
  after(async () => {
    await server.stop();
    assert.deepEqual(server.errors, []);
  });

  async function begin(bucket: string, key: string): Promise<string> {
    const { text } = await ask(server, { method: "POST", target: `/${bucket}/${key}?uploads` });
    return /<UploadId>([^<]+)</.exec(text)?.[1] ?? "";
  }

  it("is deleted, and with its name free again a new one knows nothing of them", async () => {
    await ask(server, { method: "PUT", target: "/house" });
    const uploads: string[] = [];
    for (let n = 0; n < 20; n++) {
      const upload = await begin("house", `k${n}`);
      uploads.push(upload);
      const body = Buffer.alloc(n % 2 === 0 ? 5 : PARTS_OF_BLOCKS, n);
      assert.equal(
        (await ask(server, { method: "PUT", target: `/house/k${n}?partNumber=1&uploadId=${upload}`, body })).status,
        200,
      );
    }
    assert.equal((await ask(server, { method: "DELETE", target: "/house" })).status, 204);
    assert.equal((await ask(server, { method: "DELETE", target: "/house" })).code, "NoSuchBucket");
    await ask(server, { method: "PUT", target: "/house" });
    assert.doesNotMatch((await ask(server, { target: "/house?uploads" })).text, /<Upload>/);
    assert.equal((await ask(server, { target: `/house/k0?uploadId=${uploads[0]}` })).code, "NoSuchUpload");
  });

  it("is not deleted while there is an object, and keeps them", async () => {
    await ask(server, { method: "PUT", target: "/kept" });
    const upload = await begin("kept", "k");
    await ask(server, { method: "PUT", target: "/kept/object", body: "1" });
    const refused = await ask(server, { method: "DELETE", target: "/kept" });
    assert.deepEqual([refused.status, refused.code], [409, "BucketNotEmpty"]);
    assert.match((await ask(server, { target: "/kept?uploads" })).text, new RegExp(`<UploadId>${upload}<`));
  });
});
