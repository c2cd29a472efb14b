// What a refused CompleteMultipartUpload says of the part that is to blame, element by element as AWS says it.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { ask, type Reply } from "../support/request.ts";
import type { S3TestServer } from "../support/server.ts";
import { startServer } from "../support/start.ts";

describe("a completion that is refused for one of its parts", () => {
  let server: S3TestServer;
  let upload = "";
  const etags: string[] = [];

  before(async () => {
    server = await startServer();
    await ask(server, { method: "PUT", target: "/house" });
    const { text } = await ask(server, { method: "POST", target: "/house/k?uploads" });
    upload = /<UploadId>([^<]+)</.exec(text)?.[1] ?? "";
    for (const [number, body] of ["one", "second"].entries()) {
      const target = `/house/k?partNumber=${number + 1}&uploadId=${upload}`;
      etags.push((await ask(server, { method: "PUT", target, body })).headers["etag"]?.replaceAll('"', "") ?? "");
    }
  });
  after(async () => {
    await server.stop();
    assert.deepEqual(server.errors, []);
  });

  function complete(parts: readonly (readonly [number: number, etag: string])[]): Promise<Reply> {
    const list = parts.map(([number, etag]) => `<Part><PartNumber>${number}</PartNumber><ETag>${etag}</ETag></Part>`);
    const body = `<CompleteMultipartUpload>${list.join("")}</CompleteMultipartUpload>`;
    return ask(server, { method: "POST", target: `/house/k?uploadId=${upload}`, body });
  }

  /** Elements between the message and the resource, in order. */
  function elements({ text }: Reply): string[] {
    const [, between] = /<\/Message>(.*?)<(?:Resource|RequestId)>/.exec(text) ?? [];
    assert.ok(between !== undefined, text);
    return [...between.matchAll(/<(\w+)>([^<]*)</g)].map(([, name, value]) => `${name} ${value}`);
  }

  it("InvalidPart names upload, part and the ETag that was given for it", async () => {
    const absent = await complete([[7, `&quot;${etags[1]}&quot;`]]);
    assert.deepEqual([absent.status, absent.code], [400, "InvalidPart"]);
    assert.deepEqual(elements(absent), [`UploadId ${upload}`, "PartNumber 7", `ETag ${etags[1]}`]);
    const other = await complete([[1, "gibberish"]]);
    assert.deepEqual(elements(other), [`UploadId ${upload}`, "PartNumber 1", "ETag gibberish"]);
    const long = await complete([[1, "x".repeat(50_000)]]);
    assert.equal(long.code, "InvalidPart");
    assert.ok(long.body.byteLength < 2_000);
  });

  it("EntityTooSmall names the size it has and should have, part and ETag", async () => {
    const small = await complete([
      [1, `"${etags[0]}"`],
      [2, etags[1] as string],
    ]);
    assert.deepEqual([small.status, small.code], [400, "EntityTooSmall"]);
    assert.match(small.text, /<Message>Your proposed upload is smaller than the minimum allowed size<\/Message>/);
    assert.deepEqual(elements(small), ["ProposedSize 3", "MinSizeAllowed 5242880", "PartNumber 1", `ETag ${etags[0]}`]);
  });
});
