// Drives one daemon through one case: writes what the case reads, signs the requests, lets wrk (ab for HEAD) send them, checks
// what came back.
import { execFile, spawn } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { signRequest, UNSIGNED } from "../test/support/sign.ts";
import { type Case, KI, LISTED_KEYS, MI, PAGE, PREFIXES } from "./cases.ts";
import { BUCKET, type Daemon } from "./daemon.ts";

export interface Figures {
  readonly operations: number;
  readonly perSecond: number;
  /** Bytes of bodies (of answers for LIST), 10⁶ a second. */
  readonly megabytesPerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** CPU of the daemon, all threads, user and system. */
  readonly cpuMicros: number;
  readonly fsyncsPerOperation?: number;
}

export interface DriverOptions {
  /** Folder of the run. */
  readonly work: string;
  readonly seconds: number;
  /** Counts fsyncs in a second, shorter run under strace. */
  readonly fsyncs: boolean;
}

/** What a DELETE case has to delete; more than the clients can send in the default time. */
const DELETES = 30_000;
const DELETES_TRACED = 2000;
/** wrk drops what is under way when it stops, so the last ones are written one by one: more than wrk has connections. */
const BY_HAND = 128;
/** Where wrk puts a mark that makes every block different (requests.lua). */
const MARK_BYTES = 16;

export class Driver {
  readonly #daemon: Daemon;
  readonly #options: DriverOptions;
  #round = 0;
  #seed = 0;
  #listed = false;

  constructor(daemon: Daemon, options: DriverOptions) {
    this.#daemon = daemon;
    this.#options = options;
  }

