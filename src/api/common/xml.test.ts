import { deepEqual, equal, ok, throws } from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { ApiError } from "./api-error.ts";
import { renderErrorXml } from "./error-xml.ts";
import { parseXml, XML_LIMITS, type XmlElement, XmlReader } from "./xml-read.ts";
import { element, escapeXml, optionalElement } from "./xml-write.ts";

const parse = (text: string | Uint8Array, ...root: string[]): XmlElement =>
  parseXml(typeof text === "string" ? Buffer.from(text) : text, { root: root.length === 0 ? ["Delete"] : root });
const malformed = (error: unknown): boolean => {
  ok(error instanceof ApiError, String(error));
  equal(error.code, "MalformedXML");
  return true;
};

describe("reading", () => {
  test("keys keep their spaces, zeros, entities and CDATA; namespaces are no part of names", () => {
    const root = parse(
      '<?xml version="1.0" encoding="utf-8"?>\n<s3:Delete xmlns:s3="http://s3.amazonaws.com/doc/2006-03-01/"><!-- c -->' +
        "<s3:Object><s3:Key> 007 </s3:Key></s3:Object><Object><Key>1e5</Key></Object>" +
        "<Object><Key>a&amp;#13;&#13;&#x1F600;&#38;amp;<![CDATA[<&amp;]]>b</Key></Object><Quiet/></s3:Delete>",
    );
    const reader = new XmlReader(root);
    deepEqual(
      reader.many("Object", 1000).map((object) => new XmlReader(object).text("Key")),
      [" 007 ", "1e5", "a&#13;\r😀&amp;<&amp;b"],
    );
    equal(reader.optionalText("Quiet"), "");
    reader.done();
  });

  test("attributes: by name without prefix, entities resolved", () => {
    const root = parse(
      '<Grantee xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="Canonical&amp;User"/>',
      "Grantee",
    );
    equal(root.attributes.get("type"), "Canonical&User");
  });

  test("more tags and entities than any document needs are refused before they are parsed", () => {
    const full = `<Object><Key>&amp;</Key><VersionId>null</VersionId><ETag>&quot;e&quot;</ETag><Size>1</Size></Object>`;
    equal(parse(`<Delete>${full.repeat(1000)}</Delete>`).children.length, 1000);
    for (const mark of ["<a/>", "&amp;", "<!---->"]) {
      const count = XML_LIMITS.marks - 2;
      parse(`<Delete>${mark.repeat(count)}</Delete>`);
      throws(() => parse(`<Delete>${mark.repeat(count + 1)}</Delete>`), malformed);
      parseXml(Buffer.from(`<Delete>${mark.repeat(count + 1)}</Delete>`), { root: ["Delete"], marks: count + 3 });
    }
  });

  test("what is no acceptable XML", () => {
    for (const text of [
      "",
      " ",
      "text",
      "<Delete>",
      "<Delete></Other>",
      "<Delete><a></Delete>",
      "<Delete/><Delete/>",
      "<Delete/>tail",
      "<Delete></Delete>tail<!-- c -->",
      "<Delete/>tail<!-- c -->",
      "head<Delete/>",
      "<Other/>",
      "<!DOCTYPE Delete><Delete/>",
      '<!DOCTYPE x [<!ENTITY a "b">]><Delete>&a;</Delete>',
      "<Delete>&unknown;</Delete>",
      "<Delete>a & b</Delete>",
      "<Delete>&#xD800;</Delete>",
      "<Delete>&#1114112;</Delete>",
      "<Delete a='1' a='2'/>",
      "<Delete a=1/>",
      "<Delete><__proto__/></Delete>",
      '<?xml version="1.0" encoding="ISO-8859-1"?><Delete/>',
      `<Delete>${"<a>".repeat(XML_LIMITS.depth)}${"</a>".repeat(XML_LIMITS.depth)}</Delete>`,
    ])
      throws(() => parse(text), malformed, text);
    throws(() => parse(Uint8Array.of(0x3c, 0x44, 0xff, 0x2f, 0x3e)), malformed);
    throws(() => parse(`<Delete>${" ".repeat(XML_LIMITS.bytes)}</Delete>`), malformed);
  });

  test("the reader refuses what nobody asked for, and what is there too often or not at all", () => {
    const reader = (text: string): XmlReader => new XmlReader(parse(text));
    throws(() => reader("<Delete><New/></Delete>").done(), malformed);
    throws(() => reader("<Delete>text</Delete>").done(), malformed);
    throws(() => reader("<Delete/>").one("Object"), malformed);
    throws(() => reader("<Delete><a/><a/></Delete>").optional("a"), malformed);
    throws(() => reader("<Delete><a/><a/></Delete>").many("a", 1), malformed);
    throws(() => reader("<Delete><a><b/></a></Delete>").text("a"), malformed);
    throws(() => reader("<Delete><a>maybe</a></Delete>").optionalBoolean("a"), malformed);
    for (const number of ["0", "11", "1.5", "", "x", "1e1"])
      throws(() => reader(`<Delete><a>${number}</a></Delete>`).optionalInteger("a", { min: 1, max: 10 }), malformed, number);
    equal(reader("<Delete><a> True </a></Delete>").optionalBoolean("a"), true);
    equal(reader("<Delete><a> 10 </a></Delete>").optionalInteger("a", { min: 1, max: 10 }), 10);
    equal(reader("<Delete/>").optionalInteger("a", { min: 1, max: 10 }), undefined);
    const spaced = reader("<Delete>\r\n  <a/>\n</Delete>");
    spaced.optional("a");
    spaced.done();
  });
});

