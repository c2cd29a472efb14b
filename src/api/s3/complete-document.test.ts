import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { ApiError } from "../common/api-error.ts";
import { parseCompletion } from "./complete-document.ts";

const ETAG = "5d41402abc4b2a76b9719d911017c592";
const SHA256 = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
const documentOf = (parts: string): Buffer => Buffer.from(`<CompleteMultipartUpload>${parts}</CompleteMultipartUpload>`);
/** The same for the parser: a comment is nothing that the scanner takes. */
const parsedForm = (document: Buffer): Buffer => Buffer.concat([Buffer.from("<!-- -->"), document]);

function outcome(document: Buffer): unknown {
  try {
    return parseCompletion(document);
  } catch (error) {
    assert.ok(error instanceof ApiError, String(error));
    return error.code;
  }
}

describe("the document of CompleteMultipartUpload", () => {
  it("all forms in use", () => {
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
      assert.deepEqual(parseCompletion(Buffer.from(text)), want, text);
  });

  it("every checksum is passed on under its own name, by scanner and parser", () => {
    const fields = `<PartNumber>1</PartNumber><ETag>${ETAG}</ETag><ChecksumSHA256>${SHA256}</ChecksumSHA256><ChecksumCRC32>AAAAAA==</ChecksumCRC32>`;
    const document = documentOf(`<Part>${fields}</Part>`);
    const want = [{ part: 1, etag: ETAG, checksums: { SHA256, CRC32: "AAAAAA==" } }];
    assert.deepEqual(parseCompletion(document), want);
    assert.deepEqual(parseCompletion(parsedForm(document)), want);
    const twice = documentOf(`<Part>${fields}<ChecksumCRC32>AAAAAA==</ChecksumCRC32></Part>`);
    assert.equal(outcome(twice), "MalformedXML");
  });

  it("10,000 parts with their checksums", () => {
    const parts = (count: number): string =>
      Array.from(
        { length: count },
        (_, i) =>
          `<Part><PartNumber>${i + 1}</PartNumber><ETag>&quot;${ETAG}&quot;</ETag><ChecksumSHA256>${SHA256}</ChecksumSHA256></Part>`,
      ).join("");
    const document = documentOf(parts(10_000));
    assert.ok(document.byteLength > 1024 * 1024);
    assert.equal(parseCompletion(document).length, 10_000);
    assert.equal(outcome(documentOf(parts(10_001))), "MalformedXML");
  });

  it("scanner and parser agree on everything", () => {
    const value = fc.constantFrom(
      "1",
      "2",
      "3",
      "0",
      "10001",
      "99999",
      "-1",
      "1e1",
      "01",
      " 2",
      "",
      ETAG,
      `"${ETAG}"`,
      `&quot;${ETAG}&quot;`,
      '"',
      "&quot;",
      '"a',
      "a&amp;b",
      "&lt;",
      "ä",
      "AAAAAA==",
    );
    const field = fc
      .tuple(
        fc.constantFrom("PartNumber", "PartNumber", "ETag", "ETag", "ChecksumCRC32", "ChecksumSHA1", "ChecksumMD5", "Size"),
        value,
        fc.constantFrom("", "\n ", "x"),
      )
      .map(([name, text, after]) => `<${name}>${text}</${name}>${after === "x" ? "" : after}`);
    const part = fc.oneof(
      { weight: 2, arbitrary: fc.array(field, { maxLength: 4 }).map((fields) => `<Part>${fields.join("")}</Part>`) },
      {
        weight: 2,
        arbitrary: fc
          .tuple(fc.integer({ min: 1, max: 5 }), value)
          .map(([number, text]) => `<Part><PartNumber>${number}</PartNumber><ETag>${text}</ETag></Part>`),
      },
      {
        weight: 1,
        arbitrary: fc.constantFrom(
          "<Part/>",
          "<Part></Part>",
          "text",
          "\n",
          "<Part><ETag>a</Part>",
          "<!-- c -->",
          "</CompleteMultipartUpload>",
        ),
      },
    );
    fc.assert(
      fc.property(fc.array(part, { maxLength: 4 }), (parts) => {
        const document = documentOf(parts.join(""));
        assert.deepEqual(outcome(document), outcome(parsedForm(document)), document.toString());
      }),
      { numRuns: 1500 },
    );
  });

  it("long documents that are not plain end (a scanner that backtracks would not)", () => {
    for (const text of [
      "<Part>" + " ".repeat(1_000_000),
      "<Part><PartNumber>1</PartNumber>" + "\n".repeat(1_000_000) + "x",
      "<Part>".repeat(150_000),
    ])
      assert.equal(outcome(documentOf(text)), "MalformedXML");
  });
});
