import { deepEqual, equal, ok } from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import {
  chunkedBody,
  encode,
  encodeKey,
  presign,
  policyFieldConditions,
  sha256Hex,
  signPolicy,
  signRequest,
  STREAMING_SIGNED,
  UNSIGNED,
} from "../../../test/support/sign.ts";
import { checkPolicy } from "./post-policy.ts";
import { openUpload } from "./payload.ts";
import { parseTarget } from "./request-target.ts";
import type { AuthenticatedRequest, AuthFailure, SignatureVerifier } from "./signature-verifier.ts";
import { accessKey, drain, piecesOf, request, verifierAt } from "./testing/fake-request.ts";

// The examples of https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html, …/sigv4-query-string-auth.html,
// …/sigv4-streaming.html and …/sigv4-post-example.html, with the signatures printed there.
const AWS_KEY = accessKey("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY");
const AWS_DAY = Date.UTC(2013, 4, 24);
const EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const IDENTITY = { keyId: AWS_KEY.id, secret: AWS_KEY.secret, region: "us-east-1" };
const HOST = "examplebucket.s3.amazonaws.com";

function authorization(signedHeaders: string, signature: string): string[] {
  return [
    "Authorization",
    `AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,SignedHeaders=${signedHeaders},Signature=${signature}`,
  ];
}

function verify(verifier: SignatureVerifier, parts: Parameters<typeof request>[0]): AuthenticatedRequest | AuthFailure {
  const built = request(parts);
  return verifier.verify(built, parseTarget(built.target));
}

function accepted(outcome: AuthenticatedRequest | AuthFailure): AuthenticatedRequest {
  ok(outcome.ok, outcome.ok ? "" : `${outcome.error.code}: ${outcome.error.message}\n${outcome.canonicalRequest}`);
  return outcome;
}

function refusal(outcome: AuthenticatedRequest | AuthFailure): string {
  ok(!outcome.ok, "the request should have been refused");
  return outcome.error.code;
}

