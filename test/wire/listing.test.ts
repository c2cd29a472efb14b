// Listings of 2,500 keys, paged in every way, against what a plain sort of the same keys gives.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { ListObjectsCommand, ListObjectsV2Command, type S3Client } from "@aws-sdk/client-s3";
import { ask, type Reply } from "../support/request.ts";
import { sdkClient } from "../support/sdk.ts";
import type { S3TestServer } from "../support/server.ts";
import { encode, encodeKey } from "../support/sign.ts";
import { startServer } from "../support/start.ts";

const byBytes = (a: string, b: string): number => Buffer.compare(Buffer.from(a), Buffer.from(b));
const KEYS = [
  ...Array.from({ length: 1200 }, (_, i) => `data/${String(i % 40).padStart(2, "0")}/file-${i}`),
  ...Array.from({ length: 600 }, (_, i) => `flat-${i}`),
  ...Array.from({ length: 400 }, (_, i) => `deep/${"x/".repeat(i % 7)}${i}`),
  ...Array.from({ length: 200 }, (_, i) => `dash--part--${i % 20}--${i}`),
  ...Array.from({ length: 100 }, (_, i) => `ünï/😀 ${i} + % & <>`),
].sort(byBytes);

interface Listed {
  readonly keys: string[];
  readonly prefixes: string[];
}

function expected(prefix: string, delimiter: string): Listed {
  const keys: string[] = [];
  const prefixes = new Set<string>();
  for (const key of KEYS) {
    if (!key.startsWith(prefix)) continue;
    const at = delimiter === "" ? -1 : key.indexOf(delimiter, prefix.length);
    if (at < 0) keys.push(key);
    else prefixes.add(key.slice(0, at + delimiter.length));
  }
  return { keys, prefixes: [...prefixes] };
}

