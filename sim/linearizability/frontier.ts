// A configuration is what one way of ordering the operations so far leaves for the rest. Some leave no more than others do: those
// are dropped at once. That, and not the number of orders, decides how long the sweep takes.

/** Slots a word of a bit set; so that words stay small integers. */
export const WORD_BITS = 30;

export interface Configuration {
  /** The register's value. */
  readonly state: number;
  /**
   * Two bit sets over the slots, one after the other, of `words` words each. Spent: the write has been placed where others see
   * it, it can't be once more. Due: the operation still has to be placed before it returns. A write may be neither: it *could*
   * have been placed where nobody saw it (covered), and still may be placed where it is seen.
   */
  readonly lacks: number[];
  /** Per class of unknown operations: how many have been placed. Shared between configurations, never changed. */
  readonly used: readonly number[];
  /** Sum of `used`. */
  readonly cost: number;
  /** Another one was found that leaves as much. */
  dominated: boolean;
}

/** Whatever completes `b` completes `a` too: same value, nothing that `b` does not lack as well. */
export function dominates(a: Configuration, b: Configuration): boolean {
  if (a.state !== b.state || a.cost > b.cost) return false;
  for (let i = 0; i < a.lacks.length; i++) if ((a.lacks[i]! & ~b.lacks[i]!) !== 0) return false;
  if (a.used === b.used) return true;
  for (let i = 0; i < a.used.length; i++) if (a.used[i]! > b.used[i]!) return false;
  return true;
}

/** Configurations none of which dominates another. */
export class Frontier {
  readonly #byState = new Map<number, Configuration[]>();

  /** False if one that is there leaves as much; else those that leave no more go. */
  add(configuration: Configuration): boolean {
    const list = this.#byState.get(configuration.state);
    if (list === undefined) {
      this.#byState.set(configuration.state, [configuration]);
      return true;
    }
    for (const other of list) if (dominates(other, configuration)) return false;
    let kept = 0;
    for (const other of list) {
      if (dominates(configuration, other)) other.dominated = true;
      else list[kept++] = other;
    }
    list.length = kept;
    list.push(configuration);
    return true;
  }

  all(): Configuration[] {
    return [...this.#byState.values()].flat();
  }
}