describe("AWS's published examples", () => {
  const verifier = verifierAt(AWS_DAY, [AWS_KEY]);

  test("GET object with a range", () => {
    const outcome = verify(verifier, {
      target: "/test.txt",
      headers: [
        ...["Host", HOST, "Range", "bytes=0-9", "x-amz-content-sha256", EMPTY, "x-amz-date", "20130524T000000Z"],
        ...authorization(
          "host;range;x-amz-content-sha256;x-amz-date",
          "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
        ),
      ],
    });
    deepEqual(accepted(outcome).payload, { kind: "digest", sha256: EMPTY });
    equal(accepted(outcome).key, AWS_KEY);
  });

  test("PUT object with $ in its key, dated by Date", () => {
    accepted(
      verify(verifier, {
        method: "PUT",
        target: "/test%24file.text",
        headers: [
          ...["Host", HOST, "Date", "Fri, 24 May 2013 00:00:00 GMT", "x-amz-date", "20130524T000000Z"],
          ...["x-amz-storage-class", "REDUCED_REDUNDANCY"],
          ...["x-amz-content-sha256", "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072"],
          ...authorization(
            "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
          ),
        ],
      }),
    );
  });

  test("GET bucket lifecycle and a list, with queries", () => {
    const headers = ["Host", HOST, "x-amz-date", "20130524T000000Z", "x-amz-content-sha256", EMPTY];
    accepted(
      verify(verifier, {
        target: "/?lifecycle",
        headers: [
          ...headers,
          ...authorization(
            "host;x-amz-content-sha256;x-amz-date",
            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
          ),
        ],
      }),
    );
    accepted(
      verify(verifier, {
        target: "/?max-keys=2&prefix=J",
        headers: [
          ...headers,
          ...authorization(
            "host;x-amz-content-sha256;x-amz-date",
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
          ),
        ],
      }),
    );
  });

  test("presigned URL", () => {
    const target =
      "/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request" +
      "&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host" +
      "&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404";
    const outcome = accepted(verify(verifier, { target, headers: ["Host", HOST] }));
    equal(outcome.form, "presigned");
    deepEqual(outcome.payload, { kind: "unsigned" });
    const late = verifierAt(AWS_DAY + 86_400_001, [AWS_KEY]);
    const expired = verify(late, { target, headers: ["Host", HOST] });
    equal(refusal(expired), "AccessDenied");
    equal(expired.ok ? "" : expired.error.message, "Request has expired");
  });

  test("streaming upload in signed chunks: seed, 64 KiB, 1 KiB, end", async () => {
    const seed = "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9";
    const headers = [
      ...["Host", "s3.amazonaws.com", "x-amz-date", "20130524T000000Z", "x-amz-storage-class", "REDUCED_REDUNDANCY"],
      ...["x-amz-content-sha256", STREAMING_SIGNED, "Content-Encoding", "aws-chunked", "x-amz-decoded-content-length", "66560"],
      ...["Content-Length", "66824"],
      ...authorization(
        "content-encoding;content-length;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class",
        seed,
      ),
    ];
    const data = Buffer.alloc(66_560, "a");
    const wire = Buffer.concat([
      Buffer.from("10000;chunk-signature=ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648\r\n"),
      data.subarray(0, 65_536),
      Buffer.from("\r\n400;chunk-signature=0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497\r\n"),
      data.subarray(65_536),
      Buffer.from("\r\n0;chunk-signature=b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9\r\n\r\n"),
    ]);
    equal(wire.byteLength, 66_824);
    const outcome = verify(verifier, {
      method: "PUT",
      target: "/examplebucket/chunkObject.txt",
      headers,
      body: piecesOf(wire, [7000, 1, 300]),
    });
    const { request: hoisted, payload } = accepted(outcome);
    const upload = openUpload(hoisted, payload);
    equal(upload.sizeBytes, 66_560);
    ok((await drain(upload.source)).equals(data));
    // The signer agrees with the page, too.
    const signed = chunkedBody(IDENTITY, {
      chunks: [data.subarray(0, 65_536), data.subarray(65_536)],
      seed,
      timeMs: AWS_DAY,
    });
    ok(signed.equals(wire));
  });

  test("POST policy", () => {
    const policy =
      "eyAiZXhwaXJhdGlvbiI6ICIyMDE1LTEyLTMwVDEyOjAwOjAwLjAwMFoiLA0KICAiY29uZGl0aW9ucyI6IFsNCiAgICB7ImJ1Y2tldCI6ICJzaWd2NGV4YW1wbGVidWNrZXQifSwNCiAgICBbInN0YXJ0cy13aXRoIiwgIiRrZXkiLCAidXNlci91c2VyMS8iXSwNCiAgICB7ImFjbCI6ICJwdWJsaWMtcmVhZCJ9LA0KICAgIHsic3VjY2Vzc19hY3Rpb25fcmVkaXJlY3QiOiAiaHR0cDovL3NpZ3Y0ZXhhbXBsZWJ1Y2tldC5zMy5hbWF6b25hd3MuY29tL3N1Y2Nlc3NmdWxfdXBsb2FkLmh0bWwifSwNCiAgICBbInN0YXJ0cy13aXRoIiwgIiRDb250ZW50LVR5cGUiLCAiaW1hZ2UvIl0sDQogICAgeyJ4LWFtei1tZXRhLXV1aWQiOiAiMTQzNjUxMjM2NTEyNzQifSwNCiAgICB7IngtYW16LXNlcnZlci1zaWRlLWVuY3J5cHRpb24iOiAiQUVTMjU2In0sDQogICAgWyJzdGFydHMtd2l0aCIsICIkeC1hbXotbWV0YS10YWciLCAiIl0sDQoNCiAgICB7IngtYW16LWNyZWRlbnRpYWwiOiAiQUtJQUlPU0ZPRE5ON0VYQU1QTEUvMjAxNTEyMjkvdXMtZWFzdC0xL3MzL2F3czRfcmVxdWVzdCJ9LA0KICAgIHsieC1hbXotYWxnb3JpdGhtIjogIkFXUzQtSE1BQy1TSEEyNTYifSwNCiAgICB7IngtYW16LWRhdGUiOiAiMjAxNTEyMjlUMDAwMDAwWiIgfQ0KICBdDQp9";
    const fields = new Map([
      ["key", "user/user1/a.jpg"],
      ["acl", "public-read"],
      ["success_action_redirect", "http://sigv4examplebucket.s3.amazonaws.com/successful_upload.html"],
      ["content-type", "image/jpeg"],
      ["x-amz-meta-uuid", "14365123651274"],
      ["x-amz-server-side-encryption", "AES256"],
      ["x-amz-meta-tag", ""],
      ["x-amz-credential", "AKIAIOSFODNN7EXAMPLE/20151229/us-east-1/s3/aws4_request"],
      ["x-amz-algorithm", "AWS4-HMAC-SHA256"],
      ["x-amz-date", "20151229T000000Z"],
      ["policy", policy],
      ["x-amz-signature", "8afdbf4008c03f22c2cd3cdb72e4afbb1f6a588f3255ac628749a66d7f09699e"],
    ]);
    const outcome = verifier.verifyPolicy(fields);
    ok(outcome.ok && outcome.key === AWS_KEY && outcome.form === "post-policy");
    const about = { fields, bucket: "sigv4examplebucket", nowMs: Date.UTC(2015, 11, 29, 1) };
    deepEqual(checkPolicy(policy, about), { minBytes: 0, maxBytes: 5 * 1024 ** 3 });
    const tampered = verifier.verifyPolicy(new Map([...fields, ["policy", policy.replace("eyAi", "eyBi")]]));
    ok(!tampered.ok && tampered.error.code === "SignatureDoesNotMatch");
  });
});

