import { existsSync, readFileSync } from "node:fs";
import { dirname } from "node:path";

/** Calls that make something durable, or make names. */
export const SYNC_CALLS = "fsync,fdatasync,msync";
const NAME_CALLS = "openat,mkdir,rename";

/**
 * strace and its options before a command: every call that syncs is delayed before it begins, and noted with the names beside it.
 */
export function straced(trace: string, delayMs: number): string[] {
  return [
    ...["strace", "-D", "-f", "-y", "-ttt", "--seccomp-bpf", "-o", trace],
    ...["-e", `trace=${SYNC_CALLS},${NAME_CALLS}`, "-e", `inject=${SYNC_CALLS}:delay_enter=${delayMs * 1000}`],
  ];
}

/** A system call that succeeded. `begin` and `end` are places in the trace: what ends before another begins was over by then. */
interface Call {
  readonly name: string;
  readonly wallMs: number;
  readonly begin: number;
  readonly end: number;
  /** The file that was opened, synced or made; of a renaming, the old name. */
  readonly path: string;
  readonly to: string;
  readonly flags: string;
}

export class SystemTrace {
  readonly #file: string;

  constructor(file: string) {
    this.#file = file;
  }

  /** Delayed calls so far. */
  get delays(): number {
    return (this.#text().match(/\(DELAYED\)/g) ?? []).length;
  }

  /**
   * What is wrong with the order in which blocks of one write came to be durable: each block's bytes (fsync before its name is
   * given, or every write of a file that was opened for that), then its name and those of new directories, and only then the
   * commit that points to them.
   * @param blocks   SHA-256 of each, written or found between `fromMs` and `answeredMs`.
   * @param delayMs  how long each sync takes at least: the commit began so long before the answer.
   */
  faults(
    blocks: readonly string[],
    where: {
      readonly metadataDir: string;
      readonly dataDir: string;
      readonly fromMs: number;
      readonly answeredMs: number;
      readonly delayMs: number;
    },
  ): string[] {
    const calls = this.#calls().filter((call) => call.wallMs >= where.fromMs && call.wallMs <= where.answeredMs);
    const commit = calls.findLast(
      (call) => isSync(call) && call.path.startsWith(where.metadataDir) && call.wallMs <= where.answeredMs - where.delayMs,
    );
    if (commit === undefined) return ["no commit was synced"];
    return blocks.flatMap((hash) => faultsOf(hash, calls, commit.begin, where.dataDir));
  }

  /**
   * What a power cut now could take away, of all that was made under these directories: files that were given their name before
   * their bytes were synced, and names of files and directories that were not synced since.
   */
  lossesUnder(directories: readonly string[]): string[] {
    const losses: string[] = [];
    const calls = this.#calls();
    const named = new Set<string>();
    for (const call of calls) {
      const isRename = call.name === "rename";
      const path = isRename ? call.to : call.path;
      const makes = isRename || call.name === "mkdir" || (call.name === "openat" && call.flags.includes("O_CREAT"));
      if (!makes || !directories.some((directory) => path.startsWith(`${directory}/`))) continue;
      if (isRename && !isSyncedBefore(calls, call)) losses.push(`${path} was given its name before its bytes were synced`);
      // Opened again with O_CREAT a file is not made anew; what has a name for a moment only is nobody's loss.
      if ((named.has(path) && !isRename) || path.endsWith(".tmp")) continue;
      named.add(path);
      if (!synced(calls, dirname(path), call.end, Number.POSITIVE_INFINITY)) losses.push(`the name of ${path} was not synced`);
    }
    return losses;
  }

  #text(): string {
    return existsSync(this.#file) ? readFileSync(this.#file, "utf8") : "";
  }

  #calls(): Call[] {
    const calls: Call[] = [];
    const begun = new Map<string, { text: string; at: number }>();
    this.#text()
      .split("\n")
      .forEach((line, at) => {
        const [, thread = "", rest = ""] = /^(\d+) +(.*)$/.exec(line) ?? [];
        if (rest.endsWith(" <unfinished ...>")) {
          begun.set(thread, { text: rest.slice(0, -" <unfinished ...>".length), at });
          return;
        }
        const resumed = /^[\d.]+ <\.\.\. \w+ resumed>(.*)$/.exec(rest);
        const before = resumed ? begun.get(thread) : undefined;
        const call = readCall(before ? before.text + resumed?.[1] : rest, before?.at ?? at, at);
        if (call) calls.push(call);
      });
    return calls;
  }
}

function readCall(text: string, begin: number, end: number): Call | undefined {
  const [, seconds, name = "", args = ""] = /^([\d.]+) (\w+)\((.*)\) += \d/.exec(text) ?? [];
  if (seconds === undefined) return undefined;
  const [first = "", second = ""] = [...args.matchAll(/"([^"]*)"/g)].map((match) => match[1] as string);
  const ofDescriptor = /^\d+<([^>]*)>/.exec(args)?.[1] ?? "";
  const path = SYNC_CALLS.split(",").includes(name) ? ofDescriptor : first;
  return { name, wallMs: Number(seconds) * 1000, begin, end, path, to: second, flags: /\bO_[A-Z_|]+/.exec(args)?.[0] ?? "" };
}

function isSync(call: Call): boolean {
  return SYNC_CALLS.split(",").includes(call.name);
}

/** A sync of `path` that began after `since` and was over before `until`. */
function synced(calls: readonly Call[], path: string, since: number, until: number): boolean {
  return calls.some((call) => isSync(call) && call.path === path && call.begin > since && call.end < until);
}

/** Whether the bytes of a file were on disk before it was renamed: synced, or each written so. */
function isSyncedBefore(calls: readonly Call[], renaming: Call): boolean {
  const opened = calls.findLast(({ name, path, end }) => name === "openat" && path === renaming.path && end < renaming.begin);
  if (/\bO_D?SYNC\b/.test(opened?.flags ?? "")) return true;
  return synced(calls, renaming.path, opened?.end ?? 0, renaming.begin);
}

function faultsOf(hash: string, calls: readonly Call[], commitBegins: number, dataDir: string): string[] {
  const faults: string[] = [];
  const isFile = (path: string): boolean => new RegExp(`/${hash}(\\.zst)?$`).test(path);
  const inTime = (path: string, since: number): boolean => synced(calls, path, since, commitBegins);
  const named = calls.find((call) => call.name === "rename" && isFile(call.to));
  const found = named ?? calls.find((call) => call.name === "openat" && isFile(call.path) && call.flags.includes("O_RDWR"));
  if (found === undefined) return [`${hash} was neither written nor found`];
  const path = named ? named.to : found.path;
  if (!named && !inTime(path, found.end)) faults.push(`${path} was found, and not synced before the commit`);
  if (named && !isSyncedBefore(calls, named)) faults.push(`${path} was given its name before its bytes were synced`);
  if (!inTime(dirname(path), found.end)) faults.push(`the name of ${path} was not synced before the commit`);
  for (let made = dirname(path); made.length > dataDir.length; made = dirname(made)) {
    const making = calls.find((call) => call.name === "mkdir" && call.path === made);
    if (making && !inTime(dirname(made), making.end))
      faults.push(`the name of the new directory ${made} was not synced before the commit`);
  }
  return faults;
}
