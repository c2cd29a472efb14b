// Several multipart uploads of one key: the one that is completed last wins, whenever it was created, as a PUT that comes last
// does. (AWS ranks them by their creation, and answers 200 to completions that nobody will ever see.)
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { ask, type Reply } from "../support/request.ts";
import type { S3TestServer } from "../support/server.ts";
import { startServer } from "../support/start.ts";

describe("rival multipart uploads", () => {
  let server: S3TestServer;
  before(async () => {
    server = await startServer();
    await ask(server, { method: "PUT", target: "/house" });
  });
  after(async () => {
    await server.stop();
    assert.deepEqual(server.errors, []);
  });

  interface Upload {
    readonly key: string;
    readonly id: string;
    readonly etag: string;
  }

  /** An upload with its only part, which tells its name. */
  async function begin(key: string, content: string): Promise<Upload> {
    const created = await ask(server, { method: "POST", target: `/house/${key}?uploads` });
    const id = /<UploadId>([^<]+)</.exec(created.text)?.[1] ?? "";
    const part = await ask(server, { method: "PUT", target: `/house/${key}?partNumber=1&uploadId=${id}`, body: content });
    return { key, id, etag: part.headers["etag"] ?? "" };
  }

  function complete({ key, id, etag }: Upload, headers: Readonly<Record<string, string>> = {}): Promise<Reply> {
    const body = `<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>${etag}</ETag></Part></CompleteMultipartUpload>`;
    return ask(server, { method: "POST", target: `/house/${key}?uploadId=${id}`, headers, body });
  }

  const content = async (key: string): Promise<string> => (await ask(server, { target: `/house/${key}` })).text;

  it("the one completed last wins, in whatever order they were created", async () => {
    for (const order of [
      ["first", "second", "third"],
      ["third", "second", "first"],
      ["second", "third", "first"],
    ]) {
      const key = order.join("-");
      const uploads = new Map<string, Upload>();
      for (const name of ["first", "second", "third"]) uploads.set(name, await begin(key, name));
      for (const name of order) {
        const reply = await complete(uploads.get(name) as Upload);
        assert.equal(reply.status, 200, reply.text);
        assert.equal(await content(key), name, "who is told 200 is read");
      }
      const listed = await ask(server, { target: `/house?list-type=2&prefix=${key}` });
      assert.equal(listed.text.match(/<Key>/g)?.length, 1);
    }
  });

  it("an upload that was created before a PUT and is completed after it replaces it, and the other way round", async () => {
    const older = await begin("mixed", "by the upload");
    await ask(server, { method: "PUT", target: "/house/mixed", body: "by the PUT" });
    assert.equal((await complete(older)).status, 200);
    assert.equal(await content("mixed"), "by the upload");
    await ask(server, { method: "PUT", target: "/house/mixed", body: "by a later PUT" });
    assert.equal(await content("mixed"), "by a later PUT");
  });

  it("who must not replace another's object says so: of several that create, one does", async () => {
    const rivals = await Promise.all(Array.from({ length: 8 }, (_, n) => begin("once", `rival ${n}`)));
    const replies = await Promise.all(rivals.map((rival) => complete(rival, { "If-None-Match": "*" })));
    const winners = replies.flatMap(({ status }, n) => (status === 200 ? [n] : []));
    assert.equal(winners.length, 1);
    for (const [n, { status, code }] of replies.entries())
      if (n !== winners[0]) assert.deepEqual([status, code], [412, "PreconditionFailed"]);
    assert.equal(await content("once"), `rival ${winners[0]}`);
  });
});
