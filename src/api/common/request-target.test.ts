import { deepEqual, equal, ok, throws } from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { ApiError } from "./api-error.ts";
import { DateFormats, formatAmzDate, parseAmzDate, parseHttpDate, parseIsoDate } from "./dates.ts";
import { RequestIds } from "./request-id.ts";
import { decodePath, MAX_PARAMETERS, parseTarget } from "./request-target.ts";

const invalid = (error: unknown): boolean => error instanceof ApiError && error.code === "InvalidURI";

describe("targets", () => {
  test("are split, never normalized", () => {
    const target = parseTarget("/b/a/../k//%2e?list-type=2&prefix=a+b%2B&acl&x=&=v&x=2");
    equal(target.rawPath, "/b/a/../k//%2e");
    equal(target.query.get("prefix"), "a b+");
    equal(target.query.get("acl"), "");
    ok(target.query.has("x") && !target.query.has("y"));
    equal(target.query.count("x"), 2);
    deepEqual(
      target.query.parameters.map(({ name, value }) => `${name}=${value}`),
      ["list-type=2", "prefix=a b+", "acl=", "x=", "=v", "x=2"],
    );
    equal(parseTarget("/?a=b?c=d").query.get("a"), "b?c=d");
    equal(parseTarget("/b?&&a&").query.parameters.length, 1);
  });

  test("in absolute form lose scheme and host", () => {
    equal(parseTarget("http://host:3900/b/k?x=1").rawPath, "/b/k");
    deepEqual([parseTarget("HTTPS://host").rawPath, parseTarget("http://host?a=1").rawPath], ["/", "/"]);
    equal(parseTarget("http://host?a=1").query.get("a"), "1");
    equal(parseTarget("*").rawPath, "*");
  });

  test("what is none is refused", () => {
    for (const target of ["", "b/k", "ftp://host/", "host:80"]) throws(() => parseTarget(target), invalid, target);
    for (const query of ["%", "a=%ff", "%zz=1"]) throws(() => parseTarget(`/?${query}`), invalid, query);
    equal(parseTarget(`/?${"a&".repeat(MAX_PARAMETERS)}`).query.parameters.length, MAX_PARAMETERS);
    throws(() => parseTarget(`/?${"a&".repeat(MAX_PARAMETERS + 1)}`), invalid);
    for (const path of ["/b/%", "/b/%ff"]) throws(() => decodePath(path), invalid, path);
    equal(decodePath("/b/a+b%20"), "/b/a+b ");
  });

  test("anything at all: a target or InvalidURI", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => {
        try {
          const { rawPath } = parseTarget(`/${text}`);
          decodePath(rawPath);
        } catch (error) {
          ok(invalid(error), String(error));
        }
      }),
    );
  });
});

describe("dates", () => {
  const AT = Date.UTC(2009, 9, 12, 17, 50, 30);

  test("formats", () => {
    const formats = new DateFormats();
    for (const ms of [0, 7, 45, 999]) equal(formats.iso(AT + ms), "2009-10-12T17:50:30.000Z");
    equal(formats.http(AT + 999), "Mon, 12 Oct 2009 17:50:30 GMT");
    equal(formatAmzDate(AT), "20091012T175030Z");
    for (let i = 0; i < 5000; i++) equal(formats.iso(AT + i * 1000 + 5), new Date(AT + i * 1000).toISOString());
  });

  test("parsing: the three forms of HTTP, ISO, and AWS's own", () => {
    for (const text of [
      "Mon, 12 Oct 2009 17:50:30 GMT",
      "Monday, 12-Oct-09 17:50:30 GMT",
      "Mon Oct 12 17:50:30 2009",
      "2009-10-12T17:50:30Z",
    ])
      equal(parseHttpDate(text), AT, text);
    equal(parseIsoDate("2009-10-12T19:50:30.5+02:00"), AT + 500);
    equal(parseIsoDate("2009-10-12T12:20:30-0530"), AT);
    equal(parseAmzDate("20091012T175030Z"), AT);
  });

  test("no dates", () => {
    for (const text of [
      "",
      "now",
      "Mon, 32 Oct 2009 17:50:30 GMT",
      "Mon, 12 Foo 2009 17:50:30 GMT",
      "Mon, 12 Oct 2009 25:50:30 GMT",
    ])
      equal(parseHttpDate(text), undefined, text);
    for (const text of ["2009-02-30T00:00:00Z", "2009-10-12", "2009-10-12T17:50:30", "2009-13-01T00:00:00Z"])
      equal(parseIsoDate(text), undefined, text);
    for (const text of ["20091012", "20090230T000000Z", "20091012T175060Zx", "20091012T246000Z"])
      equal(parseAmzDate(text), undefined, text);
  });

  test("what is formatted is parsed again", () => {
    const formats = new DateFormats();
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 253402300799 }), fc.integer({ min: 0, max: 999 }), (second, ms) => {
        equal(parseIsoDate(formats.iso(second * 1000 + ms)), second * 1000);
        equal(parseHttpDate(formats.http(second * 1000 + ms)), second * 1000);
        equal(parseHttpDate(formats.http(second * 1000)), second * 1000);
        equal(parseAmzDate(formatAmzDate(second * 1000)), second * 1000);
      }),
    );
  });
});

test("request ids: 16 upper-case hex digits, none twice, drawn in bulk", () => {
  let drawn = 0;
  let counter = 0;
  const random = {
    bytes: (count: number) => {
      drawn++;
      const bytes = Buffer.alloc(count);
      for (let at = 0; at + 8 <= count; at += 8) bytes.writeBigUInt64BE(BigInt(counter++), at);
      return bytes;
    },
    below: () => 0,
  };
  const ids = new RequestIds({ random });
  const seen = new Set(Array.from({ length: 1000 }, () => ids.next()));
  equal(seen.size, 1000);
  ok([...seen].every((id) => /^[0-9A-F]{16}$/.test(id)));
  ok(drawn <= 4);
});
