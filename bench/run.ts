// `npm run bench`: what each operation of a real daemon costs, driven by wrk with requests that were signed beforehand (so the client costs little).
//   npm run bench                         all cases            npm run bench -- put-1k get-4k      only these
//   npm run bench -- --seconds 5          length of each case  npm run bench -- --list             the names
//   npm run bench -- --compare REV        this tree and another revision in turn; prints ratios (noise of the machine cancels out)
// Prints per case: operations/s, MB/s, p50 and p99, server CPU-µs per operation, fsyncs per operation; idle and peak RSS at the end.
// Appends a line per run to bench/history.jsonl.
import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process";
import { appendFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join, resolve } from "node:path";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { type SigningIdentity, signRequest, UNSIGNED } from "../test/support/sign.ts";

interface Case {
  readonly name: string;
  readonly method: "PUT" | "GET" | "HEAD" | "DELETE" | "LIST";
  readonly sizeBytes: number;
  readonly clients: number;
}

const KI = 1024;
const SIZES: readonly [string, number][] = [
  ["1k", KI],
  ["4k", 4 * KI],
  ["64k", 64 * KI],
  ["1m", KI * KI],
  ["64m", 64 * KI * KI],
];
const CASES: readonly Case[] = [
  ...SIZES.flatMap(([label, sizeBytes]) =>
    (sizeBytes >= 64 * KI * KI ? [1, 2] : sizeBytes >= KI * KI ? [1, 8, 16] : [1, 16, 64]).flatMap((clients) => [
      { name: `put-${label}-${clients}`, method: "PUT" as const, sizeBytes, clients },
      { name: `get-${label}-${clients}`, method: "GET" as const, sizeBytes, clients },
    ]),
  ),
  ...[1, 16, 64].flatMap((clients) => [
    { name: `head-${clients}`, method: "HEAD" as const, sizeBytes: 4 * KI, clients },
    { name: `delete-${clients}`, method: "DELETE" as const, sizeBytes: KI, clients },
  ]),
  { name: "list-1", method: "LIST", sizeBytes: 0, clients: 1 },
  { name: "list-4", method: "LIST", sizeBytes: 0, clients: 4 },
  { name: "list-prefixes-1", method: "LIST", sizeBytes: 0, clients: 1 },
];

const LISTED_KEYS = 100_000;
const PREFIXES = 1000;
const PAGE = 1000;
const BUCKET = "bench";
const DELETES = 20_000;
const BY_HAND = 128;

interface Figures {
  readonly operations: number;
  readonly perSecond: number;
  readonly megabytesPerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly cpuMicros: number;
  readonly fsyncsPerOperation: number | undefined;
  readonly errors: number;
}

const flags = parseFlags(process.argv.slice(2));
const work = mkdtempSync(join(tmpdir(), "hangar-bench-"));
process.on("exit", () => rmSync(work, { recursive: true, force: true }));
process.on("SIGINT", () => process.exit(130));

async function single(): Promise<void> {
  const daemon = await Daemon.start(resolve("."));
  try {
    console.log(`idle RSS (second start): ${mib(daemon.idleRss)} MiB`);
    console.log(header());
    const results: Record<string, Figures> = {};
    for (const one of chosen()) {
      const figures = await daemon.run(one);
      results[one.name] = figures;
      console.log(row(one.name, figures));
    }
    const peakRss = daemon.status("VmHWM");
    console.log(`peak RSS: ${mib(peakRss)} MiB`);
    const revision = execFileSync("git", ["describe", "--always", "--dirty"], { encoding: "utf8" }).trim();
    const line = {
      date: new Date().toISOString(),
      revision,
      cpu: cpus()[0]?.model,
      cores: cpus().length,
      idleRss: daemon.idleRss,
      peakRss,
      results,
    };
    appendFileSync("bench/history.jsonl", `${JSON.stringify(line)}\n`);
  } finally {
    await daemon.stop();
  }
}

