// P3: of several rivals at most one wins. Each round lets 64 of them loose on one key.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { ask, type Ask, type Reply } from "../support/request.ts";
import type { S3TestServer } from "../support/server.ts";
import { startServer } from "../support/start.ts";

const RIVALS = 64;
const ROUNDS = 4;

describe("conditional writes", () => {
  let server: S3TestServer;
  before(async () => {
    server = await startServer();
    assert.equal((await ask(server, { method: "PUT", target: "/rivals" })).status, 200);
  });
  after(async () => {
    await server.stop();
    assert.deepEqual(server.errors, []);
  });

  const race = (make: (rival: number) => Ask): Promise<Reply[]> =>
    Promise.all(Array.from({ length: RIVALS }, (_, rival) => ask(server, make(rival))));

  /** Exactly one success; everybody else was told why. */
  function oneWinner(replies: readonly Reply[], losers: readonly string[]): number {
    const winners = replies.flatMap((reply, at) => (reply.status < 300 ? [at] : []));
    assert.equal(winners.length, 1, `winners: ${winners.join(", ")}`);
    for (const [at, reply] of replies.entries())
      if (at !== winners[0]) assert.ok(losers.includes(reply.code), `${reply.status} ${reply.text}`);
    return winners[0] as number;
  }

  it("PUT If-None-Match: * creates once", async () => {
    for (let round = 0; round < ROUNDS; round++) {
      const target = `/rivals/create-${round}`;
      const replies = await race((rival) => ({
        method: "PUT",
        target,
        headers: { "If-None-Match": "*" },
        body: `rival ${rival}`,
      }));
      const winner = oneWinner(replies, ["PreconditionFailed", "ConditionalRequestConflict"]);
      assert.equal((await ask(server, { target })).text, `rival ${winner}`);
    }
  });

  it("the same with bodies that go to blocks", async () => {
    const body = (rival: number): Buffer => Buffer.alloc(1_200_000, `rival ${rival} `);
    const replies = await race((rival) => ({
      method: "PUT",
      target: "/rivals/large",
      headers: { "If-None-Match": "*" },
      body: body(rival),
    }));
    const winner = oneWinner(replies, ["PreconditionFailed", "ConditionalRequestConflict"]);
    assert.ok((await ask(server, { target: "/rivals/large" })).body.equals(body(winner)));
  });

  it("PUT If-Match replaces a state once", async () => {
    const target = "/rivals/replace";
    let etag = (await ask(server, { method: "PUT", target, body: "start" })).headers["etag"] as string;
    for (let round = 0; round < ROUNDS; round++) {
      const replies = await race((rival) => ({
        method: "PUT",
        target,
        headers: { "If-Match": etag },
        body: `round ${round} rival ${rival}`,
      }));
      const winner = oneWinner(replies, ["PreconditionFailed", "ConditionalRequestConflict"]);
      assert.equal((await ask(server, { target })).text, `round ${round} rival ${winner}`);
      etag = replies[winner]?.headers["etag"] as string;
    }
  });

  it("DELETE If-Match deletes a state once", async () => {
    for (let round = 0; round < ROUNDS; round++) {
      const target = `/rivals/delete-${round}`;
      const etag = (await ask(server, { method: "PUT", target, body: `${round}` })).headers["etag"] as string;
      const replies = await race(() => ({ method: "DELETE", target, headers: { "If-Match": etag } }));
      oneWinner(replies, ["PreconditionFailed", "NoSuchKey", "ConditionalRequestConflict"]);
      assert.equal((await ask(server, { target })).status, 404);
    }
  });

  it("PUT If-Match and DELETE If-Match against each other: one of all", async () => {
    const target = "/rivals/mixed";
    const etag = (await ask(server, { method: "PUT", target, body: "start" })).headers["etag"] as string;
    const replies = await race((rival) =>
      rival % 2 === 0
        ? { method: "PUT", target, headers: { "If-Match": etag }, body: `rival ${rival}` }
        : { method: "DELETE", target, headers: { "If-Match": etag } },
    );
    const winner = oneWinner(replies, ["PreconditionFailed", "NoSuchKey", "ConditionalRequestConflict"]);
    assert.equal((await ask(server, { target })).status, winner % 2 === 0 ? 200 : 404);
  });

  it("CompleteMultipartUpload If-None-Match: * creates once", async () => {
    const target = "/rivals/multipart";
    const uploads = await Promise.all(
      Array.from({ length: RIVALS }, async (_, rival) => {
        const created = await ask(server, { method: "POST", target: `${target}?uploads` });
        const id = /<UploadId>(\w+)</.exec(created.text)?.[1] ?? "";
        const part = await ask(server, {
          method: "PUT",
          target: `${target}?partNumber=1&uploadId=${id}`,
          body: `rival ${rival}`,
        });
        return { id, etag: part.headers["etag"] ?? "" };
      }),
    );
    const document = (etag: string): string =>
      `<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>${etag}</ETag></Part></CompleteMultipartUpload>`;
    const replies = await race((rival) => ({
      method: "POST",
      target: `${target}?uploadId=${uploads[rival]?.id}`,
      headers: { "If-None-Match": "*" },
      body: document(uploads[rival]?.etag ?? ""),
    }));
    const winner = oneWinner(replies, ["PreconditionFailed", "ConditionalRequestConflict"]);
    assert.equal((await ask(server, { target })).text, `rival ${winner}`);
    // A condition that failed leaves the upload as it was: it can be completed without one.
    const loser = winner === 0 ? 1 : 0;
    const again = await ask(server, {
      method: "POST",
      target: `${target}?uploadId=${uploads[loser]?.id}`,
      body: document(uploads[loser]?.etag ?? ""),
    });
    assert.equal(again.status, 200, again.text);
    assert.equal((await ask(server, { target })).text, `rival ${loser}`);
  });

  it("CopyObject If-None-Match: * creates once", async () => {
    await ask(server, { method: "PUT", target: "/rivals/copy-source", body: "source" });
    const replies = await race(() => ({
      method: "PUT",
      target: "/rivals/copied",
      headers: { "If-None-Match": "*", "x-amz-copy-source": "/rivals/copy-source" },
    }));
    oneWinner(replies, ["PreconditionFailed", "ConditionalRequestConflict"]);
  });

  it("one bucket name, 64 rivals: one creation", async () => {
    const replies = await race(() => ({ method: "PUT", target: "/one-bucket" }));
    oneWinner(replies, ["BucketAlreadyOwnedByYou", "BucketAlreadyExists", "OperationAborted"]);
  });

  it("conditions on what is absent, and in their other forms", async () => {
    const put = (headers: Record<string, string>, key = "absent"): Promise<Reply> =>
      ask(server, { method: "PUT", target: `/rivals/${key}`, headers, body: "x" });
    assert.equal((await put({ "If-Match": '"0"' })).code, "NoSuchKey");
    assert.equal((await put({ "If-Match": "*" })).code, "NoSuchKey");
    assert.equal((await put({ "If-None-Match": '"0"' })).code, "NotImplemented");
    assert.equal((await put({ "If-Modified-Since": "Fri, 02 Jan 2026 03:04:05 GMT" })).code, "NotImplemented");
    assert.equal((await put({ "If-Unmodified-Since": "Fri, 02 Jan 2026 03:04:05 GMT" })).code, "NotImplemented");
    assert.equal(
      (await ask(server, { method: "DELETE", target: "/rivals/absent", headers: { "If-Match": '"0"' } })).code,
      "NoSuchKey",
    );
    assert.equal((await ask(server, { target: "/rivals/absent" })).status, 404);

    const etag = (await put({}, "present")).headers["etag"] as string;
    assert.equal((await put({ "If-Match": "*" }, "present")).status, 200);
    assert.equal((await put({ "If-Match": etag.replaceAll('"', "") }, "present")).status, 200);
    assert.equal((await put({ "If-Match": `"1", ${etag}` }, "present")).status, 200);
    const failed = await put({ "If-Match": '"1"' }, "present");
    assert.equal(failed.status, 412);
    assert.match(failed.text, /<Condition>If-Match<\/Condition>/);
    for (const header of ["x-amz-if-match-size", "x-amz-if-match-last-modified-time"])
      assert.equal((await ask(server, { method: "DELETE", target: "/rivals/present", headers: { [header]: "1" } })).status, 501);
    assert.equal((await ask(server, { target: "/rivals/present" })).status, 200);
  });
});
