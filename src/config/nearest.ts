/** One mistake in so many letters, and this many at most, still count as the same word. */
const LETTERS_PER_MISTAKE = 3;
const MAX_MISTAKES = 3;

/**
 * The word that `given` is most likely a misspelling of: letters left out, put in, taken for others or swapped with the next one
 * (Damerau-Levenshtein distance, optimal string alignment). Undefined when none is near; the first of several that are as near.
 */
export function nearest(given: string, words: Iterable<string>): string | undefined {
  let found: string | undefined;
  let fewest = Math.min(MAX_MISTAKES, Math.floor(given.length / LETTERS_PER_MISTAKE)) + 1;
  for (const word of words) {
    if (Math.abs(word.length - given.length) >= fewest) continue;
    const mistakes = distance(given, word);
    if (mistakes < fewest) [found, fewest] = [word, mistakes];
  }
  return found;
}

function distance(a: string, b: string): number {
  let before: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, at) => at);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1];
      let least = Math.min((last[j] as number) + 1, (row[j - 1] as number) + 1, (last[j - 1] as number) + (same ? 0 : 1));
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        least = Math.min(least, (before[j - 2] as number) + 1);
      row.push(least);
    }
    [before, last] = [last, row];
  }
  return last[b.length] as number;
}
