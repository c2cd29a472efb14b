import type { Hash } from "../util/ids.ts";

/** One block that should be here and is not, or not whole; for `block list-errors`. */
export interface BlockDamage {
  readonly hash: Hash;
  readonly kind: "damaged" | "missing";
  /** Where the damaged file was set aside; empty for a missing one. */
  readonly path: string;
  readonly errors: number;
  /** Wall clock. */
  readonly lastMs: number;
}

/** The damage this process knows of, newest last, bounded; counters go on beyond the bound. */
export class DamageList {
  readonly #entries = new Map<string, BlockDamage>();
  #damagedCount = 0;
  #missingCount = 0;

  add(hash: Hash, kind: BlockDamage["kind"], path: string, nowMs: number): void {
    if (kind === "damaged") this.#damagedCount++;
    else this.#missingCount++;
    const known = this.#entries.get(hash);
    this.#entries.delete(hash);
    // "Damaged" says more than "missing": it is missing because it was set aside.
    const stays = known?.kind === "damaged" && kind === "missing" ? known : { kind, path };
    this.#entries.set(hash, { hash, kind: stays.kind, path: stays.path, errors: (known?.errors ?? 0) + 1, lastMs: nowMs });
    if (this.#entries.size > MAX_ENTRIES) this.#entries.delete(this.#entries.keys().next().value as string);
  }

  /** A good copy is here again, or no one needs it any more. */
  resolve(hash: Hash): void {
    if (this.#entries.size > 0) this.#entries.delete(hash);
  }

  get(hash: Hash): BlockDamage | undefined {
    return this.#entries.get(hash);
  }

  list(): readonly BlockDamage[] {
    return [...this.#entries.values()];
  }

  get damagedCount(): number {
    return this.#damagedCount;
  }
  get missingCount(): number {
    return this.#missingCount;
  }
}

const MAX_ENTRIES = 10_000;