/** Both revisions run side by side, case by case in turn, so that a slow minute of the machine hits both. */
async function compare(revision: string): Promise<void> {
  const other = join(work, "other");
  execFileSync("git", ["worktree", "add", "--detach", other, revision], { stdio: "ignore" });
  try {
    if (!existsSync(join(other, "node_modules"))) symlinkSync(resolve("node_modules"), join(other, "node_modules"));
    const mine = await Daemon.start(resolve("."));
    const theirs = await Daemon.start(other);
    console.log(
      `${"case".padEnd(18)} ${"rate".padStart(8)} ${"CPU/op".padStart(8)} ${"p99".padStart(8)}   this tree : ${revision}`,
    );
    for (const one of chosen()) {
      const rates: number[] = [];
      const costs: number[] = [];
      const tails: number[] = [];
      for (let round = 0; round < 3; round++) {
        const [a, b] =
          round % 2 === 0
            ? [await mine.run(one), await theirs.run(one)]
            : await Promise.resolve(theirs.run(one)).then(async (b) => [await mine.run(one), b] as const);
        rates.push(a.perSecond / b.perSecond);
        costs.push(a.cpuMicros / b.cpuMicros);
        tails.push(a.p99Ms / b.p99Ms);
      }
      console.log(
        `${one.name.padEnd(18)} ${median(rates).toFixed(2).padStart(8)} ${median(costs).toFixed(2).padStart(8)} ${median(tails).toFixed(2).padStart(8)}`,
      );
    }
    await mine.stop();
    await theirs.stop();
  } finally {
    execFileSync("git", ["worktree", "remove", "--force", other], { stdio: "ignore" });
  }
}

class Daemon {
  readonly #child: ChildProcess;
  readonly #endpoint: string;
  readonly #identity: SigningIdentity;
  idleRss = 0;
  #round = 0;
  #bodies = 0;
  #listed = false;

  private constructor(child: ChildProcess, endpoint: string, identity: SigningIdentity) {
    this.#child = child;
    this.#endpoint = endpoint;
    this.#identity = identity;
  }

  /** Starts twice, so that the compile cache is warm as on every start but the first. */
  static async start(tree: string): Promise<Daemon> {
    const folder = mkdtempSync(join(work, "store-"));
    const port = 20_000 + (process.pid % 20_000) + Math.floor(performance.now() % 997);
    const identity: SigningIdentity = { keyId: `GK${"b".repeat(24)}`, secret: "5".repeat(64), region: "garage" };
    const file = join(folder, "hangar.toml");
    writeFileSync(
      file,
      `metadata_dir = "${folder}/meta"\ndata_dir = "${folder}/data"\nreplication_factor = 1\nrpc_bind_addr = "127.0.0.1:${port + 1}"\nrpc_secret = "${"ab".repeat(32)}"\n[s3_api]\napi_bind_addr = "127.0.0.1:${port}"\ns3_region = "garage"\n`,
    );
    let daemon: Daemon | undefined;
    for (let start = 0; start < 2; start++) {
      await daemon?.stop();
      const child = spawn(join(tree, "bin/hangar"), ["-c", file, "server", "--single-node", "--default-bucket"], {
        stdio: ["ignore", "ignore", "inherit"],
        env: {
          ...process.env,
          HANGAR_DEFAULT_ACCESS_KEY: identity.keyId,
          HANGAR_DEFAULT_SECRET_KEY: identity.secret,
          HANGAR_DEFAULT_BUCKET: BUCKET,
          NODE_COMPILE_CACHE: join(work, "compile-cache"),
          HANGAR_LOG: "warn",
        },
      });
      daemon = new Daemon(child, `127.0.0.1:${port}`, identity);
      await daemon.#untilReady();
    }
    await sleep(1500);
    (daemon as Daemon).idleRss = (daemon as Daemon).status("VmRSS");
    return daemon as Daemon;
  }

  async #untilReady(): Promise<void> {
    const deadline = performance.now() + 20_000;
    for (;;) {
      try {
        await fetch(`http://${this.#endpoint}/`);
        return;
      } catch {
        if (this.#child.exitCode !== null || performance.now() > deadline) throw new Error("the daemon did not start");
        await sleep(50);
      }
    }
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null) return;
    const gone = new Promise((done) => this.#child.once("exit", done));
    this.#child.kill("SIGTERM");
    await gone;
  }

