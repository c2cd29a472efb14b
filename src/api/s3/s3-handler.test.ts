import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { type SimulatedNodeServer, startSimulatedNodeServer } from "../../../test/support/simulated-node-server.ts";
import { ask } from "../../../test/support/request.ts";
import { ServiceError } from "../../model/object-service.ts";
import { SELDOM } from "../common/seldom-log.ts";
import { renderS3ClientError } from "./s3-handler.ts";
import { createMetrics } from "../../platform/node/metrics.ts";

it("answers of the connection itself: each status has its code, and what it says is the reason", () => {
  for (const [status, code] of [
    [400, "BadRequest"],
    [408, "RequestTimeout"],
    [413, "BadRequest"],
    [417, "BadRequest"],
    [431, "RequestHeaderSectionTooLarge"],
    [500, "InternalError"],
    [501, "NotImplemented"],
    [503, "SlowDown"],
  ] as const) {
    const { body, headers } = renderS3ClientError(status, "because <so>", "0123456789ABCDEF");
    assert.match(
      body,
      new RegExp(`<Code>${code}</Code><Message>because &lt;so&gt;</Message><RequestId>0123456789ABCDEF</RequestId>`),
    );
    assert.deepEqual(headers, ["x-amz-request-id", "0123456789ABCDEF"]);
  }
});

describe("the store's own trouble", () => {
  const metrics = createMetrics();
  let server: SimulatedNodeServer;
  before(async () => {
    server = await startSimulatedNodeServer({ metrics });
    await ask(server, { method: "PUT", target: "/b-1" });
    await ask(server, { method: "PUT", target: "/b-1/k", body: "x" });
  });
  after(() => server.stop());

  it("has one answer per kind; its cause is never shown, and what is no passing trouble is logged as an error", async () => {
    const cause = new Error("secret detail");
    const cases: readonly (readonly [Error, string, string, boolean])[] = [
      [new ServiceError("service.unavailable", "secret detail"), "503 ServiceUnavailable", "503 ServiceUnavailable", false],
      [
        new ServiceError("service.unknown-outcome", "secret detail"),
        "503 ServiceUnavailable",
        "409 ConditionalRequestConflict",
        false,
      ],
      [new ServiceError("service.slow-down", "secret detail"), "503 SlowDown", "503 SlowDown", false],
      [new ServiceError("object.damaged", "secret detail"), "500 InternalError", "500 InternalError", true],
      [new ServiceError("object.replaced", "secret detail"), "503 ServiceUnavailable", "503 ServiceUnavailable", false],
      [
        new Error("wrapper", { cause: new ServiceError("service.slow-down", "secret detail") }),
        "503 SlowDown",
        "503 SlowDown",
        false,
      ],
      [cause, "500 InternalError", "500 InternalError", true],
    ];
    for (const [failure, plain, conditional, logged] of cases) {
      (server.errors as string[]).length = 0;
      server.failure = failure;
      const put = await ask(server, { method: "PUT", target: "/b-1/k", body: "x" });
      assert.equal(`${put.status} ${put.code}`, plain, failure.message);
      assert.doesNotMatch(put.text, /secret/);
      const once = await ask(server, { method: "PUT", target: "/b-1/k", body: "x", headers: { "If-None-Match": "*" } });
      assert.equal(`${once.status} ${once.code}`, conditional);
      const get = await ask(server, { target: "/b-1/k", headers: { "If-None-Match": '"x"' } });
      assert.equal(`${get.status} ${get.code}`, plain, "a read has no unknown outcome");
      assert.equal(server.errors.length, logged ? 3 : 0, failure.message);
    }
    server.failure = new ServiceError("service.no-space", "the disk of /data is full");
    const full = await ask(server, { method: "PUT", target: "/b-1/k", body: "x" });
    assert.deepEqual([full.status, full.code], [503, "ServiceUnavailable"]);
    assert.match(full.text, /the disk of \/data is full/);
    server.failure = undefined;
  });

  it("does not flood the log", async () => {
    (server.errors as string[]).length = 0;
    server.failure = new Error("again and again");
    for (let n = 0; n < SELDOM.lines + 20; n++)
      await ask(server, { target: "/b-1/k?attributes", headers: { "x-amz-object-attributes": "ETag" } });
    server.failure = undefined;
    assert.equal(server.errors.length, SELDOM.lines);
  });

  it("is told per key by DeleteObjects", async () => {
    server.failure = new ServiceError("service.unavailable", "secret");
    const reply = await ask(server, {
      method: "POST",
      target: "/b-1?delete",
      body: "<Delete><Object><Key>k</Key></Object></Delete>",
    });
    server.failure = undefined;
    assert.equal(reply.status, 200);
    assert.match(reply.text, /<Error><Key>k<\/Key><Code>ServiceUnavailable<\/Code>/);
    assert.doesNotMatch(reply.text, /secret/);
  });

  it("is counted, as is everything else", async () => {
    await ask(server, { target: "/b-1/k" });
    await ask(server, { target: "/b-1/none" });
    await ask(server, { method: "PATCH", target: "/b-1" });
    const { body } = await metrics.render();
    assert.match(body, /^api_s3_request_counter\{api_endpoint="GetObject"\} \d+$/m);
    assert.match(body, /^api_s3_error_counter\{api_endpoint="GetObject",status_code="404"\} 1$/m);
    assert.match(body, /^api_s3_error_counter\{api_endpoint="PutObject",status_code="503"\} \d+$/m);
    assert.match(body, /^api_s3_error_counter\{api_endpoint="Unknown",status_code="405"\} 1$/m);
    assert.match(body, /^api_s3_request_duration_count\{api_endpoint="CreateBucket"\} 1$/m);
  });
});