describe("listings", () => {
  let server: S3TestServer;
  let s3: S3Client;
  before(async () => {
    server = await startServer();
    s3 = sdkClient(server);
    await ask(server, { method: "PUT", target: "/lists" });
    let next = 0;
    const work = async (): Promise<void> => {
      while (next < KEYS.length) {
        const reply = await ask(server, { method: "PUT", target: `/lists/${encodeKey(KEYS[next++] as string)}`, body: "x" });
        assert.equal(reply.status, 200, reply.text);
      }
    };
    await Promise.all(Array.from({ length: 32 }, work));
  });
  after(async () => {
    s3.destroy();
    await server.stop();
    assert.deepEqual(server.errors, []);
  });

  const SHAPES = [
    ["", "", 1000],
    ["", "/", 1000],
    ["", "/", 3],
    ["data/", "/", 7],
    ["data/0", "/", 2],
    ["", "--", 50],
    ["deep/", "/", 1],
    ["deep/x/", "x/", 10],
    ["ünï/", "", 13],
    ["ünï/😀", " + ", 5],
    ["flat-", "", 77],
    ["nothing", "/", 10],
  ] as const;

  it("v2: pages by continuation token", async () => {
    for (const [Prefix, Delimiter, MaxKeys] of SHAPES) {
      const found: Listed = { keys: [], prefixes: [] };
      let ContinuationToken: string | undefined;
      do {
        const page = await s3.send(
          new ListObjectsV2Command({
            Bucket: "lists",
            Prefix,
            MaxKeys,
            ...(Delimiter && { Delimiter }),
            ...(ContinuationToken && { ContinuationToken }),
          }),
        );
        const count = (page.Contents?.length ?? 0) + (page.CommonPrefixes?.length ?? 0);
        assert.equal(page.KeyCount, count);
        assert.ok(count <= MaxKeys);
        assert.equal(page.IsTruncated, page.NextContinuationToken !== undefined);
        if (page.IsTruncated === true) assert.equal(count, MaxKeys, "a truncated page is full");
        found.keys.push(...(page.Contents ?? []).map((entry) => entry.Key as string));
        found.prefixes.push(...(page.CommonPrefixes ?? []).map((entry) => entry.Prefix as string));
        ContinuationToken = page.NextContinuationToken;
      } while (ContinuationToken !== undefined);
      assert.deepEqual(found, expected(Prefix, Delimiter), `${Prefix} ${Delimiter} ${MaxKeys}`);
    }
  });

  it("v1: pages by marker; NextMarker only with a delimiter", async () => {
    for (const [Prefix, Delimiter, MaxKeys] of SHAPES) {
      const found: Listed = { keys: [], prefixes: [] };
      let Marker: string | undefined;
      for (;;) {
        const page = await s3.send(
          new ListObjectsCommand({
            Bucket: "lists",
            Prefix,
            MaxKeys,
            ...(Delimiter && { Delimiter }),
            ...(Marker && { Marker }),
          }),
        );
        found.keys.push(...(page.Contents ?? []).map((entry) => entry.Key as string));
        found.prefixes.push(...(page.CommonPrefixes ?? []).map((entry) => entry.Prefix as string));
        if (page.IsTruncated !== true) break;
        assert.equal(page.NextMarker !== undefined, Delimiter !== "");
        Marker = page.NextMarker ?? page.Contents?.at(-1)?.Key;
      }
      assert.deepEqual(found, expected(Prefix, Delimiter), `${Prefix} ${Delimiter} ${MaxKeys}`);
    }
  });

  it("versions: the same keys, paged by both markers", async () => {
    const keys: string[] = [];
    let markers = "";
    for (;;) {
      const page = await ask(server, { target: `/lists?encoding-type=url&max-keys=333${markers}&versions=` });
      keys.push(
        ...[...page.text.matchAll(/<Version><Key>([^<]*)<\/Key><VersionId>null</g)].map((match) =>
          decodeURIComponent(match[1] ?? ""),
        ),
      );
      const next = /<NextKeyMarker>([^<]*)</.exec(page.text)?.[1];
      if (next === undefined) break;
      markers = `&key-marker=${next.replaceAll("/", "%2F")}&version-id-marker=null`;
    }
    assert.deepEqual(keys, KEYS);
  });

  it("start-after and marker begin behind any text", async () => {
    for (const after of ["", "data/05/file-1005", "data/", "f", "flat-599", "zzz", "ünï/😀 5"]) {
      const want = KEYS.filter((key) => byBytes(key, after) > 0).slice(0, 20);
      const two = await s3.send(new ListObjectsV2Command({ Bucket: "lists", StartAfter: after, MaxKeys: 20 }));
      assert.deepEqual(
        (two.Contents ?? []).map((entry) => entry.Key),
        want,
        after,
      );
      const one = await s3.send(new ListObjectsCommand({ Bucket: "lists", Marker: after, MaxKeys: 20 }));
      assert.deepEqual(
        (one.Contents ?? []).map((entry) => entry.Key),
        want,
        after,
      );
    }
  });

  it("encoding-type=url encodes keys, prefixes and markers", async () => {
    const reply = await ask(server, {
      target: `/lists?delimiter=${encode(" + ")}&encoding-type=url&max-keys=1&prefix=${encode("ünï/")}`,
    });
    assert.match(reply.text, /<Prefix>%C3%BCn%C3%AF\/<\/Prefix>/);
    assert.match(reply.text, /<Delimiter>%20%2B%20<\/Delimiter>/);
    assert.match(reply.text, /<EncodingType>url<\/EncodingType>/);
    assert.match(reply.text, /<CommonPrefixes><Prefix>%C3%BCn%C3%AF\/%F0%9F%98%80%200%20%2B%20<\/Prefix>/);
    assert.match(reply.text, /<NextMarker>%C3%BCn%C3%AF\/%F0%9F%98%80%200%20%2B%20<\/NextMarker>/);
    assert.equal((await ask(server, { target: "/lists?encoding-type=base64" })).code, "InvalidArgument");
  });

  it("limits and bad parameters", async () => {
    const none = await ask(server, { target: "/lists?list-type=2&max-keys=0" });
    assert.match(none.text, /<KeyCount>0<\/KeyCount><MaxKeys>0<\/MaxKeys><IsTruncated>false</);
    const many = await ask(server, { target: "/lists?list-type=2&max-keys=100000" });
    assert.match(many.text, /<KeyCount>1000<\/KeyCount><MaxKeys>1000<\/MaxKeys><IsTruncated>true</);
    const bad = (query: string): Promise<Reply> => ask(server, { target: `/lists?${query}` });
    for (const query of [
      "max-keys=-1",
      "max-keys=x",
      "list-type=2&max-keys=1.5",
      "list-type=3",
      "continuation-token=abc&list-type=2",
      "version-id-marker=null&versions=",
      "key-marker=a&version-id-marker=b&versions=",
      "max-uploads=x&uploads=",
      "key-marker=k&upload-id-marker=zz&uploads=",
      "prefix=a&prefix=b",
    ])
      assert.equal((await bad(query)).code, "InvalidArgument", query);
  });

  it("shows a write and a delete that were acknowledged before it began (P4)", async () => {
    for (let round = 0; round < 20; round++) {
      const target = `/lists/now/${round}`;
      const listed = async (): Promise<boolean> =>
        (await ask(server, { target: `/lists?list-type=2&prefix=now%2F${round}` })).text.includes(`<Key>now/${round}</Key>`);
      await ask(server, { method: "PUT", target, body: "x" });
      assert.equal(await listed(), true);
      await ask(server, { method: "DELETE", target });
      assert.equal(await listed(), false);
    }
  });
});