describe("what the signer signs, the verifier accepts", () => {
  const NOW = Date.UTC(2026, 10, 22, 12, 30);
  const key = accessKey("GK0123456789abcdef01234567", "0f".repeat(32));
  const identity = { keyId: key.id, secret: key.secret, region: "garage" };
  const verifier = verifierAt(NOW, [key]);
  const ODD = [
    "😀/ключ",
    "a+b",
    "100%",
    "sp ace",
    "../..",
    "~*!'()",
    "a//b",
    "nul\u0000nul",
    ";:@&=$,?#[]",
    "%2F",
    "",
    ".",
    "ö\u0308",
  ];

  test("odd keys in paths and queries, header and presigned, in any piece", () => {
    const text = fc.oneof(fc.constantFrom(...ODD), fc.string({ unit: "binary", maxLength: 20 }), fc.string({ maxLength: 30 }));
    fc.assert(
      fc.property(text, text, text, fc.boolean(), (objectKey, name, value, presigned) => {
        // Lone surrogates have no UTF-8; no client can send them.
        fc.pre([objectKey, name, value].every((part) => part.isWellFormed()));
        fc.pre(name !== "" && !name.toLowerCase().startsWith("x-amz") && name !== "Signature");
        const target = `/bucket/${encodeKey(objectKey)}?${encode(name)}=${encode(value)}&list-type=2`;
        const plain = { method: "GET", target, headers: ["Host", "localhost:3900"], payload: UNSIGNED, timeMs: NOW };
        const signed = presigned ? presign(identity, { ...plain, expiresSeconds: 60 }) : signRequest(identity, plain);
        const outcome = accepted(verify(verifier, signed));
        equal(outcome.key, key);
        const decoded = parseTarget(signed.target);
        equal(decoded.query.get(name), value);
      }),
      { numRuns: 300 },
    );
  });

  test("one changed character anywhere is noticed", () => {
    const signed = signRequest(identity, {
      method: "PUT",
      target: "/bucket/some%20key?partNumber=1&uploadId=abc",
      headers: ["Host", "localhost:3900", "x-amz-meta-a", "one  two", "Content-Type", "text/plain"],
      payload: sha256Hex("hello"),
      timeMs: NOW,
    });
    accepted(verify(verifier, signed));
    equal(refusal(verify(verifier, { ...signed, method: "POST" })), "SignatureDoesNotMatch");
    equal(refusal(verify(verifier, { ...signed, target: signed.target.replace("some", "sume") })), "SignatureDoesNotMatch");
    equal(refusal(verify(verifier, { ...signed, target: signed.target + "&x=1" })), "SignatureDoesNotMatch");
    for (let i = 0; i < signed.headers.length; i += 2) {
      const headers = signed.headers.slice();
      const name = headers[i]!;
      if (name === "Authorization" || name === "x-amz-date") continue;
      headers[i + 1] = name === "x-amz-content-sha256" ? sha256Hex("other") : headers[i + 1]! + "x";
      equal(refusal(verify(verifier, { ...signed, headers })), "SignatureDoesNotMatch", name);
    }
  });

  test("spellings of the same request verify: raw path, literal plus, folded and unfolded spaces, repeated headers", () => {
    const base = { method: "GET", headers: ["Host", "h"], payload: UNSIGNED, timeMs: NOW };
    const encoded = signRequest(identity, { ...base, target: "/b/a%40b%7Ec" });
    accepted(verify(verifier, { ...encoded, target: "/b/a@b~c" }));
    accepted(verify(verifier, { ...signRequest(identity, { ...base, target: "/b/?acl" }), target: "/b/?acl=" }));
    accepted(
      verify(
        verifier,
        signRequest(identity, { ...base, target: "/b", headers: ["Host", "h", "X-Amz-Meta-A", " 1", "x-amz-meta-a", "2  3 "] }),
      ),
    );
    accepted(
      verify(verifier, signRequest(identity, { ...base, target: "/b", headers: ["Host", "h", "x-amz-meta-l", "a,  b, c"] })),
    );
  });

  test("a literal plus is read as what was signed: a plus or a space, never both", () => {
    const base = { method: "GET", headers: ["Host", "h"], payload: UNSIGNED, timeMs: NOW };
    const sent = (signed: string, target: string): AuthenticatedRequest | AuthFailure =>
      verify(verifier, { ...signRequest(identity, { ...base, target: signed }), target });
    equal(accepted(sent("/b/?prefix=a%2Bb", "/b/?prefix=a+b")).query.get("prefix"), "a+b");
    equal(accepted(sent("/b/?prefix=a%20b", "/b/?prefix=a+b")).query.get("prefix"), "a b");
    equal(accepted(sent("/b/?prefix=a%2Bb", "/b/?prefix=a%2Bb")).query.get("prefix"), "a+b");
    equal(refusal(sent("/b/?prefix=a%2Bb%20c", "/b/?prefix=a+b+c")), "SignatureDoesNotMatch");
    equal(refusal(sent("/b/?prefix=a%20b", "/b/?prefix=a%2Bb")), "SignatureDoesNotMatch");
  });

  test("respelling a presigned URL's plus changes none of its parameters, nor the headers among them", () => {
    const parameters = "response-content-disposition=a%2Bb&x-amz-meta-m=c%2Bd";
    const signed = presign(identity, {
      method: "PUT",
      target: `/b/k?${parameters}`,
      headers: ["Host", "h"],
      payload: UNSIGNED,
      timeMs: NOW,
      expiresSeconds: 60,
    });
    for (const target of [signed.target, signed.target.replaceAll("%2B", "+")]) {
      const outcome = accepted(verify(verifier, { ...signed, method: "PUT", target }));
      equal(outcome.query.get("response-content-disposition"), "a+b", target);
      equal(outcome.request.header("x-amz-meta-m"), "c+d", target);
    }
    const mixed = signed.target.replace("%2B", "%20");
    equal(refusal(verify(verifier, { ...signed, method: "PUT", target: mixed })), "SignatureDoesNotMatch");
  });

  test("any region is accepted, unless strict; other services are not", () => {
    const base = { method: "GET", target: "/b", headers: ["Host", "h"], payload: UNSIGNED, timeMs: NOW };
    const signed = signRequest(identity, base);
    accepted(verify(verifierAt(NOW, [key], { region: "elsewhere" }), signed));
    const strict = verify(verifierAt(NOW, [key], { region: "elsewhere", strictRegion: true }), signed);
    equal(refusal(strict), "AuthorizationHeaderMalformed");
    deepEqual(strict.ok ? [] : strict.error.elements, [["Region", "elsewhere"]]);
    equal(refusal(verify(verifier, signRequest({ ...identity, service: "ec2" }, base))), "AuthorizationHeaderMalformed");
    accepted(verify(verifierAt(NOW, [key], { service: "k2v" }), signRequest({ ...identity, service: "k2v" }, base)));
  });

  test("a policy signed by the signer", () => {
    const document = {
      expiration: "2026-11-22T13:00:00Z",
      conditions: [{ bucket: "b" }, ["starts-with", "$key", ""], ...policyFieldConditions(identity, NOW)],
    };
    const fields = new Map([["key", "k"], ...Object.entries(signPolicy(identity, { document, timeMs: NOW }))]);
    ok(verifier.verifyPolicy(fields).ok);
    checkPolicy(fields.get("policy")!, { fields, bucket: "b", nowMs: NOW });
  });
});

