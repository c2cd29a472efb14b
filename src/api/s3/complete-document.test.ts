import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { nodeClock } from "../../platform/node/clock.ts";
import { ApiError } from "../common/api-error.ts";
import { parseCompletion } from "./complete-document.ts";

const ETAG = "5d41402abc4b2a76b9719d911017c592";
const SHA256 = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
const documentOf = (parts: string): Buffer => Buffer.from(`<CompleteMultipartUpload>${parts}</CompleteMultipartUpload>`);
const parse = (document: Uint8Array): ReturnType<typeof parseCompletion> => parseCompletion(document, { clock: nodeClock() });

async function outcome(document: Buffer): Promise<unknown> {
  try {
    return await parse(document);
  } catch (error) {
    assert.ok(error instanceof ApiError, String(error));
    return error.code;
  }
}

describe("the document of CompleteMultipartUpload", () => {
  it("all forms in use", async () => {
    const want = [
      { part: 1, etag: ETAG },
      { part: 10_000, etag: ETAG, checksums: { SHA256 } },
    ];
    const one = `<Part><PartNumber>1</PartNumber><ETag>"${ETAG}"</ETag></Part>`;
    for (const text of [
      `<CompleteMultipartUpload>${one}<Part><ETag>${ETAG}</ETag><ChecksumSHA256>${SHA256}</ChecksumSHA256><PartNumber>10000</PartNumber></Part></CompleteMultipartUpload>`,
      `<?xml version="1.0" encoding="UTF-8"?>\n<CompleteMultipartUpload xmlns="http://s3.amazonaws.com/doc/2006-03-01/">\n  <Part>\n    <PartNumber>1</PartNumber>\n    <ETag>&quot;${ETAG}&quot;</ETag>\n  </Part>\n  <Part><PartNumber>10000</PartNumber><ETag>&quot;${ETAG}&quot;</ETag><ChecksumSHA256>${SHA256}</ChecksumSHA256></Part>\n</CompleteMultipartUpload>\n`,
      `<CompleteMultipartUpload>${one}<Part><PartNumber> 10000 </PartNumber><ETag>&#34;${ETAG}&#34;</ETag><ChecksumSHA256>${SHA256}</ChecksumSHA256><ChecksumCRC32></ChecksumCRC32></Part></CompleteMultipartUpload>`,
      `<a:CompleteMultipartUpload xmlns:a="x"><a:Part><a:PartNumber>1</a:PartNumber><a:ETag>${ETAG}</a:ETag></a:Part><a:Part><a:PartNumber>10000</a:PartNumber><a:ETag><![CDATA[${ETAG}]]></a:ETag><a:ChecksumSHA256>${SHA256}</a:ChecksumSHA256></a:Part></a:CompleteMultipartUpload>`,
    ])
      assert.deepEqual(await parse(Buffer.from(text)), want, text);
  });

  it("every checksum is passed on under its own name; newer ones are refused by theirs", async () => {
    const fields = `<PartNumber>1</PartNumber><ETag>${ETAG}</ETag><ChecksumSHA256>${SHA256}</ChecksumSHA256><ChecksumCRC32>AAAAAA==</ChecksumCRC32>`;
    const want = [{ part: 1, etag: ETAG, checksums: { SHA256, CRC32: "AAAAAA==" } }];
    assert.deepEqual(await parse(documentOf(`<Part>${fields}</Part>`)), want);
    const twice = documentOf(`<Part>${fields}<ChecksumCRC32>AAAAAA==</ChecksumCRC32></Part>`);
    assert.equal(await outcome(twice), "MalformedXML");
    for (const name of ["MD5", "SHA512", "XXHASH3", "XXHASH64", "XXHASH128"])
      assert.equal(await outcome(documentOf(`<Part>${fields}<Checksum${name}>x</Checksum${name}></Part>`)), "NotImplemented");
  });

  it("what is no list of parts", async () => {
    const one = (number: string, etag = `<ETag>${ETAG}</ETag>`): string =>
      `<Part><PartNumber>${number}</PartNumber>${etag}</Part>`;
    for (const parts of [
      "",
      "text",
      one("0"),
      one("10001"),
      one("-1"),
      one("1e1"),
      one(""),
      one("1", ""),
      one("1", "<ETag>a</ETag><ETag>a</ETag>"),
      one("1", "<ETag><b/></ETag>"),
      one("1") + "text",
      one("1") + "<Size>1</Size>",
      one("1", "<ETag>a</ETag><Size>1</Size>"),
      `<Part><ETag>${ETAG}</ETag></Part>`,
      "<Part/>",
    ])
      assert.equal(await outcome(documentOf(parts)), "MalformedXML", parts);
    assert.equal(await outcome(documentOf(one("2") + one("1"))), "InvalidPartOrder");
    assert.equal(await outcome(documentOf(one("1") + one("1"))), "InvalidPartOrder");
    assert.deepEqual(await parse(documentOf(one("01", '<ETag>"a</ETag>'))), [{ part: 1, etag: '"a' }]);
  });

  it("10,000 parts with their checksums", async () => {
    const parts = (count: number): string =>
      Array.from(
        { length: count },
        (_, i) =>
          `<Part><PartNumber>${i + 1}</PartNumber><ETag>&quot;${ETAG}&quot;</ETag><ChecksumSHA256>${SHA256}</ChecksumSHA256></Part>`,
      ).join("");
    const document = documentOf(parts(10_000));
    assert.ok(document.byteLength > 1024 * 1024);
    assert.equal((await parse(document)).length, 10_000);
    assert.equal(await outcome(documentOf(parts(10_001))), "MalformedXML");
  });

  it("long documents that are not well-formed end", async () => {
    for (const text of [
      "<Part>" + " ".repeat(1_000_000),
      "<Part><PartNumber>1</PartNumber>" + "\n".repeat(1_000_000) + "x",
      "<Part>".repeat(150_000),
    ])
      assert.equal(await outcome(documentOf(text)), "MalformedXML");
  });
});
