// Real S3 clients against a real daemon: `npm run test:clients`. One line for each client and step, then "N passed, N failed".
//   npm run test:clients -- rclone s3fs     only these clients
//   npm run test:clients -- --all           those too that take long or need a toolchain that Debian does not have
//   HANGAR_KEEP=1                           keeps the daemon's folder
//   HANGAR_CLIENTS_CACHE=FOLDER             where clients are installed (~/.cache/hangar-clients)
import { closeSync, mkdirSync, openSync, writeFileSync, writeSync } from "node:fs";
import { dirname, join } from "node:path";
import { content } from "../process/support/content.ts";
import { Daemon } from "../process/support/daemon.ts";
import { cleanEnvironment } from "../process/support/run-program.ts";
import { removeScratch, scratchDirectory } from "../process/support/scratch.ts";
import { awscli } from "./aws.ts";
import { barman } from "./barman.ts";
import { boto3 } from "./boto3.ts";
import { AWKWARD_NAMES, type Client, type Kit, makeMust, type SampleFiles } from "./client.ts";
import { javaSdk, s3a } from "./java.ts";
import { litestream } from "./litestream.ts";
import { minioGo } from "./minio-go.ts";
import { pgbackrest } from "./pgbackrest.ts";
import { chdb, deltalake, duckdb, obstore, polars, pyarrow, pyiceberg } from "./python-client.ts";
import { newestRclone, rclone } from "./rclone.ts";
import { registry } from "./registry.ts";
import { newestRestic, restic } from "./restic.ts";
import { s3cmd } from "./s3cmd.ts";
import { s5cmd } from "./s5cmd.ts";
import { s3fs } from "./s3fs.ts";
import { tofu } from "./tofu.ts";

const CLIENTS: readonly Client[] = [
  ...[awscli, s3cmd, rclone, boto3, restic, s3fs],
  ...[pyarrow, deltalake, obstore, polars, duckdb, s5cmd, javaSdk, pgbackrest],
  ...[pyiceberg, chdb, s3a, barman, minioGo, litestream, registry, tofu, newestRclone, newestRestic],
];
const BIG_BYTES = 200_000_000;
const MANY = 2500;

const everything = process.argv.includes("--all");
const wanted = process.argv.slice(2).filter((word) => !word.startsWith("-"));
/** Steps that have not begun by then fail: what CI runs may not grow without being noticed. */
const DEADLINE_MS = everything || wanted.length > 0 ? 5_400_000 : 900_000;
const unknown = wanted.filter((name) => !CLIENTS.some((client) => client.name === name));
if (unknown.length > 0)
  throw new Error(`no such client: ${unknown.join(" ")}; there are ${CLIENTS.map(({ name }) => name).join(" ")}`);
const clients = CLIENTS.filter((client) => (wanted.length > 0 ? wanted.includes(client.name) : everything || !client.slow));
let passed = 0;
let failed = 0;

const installations = installInTurn();
const home = scratchDirectory();
const daemon = await Daemon.run();
try {
  const files = sampleFiles(home);
  const many = await manyKeys();
  for (const client of clients) await drive(client, files, many);
} finally {
  if (failed > 0) console.log(`--- the daemon's log, its end\n${daemon.log().split("\n").slice(-40).join("\n")}`);
  await daemon.dispose();
  removeScratch(home);
}
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 && passed > 0 ? 0 : 1;

