// Reading a tree whose keys may have rotted. A flipped bit in a stored key is found by the row's checksum when the row is met,
// but a search that compares with such a key goes the wrong way: it misses rows that are there, or lets a scan begin or end too
// early. The same holds for a rotten key in a branch page. Either way the search ends beside what misled it, so looking at the
// rows around the place is enough:
//
//   a point read that misses    the row before and the row after the place must be whole and lie on either side of the key
//   a seek                      the row before the place must be whole and lie before the key
//   the end of a scan           is believed only to a whole row that lies beyond it; rows come by their place, and must ascend
//
// When that doesn't hold, the rows around are looked at one by one (`Damage` below); a tree without damage never gets there.
import { assert } from "../../util/assert.ts";
import { CHECKSUM_BYTES, rowChecksum } from "../../util/row-checksum.ts";
import {
  damagedRow,
  type KvError,
  type KvRange,
  misledSearch,
  type RowView,
  type ScanStep,
  STOP,
  type StoredBytes,
  type Tree,
} from "../kv.ts";

/**
 * Rows by their place in the tree, without comparing keys. After `next` has returned true the view shows the row as it is stored:
 * unverified, its checksum behind the value (valueEnd is below zero for a value that is too short for one).
 */
export interface RowCursor extends RowView {
  next(): boolean;
  close(): void;
}

/** What an engine gives to have its trees searched. */
export interface PlacedRows {
  /**
   * The rows from the place on where a search for `from` ends (that one first when it is there), or those before that place,
   * going down; the row of `from` itself may come first there too.
   * @param near  the last call was `beside`, for the other side of this place, and its row is where it should be: the search may
   *              begin there
   */
  cursor(tree: Tree, from: Uint8Array, down: boolean, near?: boolean): RowCursor;
  /**
   * The first row that `cursor` would show, valid until the next call.
   * @param near  as for `cursor`
   */
  beside(tree: Tree, key: Uint8Array, down: boolean, near?: boolean): RowView | undefined;
  /** Damage was met: counts and logs it. */
  onDamage(error: KvError): void;
}

/** Rows around a place that are looked at one by one before the place is given up as damaged. */
const MOST_ROWS_AROUND = 512;
/** Bytes hashed at most to find out which bit of a key has flipped; some 50 ms. */
const MOST_BYTES_TRIED = 64 << 20;

/**
 * For an engine's `get` that found nothing.
 * @param after  the row beside the place of the key, upwards
 * @throws KvError kv.damaged when the row may be there all the same
 */
export function verifyAbsent(
  rows: PlacedRows,
  tree: Tree,
  key: Uint8Array,
  after = key.length === 0 ? undefined : rows.beside(tree, key, false),
): void {
  if (key.length === 0 || isPlainGap(rows, tree, key, after)) return;
  const { below, above, low, high } = rowsAround(rows, tree, key);
  let error: KvError | undefined;
  if (isMisled(key, low, high)) error = misledSearch(tree, key);
  for (const row of [...below, ...above]) {
    if (error !== undefined) break;
    if (isRowOf(row, key)) error = damagedRow(tree, key, row.key);
    // A row whose value has rotted keeps its place; one whose key is out of place, and can't be made out, may be the one that is
    // looked for.
    else if (trueKey(row) === undefined && !(isAfter(row.key, low) && isAfter(high, row.key)))
      error = damagedRow(tree, key, row.key);
  }
  if (error === undefined) return;
  rows.onDamage(error);
  throw error;
}

/** `KvRead.stored`, for every engine. */
export function storedRow(rows: PlacedRows, tree: Tree, key: Uint8Array): StoredBytes | undefined {
  const cursor = rows.cursor(tree, key, false);
  try {
    if (cursor.next() && compare(cursor, key) === 0) return copyOf(cursor);
  } finally {
    cursor.close();
  }
  const { below, above } = rowsAround(rows, tree, key);
  return [...below, ...above].find((row) => isRowOf(row, key));
}

/**
 * For an engine that is about to write a key, once it knows of damage. @throws KvError kv.damaged when the search for its place
 * is misled
 */