describe("writing", () => {
  test("special and control characters, pairs and lone surrogates", () => {
    equal(escapeXml("plain/key-1.txt"), "plain/key-1.txt");
    equal(escapeXml(`<a href="x">&'`), "&lt;a href=&quot;x&quot;&gt;&amp;'");
    equal(escapeXml("\u0000\u0001\t\n\r\u007f\u0085"), "&#x0;&#x1;&#x9;&#xa;&#xd;&#x7f;&#x85;");
    equal(escapeXml("😀\ud800x\uffff"), "😀\ufffdx&#xffff;");
    equal(element("Size", 5) + optionalElement("A", undefined) + optionalElement("B", ""), "<Size>5</Size><B></B>");
  });

  test("what is written is read back, whatever it is", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 40 }), (text) => {
        fc.pre(text.isWellFormed());
        equal(new XmlReader(parse(`<Delete>${element("Key", text)}</Delete>`)).text("Key"), text);
      }),
      { numRuns: 500 },
    );
  });

  test("an error's document", () => {
    const xml = renderErrorXml(
      { code: "NoSuchKey", message: "The specified key <does> not exist.", elements: [["Key", "a&b"]] },
      { resource: "/b/a%26b", requestId: "1234", hostId: "h" },
    );
    const reader = new XmlReader(parse(xml, "Error"));
    deepEqual(
      reader.element.children.map(({ name, text }) => [name, text]),
      [
        ["Code", "NoSuchKey"],
        ["Message", "The specified key <does> not exist."],
        ["Key", "a&b"],
        ["Resource", "/b/a%26b"],
        ["RequestId", "1234"],
        ["HostId", "h"],
      ],
    );
  });
});

test("any document at all: an element or MalformedXML", () => {
  const piece = fc.constantFrom(
    ..."<Delete> </Delete> <a> </a> <a/> <![CDATA[ ]]> <!-- --> <? ?> & &amp; &#0; &#x; ' \" = a=\"1\" xmlns:x='y' < > / ! <!DOCTYPE [ ] \u0000 é toString constructor".split(
      " ",
    ),
    " ",
    "<__proto__>",
    "]]>",
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 15 }), fc.boolean(), (parts, wrapped) => {
      const text = wrapped ? `<Delete>${parts.join("")}</Delete>` : parts.join("");
      try {
        const root = parse(text);
        equal(root.name, "Delete");
      } catch (error) {
        malformed(error);
      }
    }),
    { numRuns: 3000 },
  );
});