  /** @throws when an answer was an error or not what was stored. */
  async run(one: Case): Promise<Figures> {
    const prefix = `r${++this.#round}/`;
    const { seconds, fsyncs } = this.#options;
    if (one.method === "LIST") {
      await this.#fillList();
      const file = this.#file(
        "run",
        pages(one).map((query) => this.#line("GET", "", query)),
      );
      const figures = await this.#wrk(one, file, seconds, true);
      await this.#checkPage(pages(one)[0] as string);
      return figures;
    }
    const keys = Array.from({ length: keyCount(one) }, (_, at) => `${prefix}${at}`);
    if (one.method !== "PUT") await this.#fill(keys, one.sizeBytes);
    const file = this.#file(
      "run",
      keys.map((key) => this.#line(one.method, key, "")),
    );
    if (one.method === "HEAD") return this.#ab(one, keys[0] as string, seconds);
    const figures = await this.#wrk(one, file, seconds, one.method !== "DELETE");
    await this.#check(one, keys[0] as string);
    if (!fsyncs || one.method === "GET") return figures;
    return { ...figures, fsyncsPerOperation: await this.#countFsyncs(one, prefix, file) };
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

  async #fill(keys: readonly string[], sizeBytes: number): Promise<void> {
    const put: Case = { name: "fill", method: "PUT", sizeBytes, clients: 32 };
    if (keys.length > BY_HAND) {
      const lines = keys.map((key) => this.#line("PUT", key, ""));
      await this.#wrk(put, this.#file("fill", lines), 300, false);
    }
    for (const key of keys.slice(-BY_HAND)) {
      const body = readFileSync(this.#bodyFile(sizeBytes));
      for (let at = 0; at < sizeBytes; at += MI) body.writeUInt32LE(++this.#seed, at);
      const { status } = await this.#send("PUT", key, "", body);
      if (status !== 200) throw new Error(`PUT of ${key} was answered ${status}`);
    }
  }

  /** One object is what was put, or is gone. */
  async #check(one: Case, key: string): Promise<void> {
    const { status, body } = await this.#send("GET", key, "");
    if (one.method === "DELETE") {
      if (status !== 404) throw new Error(`a deleted object was answered ${status}`);
      return;
    }
    const wanted = readFileSync(this.#bodyFile(one.sizeBytes));
    for (const bytes of [wanted, body]) for (let at = 0; at < bytes.byteLength; at += MI) bytes.fill(0, at, at + MARK_BYTES);
    if (status !== 200 || !body.equals(wanted))
      throw new Error(`${one.name}: GET of what was put was answered ${status} with other bytes`);
  }

  async #checkPage(query: string): Promise<void> {
    const { status, body } = await this.#send("GET", "", query);
    const count = Number(/<KeyCount>(\d+)<\/KeyCount>/.exec(body.toString("utf8"))?.[1]);
    if (status !== 200 || count !== PAGE) throw new Error(`a page was answered ${status} with ${count} entries`);
  }

  async #send(method: string, key: string, query: string, body?: Buffer): Promise<{ status: number; body: Buffer }> {
    const [, target, ...fields] = this.#line(method, key, query).split("\t") as [string, string, ...string[]];
    const headers = Object.fromEntries(fields.map((field) => field.split(": ")).filter(([name]) => name !== "Host"));
    const answer = await fetch(`http://${this.#daemon.endpoint}${target}`, { method, headers, ...(body ? { body } : undefined) });
    return { status: answer.status, body: Buffer.from(await answer.arrayBuffer()) };
  }

  #line(method: string, key: string, query: string): string {
    const target = `/${BUCKET}${key === "" ? "" : `/${key}`}${query === "" ? "" : `?${query}`}`;
    const { headers } = signRequest(this.#daemon.identity, {
      method,
      target,
      headers: ["Host", this.#daemon.endpoint],
      payload: UNSIGNED,
      timeMs: Date.now(),
    });
    const fields: string[] = [];
    for (let i = 0; i < headers.length; i += 2) fields.push(`${headers[i]}: ${headers[i + 1]}`);
    return [method, target, ...fields].join("\t");
  }

  #file(name: string, lines: readonly string[]): string {
    const file = join(this.#options.work, `${name}-${this.#daemon.pid}.txt`);
    writeFileSync(file, lines.join("\n"));
    return file;
  }

  /** Bytes that don't compress. */
  #bodyFile(sizeBytes: number): string {
    const file = join(this.#options.work, `body-${sizeBytes}`);
    if (existsSync(file)) return file;
    const bytes = Buffer.alloc(sizeBytes);
    let state = 0x9e3779b9;
    for (let at = 0; at + 4 <= sizeBytes; at += 4) {
      state = (Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x9e3779b9) | 0;
      bytes.writeInt32LE(state, at);
    }
    writeFileSync(file, bytes);
    return file;
  }

  async #wrk(one: Case, file: string, seconds: number, repeats: boolean): Promise<Figures> {
    const body = one.method === "PUT" ? this.#bodyFile(one.sizeBytes) : "-";
    const script = ["-s", resolve("bench/requests.lua"), `http://${this.#daemon.endpoint}/`];
    const options = ["-t", "1", "-c", String(one.clients), "-d", `${seconds}s`, "--timeout", "60s", ...script];
    const before = this.#daemon.cpuMicros();
    const output = await runUntilUsedUp("wrk", [...options, "--", file, body, repeats ? "1" : "0", String(++this.#seed)]);
    const cpu = this.#daemon.cpuMicros() - before;
    const match = /^RESULT (\d+) (\d+) (\d+) (\d+) ([\d.]+) ([\d.]+)$/m.exec(output);
    if (!match) throw new Error(`wrk said:\n${output}`);
    const [requests, bytes, micros, errors, p50Ms, p99Ms] = match.slice(1).map(Number) as [
      number,
      number,
      number,
      number,
      number,
      number,
    ];
    if (errors > 0) throw new Error(`${one.name}: ${errors} of ${requests} requests failed`);
    if (requests === 0) throw new Error(`${one.name}: no request was answered within ${seconds} s`);
    const took = micros / 1e6;
    return {
      operations: requests,
      perSecond: requests / took,
      megabytesPerSecond: (one.method === "LIST" ? bytes : requests * one.sizeBytes) / took / 1e6,
      p50Ms,
      p99Ms,
      cpuMicros: cpu / requests,
    };
  }

  /** HEAD by ab, always the same key: wrk waits for the body that Content-Length announces. */
  async #ab(one: Case, key: string, seconds: number): Promise<Figures> {
    const { status } = await this.#send("HEAD", key, "");
    if (status !== 200) throw new Error(`HEAD was answered ${status}`);
    const [, target, ...fields] = this.#line("HEAD", key, "").split("\t") as [string, string, ...string[]];
    const headers = fields.filter((field) => !field.startsWith("Host")).flatMap((field) => ["-H", field]);
    const options = ["-q", "-i", "-k", "-t", String(seconds), "-n", "10000000", "-c", String(one.clients), ...headers];
    const before = this.#daemon.cpuMicros();
    const output = await run("ab", [...options, `http://${this.#daemon.endpoint}${target}`]);
    const cpu = this.#daemon.cpuMicros() - before;
    const figure = (pattern: RegExp): number => Number(pattern.exec(output)?.[1] ?? Number.NaN);
    const errors = (figure(/Non-2xx responses:\s+(\d+)/) || 0) + (figure(/Failed requests:\s+(\d+)/) || 0);
    const operations = figure(/Complete requests:\s+(\d+)/);
    if (errors > 0 || !(operations > 0)) throw new Error(`${one.name}: ${errors} of ${operations} requests failed`);
    return {
      operations,
      perSecond: figure(/Requests per second:\s+([\d.]+)/),
      megabytesPerSecond: 0,
      // ab rounds to whole milliseconds.
      p50Ms: figure(/\s50%\s+(\d+)/),
      p99Ms: figure(/\s99%\s+(\d+)/),
      cpuMicros: cpu / operations,
    };
  }

  /** strace slows the daemon, so only the counts are taken from this run. */
  async #countFsyncs(one: Case, prefix: string, file: string): Promise<number> {
    let requests = file;
    if (one.method === "DELETE") {
      const keys = Array.from({ length: DELETES_TRACED }, (_, at) => `${prefix}again/${at}`);
      await this.#fill(keys, one.sizeBytes);
      requests = this.#file(
        "traced",
        keys.map((key) => this.#line(one.method, key, "")),
      );
    }
    const counts = join(this.#options.work, "fsyncs.txt");
    const what = ["-f", "-c", "-o", counts, "-e", "trace=fsync,fdatasync,msync"];
    const tracer = spawn("strace", [...what, "-p", String(this.#daemon.pid)], { stdio: ["ignore", "ignore", "pipe"] });
    const gone = new Promise((done) => tracer.once("exit", done));
    await new Promise((attached) => tracer.stderr.once("data", attached));
    const { operations } = await this.#wrk(one, requests, 2, one.method !== "DELETE");
    await sleep(100);
    tracer.kill("SIGINT");
    await gone;
    const total = readFileSync(counts, "utf8")
      .split("\n")
      .filter((line) => /\b(fsync|fdatasync|msync)$/.test(line))
      .reduce((sum, line) => sum + Number(line.trim().split(/\s+/)[3]), 0);
    return total / operations;
  }
}

function keyCount({ method, sizeBytes }: Case): number {
  if (method === "GET" || method === "HEAD") return sizeBytes >= 64 * MI ? 2 : sizeBytes >= MI ? 32 : 64;
  if (method === "DELETE") return DELETES;
  return sizeBytes >= 64 * KI ? 64 : 20_000;
}

/** Pages from different places of the listing, so that no page is special; common prefixes fit in one. */
function pages({ name }: Case): readonly string[] {
  if (name.startsWith("list-prefixes")) return [`delimiter=%2F&list-type=2&max-keys=${PAGE}&prefix=list%2F`];
  return Array.from({ length: LISTED_KEYS / PAGE }, (_, at) => {
    const folder = String((at * PREFIXES * PAGE) / LISTED_KEYS).padStart(4, "0");
    return `list-type=2&max-keys=${PAGE}&prefix=list%2F&start-after=list%2F${folder}%2F`;
  });
}

/** As `run`; ends wrk when its requests are used up. */
async function runUntilUsedUp(program: string, args: readonly string[]): Promise<string> {
  const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  child.stdout.on("data", (piece) => {
    output += piece;
  });
  child.stderr.on("data", (piece) => {
    if (String(piece).includes("USED UP")) child.kill("SIGINT");
    else process.stderr.write(piece);
  });
  await new Promise((done, reject) => child.once("close", done).once("error", reject));
  return output;
}

async function run(program: string, args: readonly string[]): Promise<string> {
  const { stdout } = await promisify(execFile)(program, args, { encoding: "utf8", maxBuffer: 1 << 24 });
  return stdout;
}