async function drive(client: Client, files: SampleFiles, many: Kit["many"]): Promise<void> {
  const installed = await installations.get(client);
  if (installed === undefined || "missing" in installed) {
    // What only `--all` runs may lack its toolchain; what was asked for, and what every run tries, may not.
    const left = client.slow === true && wanted.length === 0;
    if (!left) failed++;
    console.log(`${left ? "SKIP" : "FAIL"} ${client.name}: could not be installed: ${installed?.missing}`);
    return;
  }
  const folder = join(home, client.name);
  mkdirSync(folder);
  const must = makeMust(folder, clientEnvironment(folder));
  for (const step of client.steps({ daemon, installed: installed.path, s3: daemon.s3, folder, files, many, must })) {
    const line = `${client.name}: ${step.name}`;
    const began = performance.now();
    try {
      if (began > DEADLINE_MS) throw new Error("out of time");
      const skipped = await step.run();
      if (typeof skipped === "string") {
        console.log(`SKIP ${line}: ${skipped}`);
        continue;
      }
      passed++;
      console.log(`PASS ${line} (${((performance.now() - began) / 1000).toFixed(1)} s)`);
    } catch (error) {
      failed++;
      console.log(`FAIL ${line}\n${indent((error as Error).message)}`);
    }
  }
}

/** Installs one after the other while clients that are there already work. */
function installInTurn(): Map<Client, Promise<{ readonly path: string } | { readonly missing: string }>> {
  const turns = new Map<Client, Promise<{ readonly path: string } | { readonly missing: string }>>();
  let before: Promise<unknown> = Promise.resolve();
  for (const client of clients) {
    const turn = before.then(async () => {
      const began = performance.now();
      try {
        const path = await client.source.install();
        const seconds = (performance.now() - began) / 1000;
        if (seconds > 1) console.log(`     ${client.name}: installed in ${seconds.toFixed(0)} s`);
        return { path };
      } catch (error) {
        return { missing: (error as Error).message };
      }
    });
    turns.set(client, turn);
    before = turn;
  }
  return turns;
}

/** Nothing of the user's own settings, and the S3 keys that most clients look for. */
function clientEnvironment(folder: string): Record<string, string> {
  const env = cleanEnvironment({
    HOME: folder,
    XDG_CONFIG_HOME: join(folder, ".config"),
    XDG_CACHE_HOME: join(folder, ".cache"),
    AWS_ACCESS_KEY_ID: daemon.keyId,
    AWS_SECRET_ACCESS_KEY: daemon.secret,
    AWS_DEFAULT_REGION: "garage",
    AWS_EC2_METADATA_DISABLED: "true",
    AWS_PAGER: "",
    LC_ALL: "C.UTF-8",
    PYTHONDONTWRITEBYTECODE: "1",
  });
  for (const name of Object.keys(env)) if (/_proxy$/i.test(name)) delete env[name];
  return env;
}

function sampleFiles(folder: string): SampleFiles {
  const small = join(folder, "small");
  const empty = join(folder, "empty");
  const big = join(folder, "big");
  const tree = join(folder, "tree");
  writeFileSync(small, content(1, 10_000));
  writeFileSync(empty, "");
  const file = openSync(big, "w");
  for (let at = 0, number = 2; at < BIG_BYTES; at += 4_000_000, number++) writeSync(file, content(number, 4_000_000));
  closeSync(file);
  const names = Array.from({ length: 40 - AWKWARD_NAMES.length }, (_, at) => `level-${at % 3}/below/file-${at}`);
  const treeNames = [...names, ...AWKWARD_NAMES.map((name) => `awk ward+/${name}`)].sort();
  for (const [at, name] of treeNames.entries()) {
    mkdirSync(dirname(join(tree, name)), { recursive: true });
    writeFileSync(join(tree, name), content(1000 + at, at * 3000));
  }
  return { small, empty, big, bigBytes: BIG_BYTES, tree, treeNames };
}

async function manyKeys(): Promise<Kit["many"]> {
  const bucket = "many-keys";
  const { s3 } = daemon;
  await s3.must("PUT", `/${bucket}`);
  const keys = Array.from(
    { length: MANY },
    (_, at) => `folder ${String(at % 25).padStart(2, "0")}/key+${String(at).padStart(4, "0")}`,
  ).sort();
  const next = keys[Symbol.iterator]();
  await Promise.all(
    Array.from({ length: 16 }, async () => {
      for (const key of next) await s3.put(bucket, key, Buffer.from(key));
    }),
  );
  return { bucket, keys };
}

function indent(text: string): string {
  return text.replace(/^/gm, "     ");
}
