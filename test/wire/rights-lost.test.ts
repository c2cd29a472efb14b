// What happens to a request whose key loses its rights while the body is on its way: nothing is written, and the answer is 403.
import assert from "node:assert/strict";
import { request as httpRequest } from "node:http";
import { after, before, describe, it } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { type NodeServer, startNodeServer } from "../support/node-server.ts";
import { ask } from "../support/request.ts";
import { policyFieldConditions, type SigningIdentity, signPolicy, signRequest, UNSIGNED } from "../support/sign.ts";

const HALF = 200_000;
/** The head has been judged when the server asks for the body. */
const EXPECT = ["Expect", "100-continue"];

interface Slow {
  readonly method: string;
  readonly target: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

describe("a key that loses its rights while its request is under way", () => {
  let server: NodeServer;
  let keys = 0;
  before(async () => {
    server = await startNodeServer();
    await ask(server, { method: "PUT", target: "/house" });
  });
  after(async () => {
    await server.stop();
    assert.deepEqual(server.errors, []);
  });

  async function newKey(): Promise<SigningIdentity> {
    const key = { ...server.other, keyId: `GK${(++keys).toString(16).padStart(24, "0")}` };
    const command = { op: "create-key", id: key.keyId, secret: key.secret, name: "short-lived", mayCreateBucket: false } as const;
    assert.ok((await server.control.command(command)).ok);
    await server.grant(key, "house", "rw");
    return key;
  }

  /** Sends a request up to the half of its body, does `between`, and sends the rest. @returns status and code of the answer. */
  function send(
    as: SigningIdentity | null,
    { method, target, headers = {}, body }: Slow,
    between: () => Promise<unknown>,
  ): Promise<string> {
    const raw = [
      "Host",
      `${server.host}:${server.port}`,
      "Content-Length",
      String(body.byteLength),
      ...Object.entries(headers).flat(),
    ];
    const signed =
      as === null ? raw : signRequest(as, { method, target, headers: raw, payload: UNSIGNED, timeMs: Date.now() }).headers;
    return new Promise((resolve, reject) => {
      const sent = httpRequest({
        host: server.host,
        port: server.port,
        method,
        path: target,
        headers: [...signed, ...EXPECT],
        agent: false,
      });
      sent.on("error", reject);
      sent.on("continue", () => {
        const middle = body.byteLength >> 1;
        sent.write(body.subarray(0, middle));
        between().then(() => sent.end(body.subarray(middle)), reject);
      });
      sent.on("response", (response) => {
        let text = "";
        response.setEncoding("utf8");
        response.on("data", (piece: string) => (text += piece));
        response.on("end", () => resolve(`${response.statusCode} ${/<Code>(\w+)</.exec(text)?.[1] ?? ""}`.trim()));
        response.on("error", reject);
      });
      sent.flushHeaders();
    });
  }

  const LOSSES: Readonly<Record<string, (key: SigningIdentity) => Promise<unknown>>> = {
    deleted: (key) => server.control.command({ op: "delete-key", id: key.keyId }),
    expired: (key) => server.control.command({ op: "update-key", id: key.keyId, expiresMs: Date.now() - 1 }),
    "left without the right": (key) => server.grant(key, "house", "r"),
  };

  for (const [how, lose] of Object.entries(LOSSES)) {
    for (const [what, size] of [
      ["a small object", 20],
      ["an object of blocks", 2 * HALF],
    ] as const)
      it(`PUT of ${what} by a key that is ${how}`, async () => {
        const key = await newKey();
        const request = { method: "PUT", target: "/house/put", body: Buffer.alloc(size, "x") };
        assert.equal(await send(key, request, () => lose(key)), "403 AccessDenied");
        assert.equal((await ask(server, { target: "/house/put" })).status, 404);
      });

    it(`UploadPart and CompleteMultipartUpload by a key that is ${how}`, async () => {
      const { text } = await ask(server, { method: "POST", target: "/house/parts?uploads" });
      const upload = /<UploadId>([^<]+)</.exec(text)?.[1] ?? "";
      const first = await newKey();
      const part = { method: "PUT", target: `/house/parts?partNumber=2&uploadId=${upload}`, body: Buffer.alloc(HALF, "x") };
      assert.equal(await send(first, part, () => lose(first)), "403 AccessDenied");
      const { headers } = await ask(server, { method: "PUT", target: `/house/parts?partNumber=1&uploadId=${upload}`, body: "1" });
      const document = `<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>${headers["etag"]}</ETag></Part></CompleteMultipartUpload>`;
      const second = await newKey();
      const complete = { method: "POST", target: `/house/parts?uploadId=${upload}`, body: Buffer.from(document) };
      assert.equal(await send(second, complete, () => lose(second)), "403 AccessDenied");
      assert.equal((await ask(server, { target: "/house/parts" })).status, 404);
      const listed = await ask(server, { target: `/house/parts?uploadId=${upload}` });
      assert.deepEqual(
        [...listed.text.matchAll(/<PartNumber>(\d+)</g)].map(([, number]) => number),
        ["1"],
      );
    });

    it(`DeleteObjects by a key that is ${how}`, async () => {
      await ask(server, { method: "PUT", target: "/house/stays", body: "1" });
      const key = await newKey();
      const body = Buffer.from("<Delete><Object><Key>stays</Key></Object></Delete>");
      assert.equal(await send(key, { method: "POST", target: "/house?delete", body }, () => lose(key)), "403 AccessDenied");
      assert.equal((await ask(server, { target: "/house/stays" })).status, 200);
    });

    it(`a form of a key that is ${how}`, async () => {
      const key = await newKey();
      const before = await freeKilobytes();
      const timeMs = Date.now();
      const conditions = [{ bucket: "house" }, { key: "form" }, ...policyFieldConditions(key, timeMs)];
      const document = { expiration: new Date(timeMs + 600_000).toISOString(), conditions };
      let form = "";
      for (const [name, value] of Object.entries({ key: "form", ...signPolicy(key, { document, timeMs }) }))
        form += `--edge\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`;
      form += '--edge\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n';
      const body = Buffer.concat([Buffer.from(form), Buffer.alloc(2 * HALF, "x"), Buffer.from("\r\n--edge--\r\n")]);
      const headers = { "Content-Type": "multipart/form-data; boundary=edge" };
      // Its fields must have been judged before the key loses its rights: they are, when the file's memory is asked for.
      const between = async (): Promise<void> => {
        const deadline = performance.now() + 60_000;
        while ((await freeKilobytes()) >= before) {
          assert.ok(performance.now() < deadline, "the file is read");
          await pause(5);
        }
        await lose(key);
      };
      assert.equal(await send(null, { method: "POST", target: "/house", headers, body }, between), "403 AccessDenied");
      assert.equal((await ask(server, { target: "/house/form" })).status, 404);
    });
  }

  it("a key that keeps them", async () => {
    const key = await newKey();
    const request = { method: "PUT", target: "/house/kept", body: Buffer.alloc(2 * HALF, "x") };
    assert.equal(await send(key, request, () => server.grant(key, "house", "w")), "200");
  });

  /** Of the memory for blocks on their way to disk. */
  async function freeKilobytes(): Promise<number> {
    const { body } = await server.metrics.render();
    return Number(/^block_ram_buffer_free_kb (\S+)$/m.exec(body)?.[1]);
  }
});