export function verifyPlace(rows: PlacedRows, tree: Tree, key: Uint8Array): void {
  const there = rows.beside(tree, key, false);
  if ((there !== undefined && compare(there, key) === 0) || isPlainGap(rows, tree, key, there)) return;
  const { low, high } = rowsAround(rows, tree, key);
  if (!isMisled(key, low, high)) return;
  const error = misledSearch(tree, key);
  rows.onDamage(error);
  throw error;
}

/** `KvRead.scan`, for every engine. */
export function scanTree(rows: PlacedRows, tree: Tree, range: KvRange, visit: (row: RowView) => ScanStep): void {
  if (range.end.length === 0 || Buffer.compare(range.start, range.end) >= 0) return;
  const scan = new Scan(rows, tree, range, visit);
  let from: Uint8Array | undefined = range.reverse === true ? range.end : range.start;
  while (from !== undefined) from = scan.run(from);
}

class Scan {
  readonly #rows: PlacedRows;
  readonly #tree: Tree;
  readonly #range: KvRange;
  readonly #reverse: boolean;
  readonly #visit: (row: RowView) => ScanStep;
  /** Key of the last row that was visited: rows must come in order. */
  #last: Buffer = Buffer.allocUnsafe(128);
  #lastLength = -1;
  /** Bytes that it shares with the bound at which the scan ends. */
  #shared = 0;
  /** A row was visited since the last seek. */
  #begun = false;
  /** Damaged rows that lie beyond the range by the keys that they show. */
  #beyond: StoredRow[] = [];

  constructor(rows: PlacedRows, tree: Tree, range: KvRange, visit: (row: RowView) => ScanStep) {
    this.#rows = rows;
    this.#tree = tree;
    this.#range = range;
    this.#reverse = range.reverse === true;
    this.#visit = visit;
  }