  /** A field of /proc/PID/status, bytes. */
  status(field: string): number {
    const text = readFileSync(`/proc/${this.#child.pid}/status`, "utf8");
    return 1024 * Number(new RegExp(`^${field}:\\s+(\\d+) kB`, "m").exec(text)?.[1] ?? 0);
  }

  async run(one: Case): Promise<Figures> {
    this.#round++;
    if (one.method === "LIST") await this.#fillList();
    const prefix = `r${this.#round}/`;
    if (one.method === "GET" || one.method === "HEAD") await this.#put(prefix, one.sizeBytes, one.sizeBytes >= KI * KI ? 4 : 64);
    if (one.method === "DELETE") await this.#put(prefix, one.sizeBytes, DELETES);
    const file = this.#requests(one, prefix);
    const figures =
      one.method === "HEAD"
        ? await this.#driveHead(one, file, flags.seconds)
        : await this.#drive(one, file, flags.seconds, false);
    if (one.method === "DELETE" || flags.noFsyncs || one.method === "GET" || one.method === "HEAD" || one.method === "LIST")
      return figures;
    return { ...figures, fsyncsPerOperation: await this.#fsyncs(one, file) };
  }

  /** Writes `count` objects under a prefix. */
  async #put(prefix: string, sizeBytes: number, count: number): Promise<void> {
    const keys = Array.from({ length: count }, (_, at) => `${prefix}${at}`);
    await this.#fill(keys, sizeBytes);
  }

  async #fillList(): Promise<void> {
    if (this.#listed) return;
    this.#listed = true;
    const keys = Array.from(
      { length: LISTED_KEYS },
      (_, at) => `list/${String(at % PREFIXES).padStart(4, "0")}/object-${String(at).padStart(6, "0")}.dat`,
    );
    await this.#fill(keys, 16);
  }

  /** Many by wrk; the last ones by hand, because wrk drops what is under way when it stops. */
  async #fill(keys: readonly string[], sizeBytes: number): Promise<void> {
    const lines = keys.map((key) => this.#line("PUT", key, ""));
    if (keys.length > BY_HAND)
      await this.#drive({ name: "fill", method: "PUT", sizeBytes, clients: 32 }, this.#write("fill", lines), 120, false);
    const body = readFileSync(bodyFile(sizeBytes));
    for (const line of lines.slice(-BY_HAND)) {
      const [method, target, ...fields] = line.split("\t") as [string, string, ...string[]];
      const headers = Object.fromEntries(
        fields.map((field) => field.split(": ") as [string, string]).filter(([name]) => name !== "Host"),
      );
      body.writeUInt32LE(++this.#bodies, 0);
      const answer = await fetch(`http://${this.#endpoint}${target}`, { method, headers, body });
      await answer.arrayBuffer();
      if (answer.status !== 200) throw new Error(`${line.slice(0, 80)}: ${answer.status}`);
    }
  }

  #requests(one: Case, prefix: string): string {
    const lines: string[] = [];
    if (one.method === "LIST") {
      const delimited = one.name.startsWith("list-prefixes");
      // Pages from different places of the listing, so that no page is special.
      for (let at = 0; at < LISTED_KEYS / PAGE; at++) {
        const after = delimited ? "list/" : `list/${String(Math.floor((at * PREFIXES * PAGE) / LISTED_KEYS)).padStart(4, "0")}/`;
        const query = `list-type=2&max-keys=${PAGE}&prefix=list%2F${delimited ? "&delimiter=%2F" : `&start-after=${encodeURIComponent(at < LISTED_KEYS / PAGE - 20 ? after : "list/")}`}`;
        lines.push(this.#line("GET", "", sorted(query)));
      }
    } else {
      const stored = one.method === "GET" || one.method === "HEAD";
      const count = stored
        ? one.sizeBytes >= KI * KI
          ? 4
          : 64
        : one.method === "DELETE"
          ? DELETES
          : one.sizeBytes >= KI * KI
            ? 64
            : 20_000;
      for (let at = 0; at < count; at++) lines.push(this.#line(one.method, `${prefix}${at}`, ""));
    }
    return this.#write("run", lines);
  }

  #line(method: string, key: string, query: string): string {
    const host = this.#endpoint;
    const target = `/${BUCKET}${key === "" ? "" : `/${key}`}${query === "" ? "" : `?${query}`}`;
    const signed = signRequest(this.#identity, {
      method,
      target,
      headers: ["Host", host],
      payload: UNSIGNED,
      timeMs: Date.now(),
    });
    const headers: string[] = [];
    for (let i = 0; i < signed.headers.length; i += 2) headers.push(`${signed.headers[i]}: ${signed.headers[i + 1]}`);
    return [method, target, ...headers].join("\t");
  }

