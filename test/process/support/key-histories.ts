import assert from "node:assert/strict";
import { blockNames, content, md5Hex } from "./content.ts";

/** A value that was written; its bytes follow from its number. */
export interface Stored {
  readonly number: number;
  readonly bytes: number;
  /** 1: one PUT; 2: first part 5 MiB, and the rest. */
  readonly parts: number;
  /** Names of the blocks it lies in. */
  blocks(): string[];
}

export type NewValue = Pick<Stored, "bytes" | "parts"> & { readonly number?: number };

export function storedBytes({ number, bytes }: { readonly number: number; readonly bytes: number }): Buffer {
  return content(number, bytes);
}

export interface Operation {
  /** undefined: a deletion. */
  readonly value: Stored | undefined;
  etag: string | undefined;
  acknowledge(): void;
}

interface Write extends Operation {
  readonly begunMs: number;
  endedMs: number | undefined;
}

/**
 * What each key may hold, from what was asked and what was answered. After a pause of all writers a key holds the value of one of
 * its writes that no acknowledged write followed; writes may have overlapped, and those without an answer may have happened or
 * not, but only whole.
 */
export class KeyHistories {
  readonly #writes = new Map<string, Write[]>();
  #numbers = 0;
  #recent: Stored[] = [];
  /** Unanswered writes that were found to have happened; and those that did not. */
  resolved = 0;
  undone = 0;

  /** @param value  with a number: the same bytes as an earlier value, which the store then keeps once. */
  begin(key: string, value: NewValue | undefined): Operation {
    const number = value?.number ?? ++this.#numbers;
    const stored = value && { ...value, number, blocks: () => blocksOf({ ...value, number }) };
    if (stored && stored.parts === 1) this.#recent = [...this.#recent.slice(-15), stored];
    const write: Write = {
      value: stored,
      etag: undefined,
      begunMs: performance.now(),
      endedMs: undefined,
      acknowledge: () => {
        write.endedMs = performance.now();
      },
    };
    const writes = this.#writes.get(key);
    if (writes) writes.push(write);
    else this.#writes.set(key, [ABSENT, write]);
    return write;
  }

  /** Some values written lately. */
  recent(): readonly Stored[] {
    return this.#recent;
  }

  keys(): string[] {
    return [...this.#writes.keys()];
  }

  /** Takes note of what a key was found to hold while nobody writes. @throws when that can't be. */
  settle(key: string, found: Buffer | undefined): void {
    const writes = this.#writes.get(key) ?? [ABSENT];
    const possible = writes.filter(
      (one) => !writes.some((other) => other.endedMs !== undefined && one.endedMs !== undefined && other.begunMs > one.endedMs),
    );
    const holds = possible.find(({ value }) => (value === undefined ? found === undefined : found?.equals(storedBytes(value))));
    if (!holds) assert.fail(`${key} holds ${describe(found, writes)}, possible: ${possible.map(show).join(" or ")}`);
    const unanswered = writes.filter((one) => one.endedMs === undefined).length;
    if (holds.endedMs === undefined) this.resolved++;
    this.undone += unanswered - (holds.endedMs === undefined ? 1 : 0);
    this.#writes.set(key, [{ ...holds, endedMs: holds.endedMs ?? performance.now() }]);
  }

  /** After `settle`: whether the ETag is the one that the write was answered with, and the digest of the bytes. */
  etagFits(key: string, etag: string): boolean {
    const [write] = this.#writes.get(key) ?? [];
    if (write?.value === undefined) return false;
    if (write.etag !== undefined && write.etag !== etag) return false;
    return write.value.parts > 1 ? /^[0-9a-f]{32}-2$/.test(etag) : etag === md5Hex(storedBytes(write.value));
  }

  /** After `settle`: the values that are there. */
  living(): Stored[] {
    return [...this.#writes.values()].flatMap(([write]) => (write?.value ? [write.value] : []));
  }
}

const ABSENT: Write = { value: undefined, etag: undefined, begunMs: -1, endedMs: -1, acknowledge: () => {} };

function blocksOf(value: Omit<Stored, "blocks">): string[] {
  const bytes = storedBytes(value);
  if (value.parts === 1) return blockNames(bytes);
  return [...blockNames(bytes.subarray(0, 5 * 2 ** 20)), ...blockNames(bytes.subarray(5 * 2 ** 20))];
}

function show({ value, begunMs, endedMs }: Write): string {
  const what = value === undefined ? "nothing" : `#${value.number} (${value.bytes} bytes)`;
  return `${what} [${begunMs.toFixed(0)}–${endedMs?.toFixed(0) ?? "no answer"}]`;
}

function describe(found: Buffer | undefined, writes: readonly Write[]): string {
  if (found === undefined) return "nothing";
  const old = writes.find(({ value }) => value && found.equals(storedBytes(value)));
  return old ? `an overwritten value ${show(old)}` : `${found.byteLength} bytes that were never written as a whole`;
}
