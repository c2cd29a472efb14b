import { deepEqual, equal, ok, rejects, throws } from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import type { Clock } from "../../platform/clock.ts";
import { nodeClock } from "../../platform/node/clock.ts";
import { ApiError } from "./api-error.ts";
import { renderErrorXml } from "./error-xml.ts";
import { parseXml, XML_LIMITS, type XmlElement, XmlReader } from "./xml-read.ts";
import { element, escapeXml, optionalElement } from "./xml-write.ts";

const services = { clock: nodeClock() };
const parse = (text: string | Uint8Array, ...root: string[]): Promise<XmlElement> =>
  parseXml(typeof text === "string" ? Buffer.from(text) : text, { root: root.length === 0 ? ["Delete"] : root }, services);
const malformedKey = (): never => {
  throw new Error("a key of mine");
};
const malformed = (error: unknown): boolean => {
  ok(error instanceof ApiError, String(error));
  equal(error.code, "MalformedXML");
  return true;
};

describe("reading", () => {
  test("keys keep their spaces, zeros, entities and CDATA; namespaces are no part of names", async () => {
    const root = await parse(
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

  test("attributes are read over", async () => {
    const root = await parse(
      '<Grantee xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="Canonical&amp;User">a</Grantee>',
      "Grantee",
    );
    deepEqual([root.text, root.children], ["a", []]);
  });

  test("control characters of keys, as references and as they are; line ends as XML has them", async () => {
    equal(
      (await parse("<Delete>&#x1;\u0001&#31;&#0;\u0085\u2028\ufffe</Delete>")).text,
      "\u0001\u0001\u001f\u0000\u0085\u2028\ufffe",
    );
    equal((await parse("<Delete>a\r\nb\rc&#13;</Delete>")).text, "a\nb\nc\r");
    await rejects(parse(`<Delete>${"\u0001".repeat(XML_LIMITS.controlCharacters + 1)}</Delete>`), malformed);
  });

  test("more tags, attributes and entities than any document needs are refused as soon as they are met", async () => {
    const full = `<Object><Key>&amp;</Key><VersionId>null</VersionId><ETag>&quot;e&quot;</ETag><Size>1</Size></Object>`;
    equal((await parse(`<Delete>${full.repeat(1000)}</Delete>`)).children.length, 1000);
    for (const [mark, each] of [
      ["<a/>", 1],
      ["&amp;", 1],
      ["<a b='1' c='2' d='3'/>", 4],
    ] as const) {
      const count = Math.floor((XML_LIMITS.marks - 1) / each);
      await parse(`<Delete>${mark.repeat(count)}</Delete>`);
      const more = `<Delete>${mark.repeat(count + 1)}</Delete>`;
      await rejects(parse(more), malformed);
      await parseXml(Buffer.from(more), { root: ["Delete"], marks: XML_LIMITS.marks + each }, services);
    }
    const attributes = (count: number): string => Array.from({ length: count }, (_, i) => ` a${i}="1"`).join("");
    await parse(`<Delete><a${attributes(XML_LIMITS.attributes)}/></Delete>`);
    await rejects(parse(`<Delete><a${attributes(XML_LIMITS.attributes + 1)}/></Delete>`), malformed);
    await rejects(parse(`<Delete ${attributes(XML_LIMITS.attributes + 1)}/>`), malformed);
  });

  test("others have their turn between the slices of a long document, wherever its characters are cut", async () => {
    let turns = 0;
    const real = nodeClock();
    const timer: Clock["timer"] = (ms, fn) => {
      turns++;
      return real.timer(ms, fn);
    };
    const clock = { ...real, timer };
    const key = "ä😀".repeat(XML_LIMITS.sliceBytes);
    const xml = Buffer.from(`<Delete>${key}<a/></Delete>`);
    const { text, children } = await parseXml(xml, { root: ["Delete"] }, { clock });
    equal(text, key);
    equal(children.length, 1);
    equal(turns, Math.ceil(xml.byteLength / XML_LIMITS.sliceBytes) - 1);
  });

  test("children of the root may be taken one by one", async () => {
    const taken: string[] = [];
    const each = { Object: ({ name, children }: XmlElement) => void taken.push(`${name} ${children.length}`) };
    const xml = Buffer.from("<Delete><Object><Object/></Object><Quiet/><Object/></Delete>");
    const root = await parseXml(xml, { root: ["Delete"], each }, services);
    deepEqual(taken, ["Object 1", "Object 0"]);
    deepEqual(
      root.children.map(({ name }) => name),
      ["Quiet"],
    );
    await rejects(parseXml(xml, { root: ["Delete"], each: { Quiet: () => malformedKey() } }, services), /a key of mine/);
  });

  test("what is no acceptable XML", async () => {
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
      '<?xml version="1.0" encoding="ISO-8859-1"?><Delete/>',
      `<Delete>${"<a>".repeat(XML_LIMITS.depth)}${"</a>".repeat(XML_LIMITS.depth)}</Delete>`,
    ])
      await rejects(parse(text), malformed, text);
    await rejects(parse(Uint8Array.of(0x3c, 0x44, 0xff, 0x2f, 0x3e)), malformed);
    await rejects(parse(Uint8Array.of(...Buffer.from("<Delete/>"), 0xc3)), malformed);
    await rejects(parse(`<Delete>${" ".repeat(XML_LIMITS.bytes)}</Delete>`), malformed);
  });

  test("the reader refuses what nobody asked for, and what is there too often or not at all", async () => {
    const refuses = async (text: string, read: (reader: XmlReader) => unknown): Promise<void> => {
      const reader = new XmlReader(await parse(text));
      throws(() => read(reader), malformed, text);
    };
    await refuses("<Delete><New/></Delete>", (reader) => reader.done());
    await refuses("<Delete><__proto__/></Delete>", (reader) => reader.done());
    await refuses("<Delete>text</Delete>", (reader) => reader.done());
    await refuses("<Delete/>", (reader) => reader.one("Object"));
    await refuses("<Delete><a/><a/></Delete>", (reader) => reader.optional("a"));
    await refuses("<Delete><a/><a/></Delete>", (reader) => reader.many("a", 1));
    await refuses("<Delete><a><b/></a></Delete>", (reader) => reader.text("a"));
    await refuses("<Delete><a>maybe</a></Delete>", (reader) => reader.optionalBoolean("a"));
    for (const number of ["0", "11", "1.5", "", "x", "1e1"])
      await refuses(`<Delete><a>${number}</a></Delete>`, (reader) => reader.optionalInteger("a", { min: 1, max: 10 }));
    const reader = async (text: string): Promise<XmlReader> => new XmlReader(await parse(text));
    equal((await reader("<Delete><a> True </a></Delete>")).optionalBoolean("a"), true);
    equal((await reader("<Delete><a> 10 </a></Delete>")).optionalInteger("a", { min: 1, max: 10 }), 10);
    equal((await reader("<Delete/>")).optionalInteger("a", { min: 1, max: 10 }), undefined);
    const spaced = await reader("<Delete>\r\n  <a/>\n</Delete>");
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

  test("what is written is read back, whatever it is", async () => {
    await fc.assert(
      fc.asyncProperty(fc.string({ unit: "binary", maxLength: 40 }), async (text) => {
        fc.pre(text.isWellFormed());
        equal(new XmlReader(await parse(`<Delete>${element("Key", text)}</Delete>`)).text("Key"), text);
      }),
      { numRuns: 500 },
    );
  });

  test("an error's document", async () => {
    const xml = renderErrorXml(
      { code: "NoSuchKey", message: "The specified key <does> not exist.", elements: [["Key", "a&b"]] },
      { resource: "/b/a%26b", requestId: "1234", hostId: "h" },
    );
    const reader = new XmlReader(await parse(xml, "Error"));
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

test("any document at all: an element or MalformedXML", async () => {
  const piece = fc.constantFrom(
    ..."<Delete> </Delete> <a> </a> <a/> <![CDATA[ ]]> <!-- --> <? ?> & &amp; &#0; &#x; ' \" = a=\"1\" xmlns:x='y' < > / ! <!DOCTYPE [ ] \u0000 é toString constructor".split(
      " ",
    ),
    " ",
    "<__proto__>",
    "]]>",
  );
  await fc.assert(
    fc.asyncProperty(fc.array(piece, { maxLength: 15 }), fc.boolean(), async (parts, wrapped) => {
      const text = wrapped ? `<Delete>${parts.join("")}</Delete>` : parts.join("");
      try {
        const root = await parse(text);
        equal(root.name, "Delete");
      } catch (error) {
        malformed(error);
      }
    }),
    { numRuns: 3000 },
  );
});
