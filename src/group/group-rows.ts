import type { KvRange, KvWrite, RowView, ScanStep, StoredBytes, Tree } from "../platform/kv.ts";
import { assert } from "../util/assert.ts";
import type { GroupId } from "../util/ids.ts";

/**
 * A transaction as one group's state machine sees it: it writes below the group's own prefix only, and the host can tell whether
 * a command has written yet (before its first write a command that fails changes nothing; after it the node must stop).
 */
export class GroupRows implements KvWrite {
  readonly #high: number;
  readonly #low: number;
  #tx: KvWrite | undefined;
  /** Whether anything was written since it was last set to false. */
  wrote = false;

  constructor(group: GroupId) {
    this.#high = group >>> 8;
    this.#low = group & 0xff;
  }

  /** Takes the transaction of the batch; undefined when the batch is over. */
  bind(tx: KvWrite | undefined): void {
    this.#tx = tx;
  }

  get(tree: Tree, key: Uint8Array): Buffer | undefined {
    return this.#open().get(tree, key);
  }

  view(tree: Tree, key: Uint8Array): Buffer | undefined {
    return this.#open().view(tree, key);
  }

  scan(tree: Tree, range: KvRange, visit: (row: RowView) => ScanStep): void {
    this.#open().scan(tree, range, visit);
  }

  stored(tree: Tree, key: Uint8Array): StoredBytes | undefined {
    return this.#open().stored(tree, key);
  }

  put(tree: Tree, key: Uint8Array, value: Uint8Array): void {
    assert(key[0] === this.#high && key[1] === this.#low, "a state machine writes rows of its own group only");
    this.wrote = true;
    this.#open().put(tree, key, value);
  }

  remove(tree: Tree, key: Uint8Array): void {
    assert(key[0] === this.#high && key[1] === this.#low, "a state machine removes rows of its own group only");
    this.wrote = true;
    this.#open().remove(tree, key);
  }

  #open(): KvWrite {
    assert(this.#tx !== undefined, "rows are used inside their batch only");
    return this.#tx;
  }
}