describe("refusals in AWS's codes", () => {
  const NOW = Date.UTC(2026, 10, 22, 12, 30);
  const key = accessKey("GK0123456789abcdef01234567", "0f".repeat(32));
  const identity = { keyId: key.id, secret: key.secret, region: "garage" };
  const base = { method: "GET", target: "/b/k", headers: ["Host", "h"], payload: UNSIGNED, timeMs: NOW };
  const verifier = verifierAt(NOW, [key, accessKey("GKexpired", "s", { expiresMs: NOW })]);

  function withHeader(name: string, change: (value: string) => string): string {
    const signed = signRequest(identity, base);
    const headers = signed.headers.map((text, i) => (i % 2 === 1 && signed.headers[i - 1] === name ? change(text) : text));
    return refusal(verify(verifier, { ...signed, headers }));
  }
  function withQuery(change: (target: string) => string): string {
    const signed = presign(identity, { ...base, expiresSeconds: 60 });
    return refusal(verify(verifier, { ...signed, target: change(signed.target) }));
  }
  const authorizationWith = (change: (value: string) => string): string => withHeader("Authorization", change);

  test("thousands of signed names and of headers: each header is looked at a few times, not once for every name", () => {
    const claimed = authorization(`host;x-amz-date${";a".repeat(5_000)}`, "0".repeat(64));
    const headers = [
      "Host",
      "h",
      "x-amz-date",
      "20130524T000000Z",
      "x-amz-content-sha256",
      UNSIGNED,
      "a",
      "1",
      "a",
      "2",
      ...claimed,
    ];
    for (let n = 0; n < 5_000; n++) headers.push("b", "");
    let looks = 0;
    const counted = new Proxy(headers, {
      get(all, at) {
        looks++;
        return Reflect.get(all, at) as unknown;
      },
    });
    const values = new Map(
      [...headers.entries()].flatMap(([i, name]) => (i % 2 === 0 ? [[name.toLowerCase(), headers[i + 1]!]] : [])),
    );
    const built = {
      ...request({ target: "/k" }),
      rawHeaders: counted,
      header: (name: string) => (name === "a" ? "1, 2" : values.get(name)),
    };
    const outcome = verifierAt(AWS_DAY, [AWS_KEY]).verify(built, parseTarget("/k"));
    equal(refusal(outcome), "SignatureDoesNotMatch");
    ok(!outcome.ok && outcome.canonicalRequest?.includes("\na:1,2\na:1,2\n"));
    ok(looks < 20 * headers.length, `${looks} looks at ${headers.length} texts`);
  });

  test("header form", () => {
    equal(
      authorizationWith((value) => value.replace(/Signature=.*/, `Signature=${"0".repeat(64)}`)),
      "SignatureDoesNotMatch",
    );
    equal(
      authorizationWith((value) => value.replace(/Signature=.*/, "Signature=short")),
      "SignatureDoesNotMatch",
    );
    equal(
      authorizationWith((value) => value.replace(key.id, "GKunknown")),
      "InvalidAccessKeyId",
    );
    equal(
      authorizationWith((value) => value.replace(key.id, "GKexpired")),
      "AccessDenied",
    );
    equal(
      authorizationWith((value) => value.replace(/SignedHeaders=[^,]*,/, "")),
      "AuthorizationHeaderMalformed",
    );
    equal(
      authorizationWith((value) => value.replace("aws4_request", "aws4")),
      "AuthorizationHeaderMalformed",
    );
    equal(
      authorizationWith((value) => value + ",Signature=1"),
      "AuthorizationHeaderMalformed",
    );
    equal(
      authorizationWith((value) => value.replace("20261122", "20261121")),
      "AuthorizationHeaderMalformed",
    );
    equal(
      authorizationWith(() => "AWS GK:abc"),
      "InvalidRequest",
    );
    equal(
      authorizationWith(() => "Bearer abc"),
      "InvalidArgument",
    );
    equal(
      authorizationWith((value) => value.replace("host;", "")),
      "AccessDenied",
    );
    equal(
      withHeader("x-amz-date", () => "yesterday"),
      "AccessDenied",
    );
    equal(
      withHeader("x-amz-content-sha256", () => "STREAMING-NONSENSE"),
      "SignatureDoesNotMatch",
    );
  });

  test("unsigned x-amz headers are refused, an unsigned Content-Type is accepted", () => {
    const headers = ["Host", "h", "x-amz-acl", "public-read", "Content-Type", "text/plain"];
    equal(refusal(verify(verifier, signRequest(identity, { ...base, headers, unsigned: ["x-amz-acl"] }))), "AccessDenied");
    accepted(verify(verifier, signRequest(identity, { ...base, headers, unsigned: ["content-type", "x-amz-content-sha256"] })));
  });

  test("a header is signed by its whole name, not because another's holds it", () => {
    const headers = ["Host", "h", "x-amz-meta-ab", "signed", "x-amz-meta-a", "not"];
    equal(refusal(verify(verifier, signRequest(identity, { ...base, headers, unsigned: ["x-amz-meta-a"] }))), "AccessDenied");
  });

  test("a header after signing, a missing Host, a missing digest, a token", () => {
    const signed = signRequest(identity, base);
    equal(refusal(verify(verifier, { ...signed, headers: [...signed.headers, "x-amz-acl", "public-read"] })), "AccessDenied");
    equal(refusal(verify(verifier, { ...signed, headers: signed.headers.slice(2) })), "MissingSecurityHeader");
    const at = signed.headers.indexOf("x-amz-content-sha256");
    equal(refusal(verify(verifier, { ...signed, headers: signed.headers.toSpliced(at, 2) })), "InvalidRequest");
    const token = signRequest(identity, { ...base, headers: [...base.headers, "x-amz-security-token", "t"] });
    equal(refusal(verify(verifier, token)), "InvalidToken");
    const inQuery = presign(identity, { ...base, target: "/b/k?X-Amz-Security-Token=t", expiresSeconds: 60 });
    equal(refusal(verify(verifier, inQuery)), "InvalidToken");
  });

  test("clock skew of 15 minutes is the limit", () => {
    for (const sign of [-1, 1]) {
      accepted(verify(verifier, signRequest(identity, { ...base, timeMs: NOW + sign * 15 * 60_000 })));
      equal(
        refusal(verify(verifier, signRequest(identity, { ...base, timeMs: NOW + sign * (15 * 60_000 + 1000) }))),
        "RequestTimeTooSkewed",
      );
    }
  });

  test("query form", () => {
    equal(
      withQuery((target) => target.replace(/X-Amz-Signature=.*/, `X-Amz-Signature=${"0".repeat(64)}`)),
      "SignatureDoesNotMatch",
    );
    equal(
      withQuery((target) => target.replace("/b/k", "/b/j")),
      "SignatureDoesNotMatch",
    );
    equal(
      withQuery((target) => target + "&response-content-type=x"),
      "SignatureDoesNotMatch",
    );
    for (const name of ["Algorithm", "Credential", "Date", "Expires", "SignedHeaders", "Signature"])
      equal(
        withQuery((target) => target.replace(new RegExp(`X-Amz-${name}=[^&]*`), "")),
        "AuthorizationQueryParametersError",
        name,
      );
    equal(
      withQuery((target) => target.replace("X-Amz-Expires=60", "X-Amz-Expires=604801")),
      "AuthorizationQueryParametersError",
    );
    equal(
      withQuery((target) => target.replace("X-Amz-Expires=60", "X-Amz-Expires=-1")),
      "AuthorizationQueryParametersError",
    );
    equal(
      withQuery((target) => target.replace("X-Amz-Expires=60", "X-Amz-Expires=x")),
      "AuthorizationQueryParametersError",
    );
    equal(
      withQuery((target) => target.replace(/X-Amz-Date=[^&]*/, "X-Amz-Date=now")),
      "AuthorizationQueryParametersError",
    );
    equal(
      withQuery((target) => target.replace("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256")),
      "AuthorizationQueryParametersError",
    );
    equal(
      withQuery((target) => target + "&X-Amz-Date=20261122T123000Z"),
      "AuthorizationQueryParametersError",
    );
    equal(
      withQuery(() => "/b/k?AWSAccessKeyId=a&Signature=b&Expires=1"),
      "InvalidRequest",
    );
    const future = presign(identity, { ...base, timeMs: NOW + 16 * 60_000, expiresSeconds: 60 });
    equal(refusal(verify(verifier, future)), "AccessDenied");
    const both = { ...presign(identity, { ...base, expiresSeconds: 60 }), headers: signRequest(identity, base).headers };
    equal(refusal(verify(verifier, both)), "InvalidArgument");
  });

  test("a presigned URL made for one body carries no other", () => {
    const digest = sha256Hex("good");
    const signed = presign(identity, {
      ...base,
      method: "PUT",
      target: `/b/k?X-Amz-Content-Sha256=${digest}`,
      payload: digest,
      expiresSeconds: 60,
    });
    const outcome = accepted(verify(verifier, signed));
    deepEqual(outcome.payload, { kind: "digest", sha256: digest });
    for (const other of [UNSIGNED, sha256Hex("evil")])
      equal(
        refusal(verify(verifier, { ...signed, headers: [...signed.headers, "x-amz-content-sha256", other] })),
        "InvalidRequest",
      );
  });

  test("presigned x-amz parameters count as headers; contradictions are refused", () => {
    const signed = presign(identity, { ...base, method: "PUT", target: "/b/k?x-amz-meta-name=J%C3%BCrgen", expiresSeconds: 60 });
    const outcome = accepted(verify(verifier, signed));
    equal(Buffer.from(outcome.request.header("x-amz-meta-name") ?? "", "latin1").toString(), "Jürgen");
    ok(outcome.request.rawHeaders.includes("x-amz-meta-name"));
    equal(outcome.request.header("host"), "h");
    const other = presign(identity, {
      ...base,
      target: "/b/k?x-amz-acl=private",
      headers: ["Host", "h", "x-amz-acl", "public-read"],
      expiresSeconds: 60,
    });
    equal(refusal(verify(verifier, other)), "InvalidRequest");
  });

  test("a wrong signature says what was signed here; no secret is in it", () => {
    const signed = signRequest({ ...identity, secret: "another" }, base);
    const outcome = verify(verifier, signed);
    ok(!outcome.ok);
    equal(outcome.canonicalRequest, signed.canonicalRequest);
    equal(outcome.stringToSign, signed.stringToSign);
    const elements = new Map(outcome.error.elements);
    deepEqual(
      [...elements.keys()],
      ["AWSAccessKeyId", "StringToSign", "SignatureProvided", "StringToSignBytes", "CanonicalRequest", "CanonicalRequestBytes"],
    );
    ok(!JSON.stringify([...elements]).includes(key.secret));
  });

  test("the bytes of a long canonical request are left out: the answer stays of the request's size", () => {
    const long = signRequest(identity, { ...base, headers: ["Host", "h", "x-amz-meta-a", "v".repeat(50_000)] });
    const headers = long.headers.map((text) => text.replace(/Signature=.*/, `Signature=${"0".repeat(64)}`));
    const outcome = verify(verifier, { ...long, headers });
    equal(refusal(outcome), "SignatureDoesNotMatch");
    ok(!outcome.ok && outcome.error.elements.some(([name]) => name === "CanonicalRequest"));
    ok(!outcome.ok && outcome.error.elements.reduce((sum, [, value]) => sum + value.length, 0) < 60_000);
  });

  test("no credentials: anonymous, with the body's form", () => {
    const outcome = accepted(verify(verifier, { target: "/b/k", headers: ["Host", "h"] }));
    equal(outcome.key, undefined);
    equal(outcome.form, "anonymous");
    const streaming = ["Host", "h", "x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"];
    deepEqual(accepted(verify(verifier, { target: "/b/k", headers: streaming })).payload, {
      kind: "chunks",
      trailer: true,
      chain: undefined,
    });
    equal(
      refusal(verify(verifier, { target: "/b/k", headers: ["Host", "h", "x-amz-content-sha256", STREAMING_SIGNED] })),
      "InvalidArgument",
    );
  });

  test("anything at all in the fields of a signature is answered, never thrown", () => {
    const junk = fc.oneof(
      fc.string({ maxLength: 60 }),
      fc.constantFrom("=", ",", "Credential=/////", "SignedHeaders=__proto__;constructor,"),
    );
    fc.assert(
      fc.property(
        fc.array(junk, { maxLength: 6 }),
        fc.array(fc.tuple(fc.constantFrom("Algorithm", "Credential", "Date", "Expires"), junk)),
        (parts, query) => {
          const header = `AWS4-HMAC-SHA256 ${parts.join("")}`;
          refusal(verify(verifier, { target: "/b", headers: ["Host", "h", "Authorization", header] }));
          const target = `/b?${query.map(([name, value]) => `X-Amz-${name}=${encode(value.toWellFormed())}`).join("&")}`;
          const outcome = verify(verifier, { target, headers: ["Host", "h"] });
          ok(!outcome.ok || outcome.key === undefined);
        },
      ),
      { numRuns: 300 },
    );
  });
});
