import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { content } from "../process/support/content.ts";
import { freePort } from "../process/support/ports.ts";
import { waitFor } from "../process/support/wait-for.ts";
import { Background } from "./background.ts";
import type { Client } from "./client.ts";
import { goProgram } from "./sources.ts";

const BUCKET = "registry-bucket";
const MANIFEST = "application/vnd.oci.image.manifest.v1+json";

/** The distribution registry with its driver s3; what `docker push` and `pull` do is spoken to it by hand. */
export const registry: Client = {
  name: "registry",
  source: goProgram("github.com/distribution/distribution/v3", "v3.1.2", "/cmd/registry"),
  slow: true,
  steps: ({ daemon, s3, folder, must, installed }) => {
    const program = join(installed, "registry");
    const config = join(folder, "config.yml");
    const layers = [
      content(1, 5_000),
      content(2, 7_000_000),
      content(3, 300),
      Buffer.concat([content(4, 8_000_000), content(5, 8_000_000), content(6, 8_000_000)]),
    ];
    let serving: Background | undefined;
    let at = "";
    const http = async (method: string, path: string, status: number, options: RequestInit = {}): Promise<Response> => {
      const answer = await fetch(path.startsWith("http") ? path : `${at}${path}`, { method, ...options });
      if (answer.status !== status)
        throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}\n${serving?.log().slice(-3000)}`);
      return answer;
    };
    const digestOf = (data: Uint8Array): string => `sha256:${createHash("sha256").update(data).digest("hex")}`;
    /** As docker does it: begins an upload, sends pieces, closes it with the digest. */
    const push = async (data: Buffer, piece: number): Promise<void> => {
      let location = (await http("POST", "/v2/images/app/blobs/uploads/", 202)).headers.get("location") as string;
      for (let from = 0; from < data.length; from += piece) {
        const part = data.subarray(from, from + piece);
        const headers = { "content-type": "application/octet-stream", "content-range": `${from}-${from + part.length - 1}` };
        location = (await http("PATCH", location, 202, { body: new Uint8Array(part), headers })).headers.get(
          "location",
        ) as string;
      }
      await http("PUT", `${location}&digest=${digestOf(data)}`, 201);
    };
    const manifestOf = (of: readonly Buffer[]): string => {
      const entry = (data: Buffer, mediaType: string) => ({ mediaType, size: data.length, digest: digestOf(data) });
      return JSON.stringify({
        schemaVersion: 2,
        mediaType: MANIFEST,
        config: entry(of[0] as Buffer, "application/vnd.oci.image.config.v1+json"),
        layers: of.slice(1).map((layer) => entry(layer, "application/vnd.oci.image.layer.v1.tar")),
      });
    };
    const serve = async (): Promise<void> => {
      serving = new Background(
        [program, "serve", config],
        folder,
        { OTEL_TRACES_EXPORTER: "none", PATH: process.env["PATH"] ?? "" },
        "log",
      );
      await waitFor("the registry answers", async () => (await fetch(`${at}/v2/`)).ok);
    };
    return [
      {
        name: "start",
        async run() {
          await s3.must("PUT", `/${BUCKET}`);
          const port = await freePort(daemon.host);
          at = `http://${daemon.host}:${port}`;
          const driver = {
            accesskey: daemon.keyId,
            secretkey: daemon.secret,
            region: "garage",
            regionendpoint: daemon.endpoint,
            forcepathstyle: true,
            secure: false,
            bucket: BUCKET,
            rootdirectory: "/registry",
            chunksize: 5_242_880,
          };
          const storage = { s3: driver, delete: { enabled: true }, redirect: { disable: true } };
          writeFileSync(config, JSON.stringify({ version: "0.1", storage, http: { addr: `${daemon.host}:${port}` } }));
          await serve();
        },
      },
      {
        name: "push",
        async run() {
          for (const layer of layers) await push(layer, 6_000_000);
          await http("PUT", "/v2/images/app/manifests/v1", 201, {
            body: manifestOf(layers),
            headers: { "content-type": MANIFEST },
          });
          assert.deepEqual(await (await http("GET", "/v2/images/app/tags/list", 200)).json(), {
            name: "images/app",
            tags: ["v1"],
          });
        },
      },
      {
        name: "pull, also after a restart",
        async run() {
          for (const again of [false, true]) {
            if (again) {
              await serving?.stop();
              await serve();
            }
            const manifest = await (
              await http("GET", "/v2/images/app/manifests/v1", 200, { headers: { accept: MANIFEST } })
            ).text();
            assert.equal(manifest, manifestOf(layers));
            for (const layer of layers) {
              const back = Buffer.from(await (await http("GET", `/v2/images/app/blobs/${digestOf(layer)}`, 200)).arrayBuffer());
              assert.ok(back.equals(layer), "other bytes");
            }
          }
          const range = await http("GET", `/v2/images/app/blobs/${digestOf(layers[1] as Buffer)}`, 206, {
            headers: { range: "bytes=100-199" },
          });
          assert.ok(Buffer.from(await range.arrayBuffer()).equals((layers[1] as Buffer).subarray(100, 200)));
        },
      },
      {
        name: "catalogue",
        async run() {
          assert.deepEqual(await (await http("GET", "/v2/_catalog", 200)).json(), { repositories: ["images/app"] });
        },
      },
      {
        name: "delete and collect",
        async run() {
          const two = layers.slice(0, 2);
          await http("PUT", "/v2/images/app/manifests/v2", 201, { body: manifestOf(two), headers: { "content-type": MANIFEST } });
          await http("DELETE", `/v2/images/app/manifests/${digestOf(Buffer.from(manifestOf(layers)))}`, 202);
          await serving?.stop();
          await must([program, "garbage-collect", "--delete-untagged", config]);
          const blobs = (await s3.list(BUCKET, "registry/docker/registry/v2/blobs/")).map(({ key }) => key);
          const stays = (data: Buffer): boolean => blobs.some((key) => key.includes(digestOf(data).slice("sha256:".length)));
          assert.deepEqual(layers.map(stays), [true, true, false, false]);
          await serve();
          await http("GET", "/v2/images/app/manifests/v2", 200, { headers: { accept: MANIFEST } });
          await serving?.stop();
        },
      },
    ];
  },
};