  /** Visits the rows from `from` on. @returns where to go on, when the visitor seeks. */
  run(from: Uint8Array): Uint8Array | undefined {
    this.#beyond = [];
    this.#begun = false;
    const near = from.length > 0 && this.#isRightBehind(from);
    if (from.length > 0 && !near) {
      const behind = this.#behind(from);
      for (const row of behind) {
        const step = this.#meet(row, from);
        if (step !== undefined) return step === STOP ? undefined : step;
      }
    }
    const cursor = this.#rows.cursor(this.#tree, from, this.#reverse, near);
    try {
      let shown = this.#lastLength >= 0;
      while (cursor.next()) {
        // The row of `from` itself was among those behind.
        if (shown && compare(cursor, this.#lastKey) === 0) continue;
        shown = false;
        const step = this.#meet(cursor, from);
        if (step === undefined) continue;
        if (step === STOP) return undefined;
        assert(!this.#reverse && Buffer.compare(step, this.#lastKey) > 0, "a seek lies ahead, in a forward scan");
        return Buffer.compare(step, this.#range.end) < 0 ? step : undefined;
      }
      return undefined;
    } finally {
      cursor.close();
    }
  }

  get #lastKey(): Buffer {
    return this.#last.subarray(0, Math.max(0, this.#lastLength));
  }

  /** One row at its place. @returns STOP when the scan is over. */
  #meet(row: RowView, from: Uint8Array): ScanStep {
    if (!isWhole(row)) {
      this.#meetDamaged(copyOf(row), from);
      return undefined;
    }
    // What follows a row of this range is beyond `from` as well; a seek lies ahead of the last row.
    if (!this.#begun && this.#side(row, from) < 0) return undefined;
    if (this.#beyond.length > 0) this.#judgeBeyond(row);
    const place = this.#placeOf(row);
    if (place === "beyond") return STOP;
    if (place === "astray") {
      this.#report(Buffer.from(row.key.subarray(row.keyStart, row.keyEnd)));
      return undefined;
    }
    this.#begun = true;
    row.valueEnd -= CHECKSUM_BYTES;
    return this.#visit(row);
  }

  #meetDamaged(row: StoredRow, from: Uint8Array): void {
    const known = trueKey(row);
    if (known !== undefined) {
      const { start, end } = this.#range;
      // Its row is there, made anew under its own key: what has rotted could not be removed, and is left over.
      if (Buffer.compare(known, start) >= 0 && Buffer.compare(known, end) < 0 && !this.#isThere(known))
        this.#report(known, row.key);
    } else if (this.#isBeyond(row)) this.#beyond.push(row);
    // A row before the range keeps its place when only its value has rotted.
    else if (this.#side(row, from) >= 0 || this.#lastLength >= 0) this.#report(row.key);
  }

  #isThere(key: Buffer): boolean {
    const cursor = this.#rows.cursor(this.#tree, key, false);
    const there = cursor.next() && isWhole(cursor) && compare(cursor, key) === 0;
    cursor.close();
    return there;
  }

  /** What follows a row that seemed to lie beyond the range shows whether it does. */
  #judgeBeyond(next: RowView): void {
    for (const row of this.#beyond.splice(0)) {
      const order = compare(next, row.key);
      if (!this.#isBeyond(next) || (this.#reverse ? order >= 0 : order <= 0)) this.#report(row.key);
    }
  }

  #report(key: Buffer, stored = key): void {
    const error = damagedRow(this.#tree, key, stored);
    this.#rows.onDamage(error);
    if (this.#range.onDamaged === undefined) throw error;
    this.#range.onDamaged(key);
  }

  /**
   * Whether the row behind the place of `from` is whole and lies behind it, or there is none: then the scan begins where it
   * should.
   */
  #isRightBehind(from: Uint8Array): boolean {
    const row = this.#rows.beside(this.#tree, from, !this.#reverse);
    // The row of `from` itself, which may come first, is at its place too.
    return row === undefined || ((this.#side(row, from) < 0 || compare(row, from) === 0) && isWhole(row));
  }

  /** The rows behind the place that belong to the scan, as far as can be told, in its order. */
  #behind(from: Uint8Array): StoredRow[] {
    const rows: StoredRow[] = [];
    const cursor = this.#rows.cursor(this.#tree, from, !this.#reverse);
    try {
      while (cursor.next() && !(isWhole(cursor) && this.#side(cursor, from) < 0)) {
        if (rows.length === MOST_ROWS_AROUND) throw misledSearch(this.#tree, from);
        rows.push(copyOf(cursor));
      }
    } finally {
      cursor.close();
    }
    return rows.reverse();
  }

  /** Below zero: the row lies before `from`, in the direction of the scan. */
  #side(row: RowView, from: Uint8Array): number {
    if (!this.#reverse) return compare(row, from);
    return compare(row, from) < 0 ? 1 : -1;
  }

  #isBeyond(row: RowView): boolean {
    return this.#reverse ? compare(row, this.#range.start) < 0 : compare(row, this.#range.end) >= 0;
  }

  /**
   * Where a row stands in the scan: it must come after the last one. Notes its key when it is within the range.
   *
   * Bytes are looked at once, for both questions: the last row shares `#shared` bytes with the bound at which the scan ends, and
   * goes its own way after those; so a row that leaves the last one earlier is beyond the bound, one that leaves it later is not.
   */
  #placeOf(row: RowView): "within" | "beyond" | "astray" {
    const { key, keyStart, keyEnd } = row;
    const length = keyEnd - keyStart;
    const lastLength = this.#lastLength;
    if (length > this.#last.length) this.#last = Buffer.concat([this.#last], 2 * length);
    const last = this.#last;
    let at = 0;
    if (lastLength >= 0) {
      for (const common = Math.min(length, lastLength); at < common && key[keyStart + at] === last[at]; ) at++;
      const order = at === length || at === lastLength ? length - lastLength : key[keyStart + at]! - last[at]!;
      if (this.#reverse ? order >= 0 : order <= 0) return this.#isBeyond(row) ? "beyond" : "astray";
    }
    if (at <= this.#shared) {
      const bound = this.#reverse ? this.#range.start : this.#range.end;
      let shared = at;
      for (const common = Math.min(length, bound.length); shared < common && key[keyStart + shared] === bound[shared]; ) shared++;
      const order =
        shared === length || shared === bound.length ? length - bound.length : key[keyStart + shared]! - bound[shared]!;
      if (this.#reverse ? order < 0 : order >= 0) return "beyond";
      this.#shared = shared;
    }
    for (; at < length; at++) last[at] = key[keyStart + at]!;
    this.#lastLength = length;
    return "within";
  }
}

/** A copy of a row as it is stored. */
class StoredRow implements RowView {
  readonly keyStart = 0;
  readonly valueStart = 0;
  readonly keyEnd: number;
  valueEnd: number;
  readonly key: Buffer;
  readonly value: Buffer;

  constructor({ key, keyStart, keyEnd, value, valueStart, valueEnd }: RowView) {
    this.key = Buffer.from(key.subarray(keyStart, keyEnd));
    this.keyEnd = keyEnd - keyStart;
    this.value = Buffer.from(value.subarray(valueStart, Math.max(valueStart, valueEnd)));
    this.valueEnd = this.value.length;
  }
}

function copyOf(row: RowView): StoredRow {
  return row instanceof StoredRow ? row : new StoredRow(row);
}

/** Whether a stored row's checksum is right. */
export function isWhole({ key, keyStart, keyEnd, value, valueStart, valueEnd }: RowView): boolean {
  const end = valueEnd - CHECKSUM_BYTES;
  return end >= valueStart && value.readUInt32LE(end) === rowChecksum(key, keyStart, keyEnd, value, valueStart, end);
}

/** Whether a stored row is the one of `key`, whatever key it shows. */
function isRowOf({ value }: StoredRow, key: Uint8Array): boolean {
  const end = value.length - CHECKSUM_BYTES;
  return end >= 0 && value.readUInt32LE(end) === rowChecksum(key, 0, key.length, value, 0, end);
}

/** The key of a damaged row when one flipped bit in it is all that is wrong. */
function trueKey(row: StoredRow): Buffer | undefined {
  const { length } = row.key;
  if (8 * length * (length + row.value.length) > MOST_BYTES_TRIED) return undefined;
  const key = Buffer.from(row.key);
  for (let at = 0; at < length; at++) {
    for (let bit = 1; bit < 256; bit <<= 1) {
      key[at]! ^= bit;
      if (isRowOf(row, key)) return key;
      key[at]! ^= bit;
    }
  }
  return undefined;
}

/** Both neighbours of the place where `key` is not are whole, and lie on either side of it. */
function isPlainGap(rows: PlacedRows, tree: Tree, key: Uint8Array, after: RowView | undefined): boolean {
  if (after !== undefined && !(compare(after, key) > 0 && isWhole(after))) return false;
  const before = rows.beside(tree, key, true, true);
  return before === undefined || (compare(before, key) < 0 && isWhole(before));
}

interface RowsAround {
  /** Damaged rows before and after the place of a key, up to the next whole ones. */
  readonly below: readonly StoredRow[];
  readonly above: readonly StoredRow[];
  /** Keys of those; undefined at the ends of the tree. */
  readonly low: Buffer | undefined;
  readonly high: Buffer | undefined;
}

function rowsAround(rows: PlacedRows, tree: Tree, key: Uint8Array): RowsAround {
  const side = (down: boolean): { damaged: StoredRow[]; whole: Buffer | undefined } => {
    const damaged: StoredRow[] = [];
    const cursor = rows.cursor(tree, key, down);
    try {
      while (cursor.next()) {
        const row = copyOf(cursor);
        if (isWhole(row)) return { damaged, whole: row.key };
        if (damaged.length === MOST_ROWS_AROUND) throw misledSearch(tree, key);
        damaged.push(row);
      }
      return { damaged, whole: undefined };
    } finally {
      cursor.close();
    }
  };
  const [below, above] = [side(true), side(false)];
  return { below: below.damaged, above: above.damaged, low: below.whole, high: above.whole };
}

function isMisled(key: Uint8Array, low: Buffer | undefined, high: Buffer | undefined): boolean {
  return !isAfter(key, low) || !isAfter(high, key);
}

/** a > b, where undefined stands for either end of the tree. */
function isAfter(a: Uint8Array | undefined, b: Uint8Array | undefined): boolean {
  return a === undefined || b === undefined || Buffer.compare(a, b) > 0;
}

/** As Buffer.compare; most keys share a prefix of some thirty bytes, for which a loop is faster than a call. */
export function compare({ key, keyStart, keyEnd }: RowView, other: Uint8Array): number {
  const length = keyEnd - keyStart;
  const common = Math.min(length, other.length);
  for (let at = 0; at < common; at++) {
    const difference = key[keyStart + at]! - other[at]!;
    if (difference !== 0) return difference;
  }
  return length - other.length;
}