  #write(name: string, lines: readonly string[]): string {
    const file = join(work, `${name}-${this.#round}-${this.#child.pid}.txt`);
    writeFileSync(file, lines.join("\n"));
    return file;
  }

  /** HEAD by `ab`: wrk waits for the body that Content-Length announces. */
  async #driveHead(one: Case, file: string, seconds: number): Promise<Figures> {
    const [, target, ...headers] = (readFileSync(file, "utf8").split("\n")[0] as string).split("\t") as [
      string,
      string,
      ...string[],
    ];
    const options = headers.filter((header) => !header.startsWith("Host")).flatMap((header) => ["-H", header]);
    const before = this.#cpuMicros();
    const output = execFileSync(
      "ab",
      [
        "-q",
        "-i",
        "-k",
        "-t",
        String(seconds),
        "-n",
        "10000000",
        "-c",
        String(one.clients),
        ...options,
        `http://${this.#endpoint}${target}`,
      ],
      { encoding: "utf8", maxBuffer: 1 << 24 },
    );
    const cpu = this.#cpuMicros() - before;
    const figure = (pattern: RegExp): number => Number(pattern.exec(output)?.[1] ?? Number.NaN);
    const operations = figure(/Complete requests:\s+(\d+)/);
    return {
      operations,
      perSecond: figure(/Requests per second:\s+([\d.]+)/),
      megabytesPerSecond: 0,
      p50Ms: figure(/\s50%\s+(\d+)/),
      p99Ms: figure(/\s99%\s+(\d+)/),
      cpuMicros: cpu / operations,
      fsyncsPerOperation: undefined,
      errors: figure(/Non-2xx responses:\s+(\d+)/) || 0,
    };
  }

  async #drive(one: Case, file: string, seconds: number, repeatsAlways: boolean): Promise<Figures> {
    const body = one.method === "PUT" ? bodyFile(one.sizeBytes) : "-";
    const filling = one.name.startsWith("fill");
    const repeats = repeatsAlways || (!filling && one.method !== "DELETE") ? "1" : "0";
    const before = this.#cpuMicros();
    const started = performance.now();
    const output = await new Promise<string>((done, fail) => {
      const child = spawn(
        "wrk",
        [
          "-t",
          "1",
          "-c",
          String(one.clients),
          "-d",
          `${seconds}s`,
          "--timeout",
          "60s",
          "-s",
          resolve("bench/requests.lua"),
          `http://${this.#endpoint}/`,
          "--",
          file,
          body,
          repeats,
          String(++this.#bodies),
        ],
        { stdio: ["ignore", "pipe", "inherit"] },
      );
      let text = "";
      child.stdout.on("data", (piece) => {
        text += piece;
      });
      child.on("error", fail);
      child.on("exit", () => done(text));
    });
    const elapsed = (performance.now() - started) / 1000;
    const cpu = this.#cpuMicros() - before;
    const match = /^RESULT (\d+) (\d+) (\d+) (\d+) ([\d.]+) ([\d.]+)$/m.exec(output);
    if (!match) throw new Error(`wrk said:\n${output}`);
    const [requests, bytes, micros, errors, p50, p99] = match.slice(1).map(Number) as [
      number,
      number,
      number,
      number,
      number,
      number,
    ];
    if (errors > 0) console.error(`${one.name}: ${errors} requests failed`);
    const took = repeats === "1" ? micros / 1e6 : Math.min(elapsed, micros / 1e6);
    return {
      operations: requests,
      perSecond: requests / took,
      megabytesPerSecond: (one.method === "LIST" ? bytes : requests * one.sizeBytes) / took / 1e6,
      p50Ms: p50,
      p99Ms: p99,
      cpuMicros: cpu / Math.max(1, requests),
      fsyncsPerOperation: undefined,
      errors,
    };
  }

  /** A second, shorter run under strace: it slows the daemon, so only the counts are taken from it. */
  async #fsyncs(one: Case, file: string): Promise<number | undefined> {
    if (spawnSync("strace", ["-V"]).status !== 0) return undefined;
    const counts = join(work, "fsyncs.txt");
    const tracer = spawn(
      "strace",
      ["-f", "-c", "-o", counts, "-e", "trace=fsync,fdatasync,msync", "-p", String(this.#child.pid)],
      { stdio: "ignore" },
    );
    await sleep(500);
    const { operations } = await this.#drive(one, file, 2, true);
    const gone = new Promise((done) => tracer.once("exit", done));
    tracer.kill("SIGINT");
    await gone;
    const total = readFileSync(counts, "utf8")
      .split("\n")
      .filter((line) => /\b(fsync|fdatasync|msync)$/.test(line))
      .reduce((sum, line) => sum + Number(line.trim().split(/\s+/)[3]), 0);
    return operations === 0 ? undefined : total / operations;
  }

  #cpuMicros(): number {
    const fields = readFileSync(`/proc/${this.#child.pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
    // utime and stime, in ticks of 10 ms.
    return (Number(fields[11]) + Number(fields[12])) * 10_000;
  }
}

function bodyFile(sizeBytes: number): string {
  const file = join(work, `body-${sizeBytes}`);
  if (!existsSync(file)) {
    mkdirSync(work, { recursive: true });
    // Bytes that don't compress, and no two equal blocks in one body.
    const bytes = Buffer.alloc(sizeBytes);
    let state = 0x9e3779b9;
    for (let at = 0; at + 4 <= sizeBytes; at += 4) {
      state = (Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x9e3779b9) | 0;
      bytes.writeInt32LE(state, at);
    }
    writeFileSync(file, bytes);
  }
  return file;
}

function sorted(query: string): string {
  return query.split("&").sort().join("&");
}

function chosen(): readonly Case[] {
  return flags.words.length === 0 ? CASES : CASES.filter((one) => flags.words.some((word) => one.name.startsWith(word)));
}

function parseFlags(args: readonly string[]): {
  words: string[];
  seconds: number;
  list: boolean;
  compare: string | undefined;
  noFsyncs: boolean;
} {
  const words: string[] = [];
  let seconds = 5;
  let compareWith: string | undefined;
  for (let at = 0; at < args.length; at++) {
    if (args[at] === "--seconds") seconds = Number(args[++at]);
    else if (args[at] === "--compare") compareWith = args[++at];
    else if (!args[at]?.startsWith("--")) words.push(args[at] as string);
  }
  return {
    words,
    seconds,
    list: args.includes("--list"),
    compare: compareWith,
    noFsyncs: args.includes("--no-fsyncs") || compareWith !== undefined,
  };
}

function header(): string {
  return `${"case".padEnd(18)} ${"ops/s".padStart(9)} ${"MB/s".padStart(8)} ${"p50 ms".padStart(8)} ${"p99 ms".padStart(8)} ${"CPU-µs/op".padStart(10)} ${"fsyncs/op".padStart(10)}`;
}

function row(name: string, f: Figures): string {
  return `${name.padEnd(18)} ${f.perSecond.toFixed(0).padStart(9)} ${f.megabytesPerSecond.toFixed(1).padStart(8)} ${f.p50Ms.toFixed(2).padStart(8)} ${f.p99Ms.toFixed(2).padStart(8)} ${f.cpuMicros.toFixed(0).padStart(10)} ${(f.fsyncsPerOperation?.toFixed(2) ?? "").padStart(10)}`;
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}

function mib(bytes: number): string {
  return (bytes / 2 ** 20).toFixed(0);
}

if (flags.list) for (const one of CASES) console.log(one.name);
else if (flags.compare !== undefined) await compare(flags.compare);
else await single();
