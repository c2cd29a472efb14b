// Log time: the stamp of a new entry. Nobody's own clock: the median of the voters', and never back.
import type { Leases } from "./lease.ts";
import type { Configuration, MemberId, Moment } from "./messages.ts";

/**
 * The stamp for an entry appended now: what a majority of the voters' clocks show at least, or the last entry's stamp if that is later
 * (rule 28; one clock at 2099 must not end locks, one at 1970 must not stop time). Voters not heard of yet count as behind all others,
 * so that few known clocks never set the time alone. Joint configurations: the earlier of both halves.
 */
export function nextStampMs(configuration: Configuration, lastStampMs: number, leases: Leases, now: Moment): number {
  let medianMs = lowerMedian(configuration.voters, leases, now);
  if (configuration.old !== null) medianMs = Math.min(medianMs, lowerMedian(configuration.old, leases, now));
  return Math.max(lastStampMs, Math.floor(medianMs));
}

/** The highest time that a majority of the clocks have reached. */
function lowerMedian(voters: readonly MemberId[], leases: Leases, now: Moment): number {
  let best = Number.NEGATIVE_INFINITY;
  for (const voter of voters) {
    const wallMs = leases.wallOf(voter, now);
    if (wallMs <= best) continue;
    let reached = 0;
    for (const other of voters) if (leases.wallOf(other, now) >= wallMs) reached++;
    if (reached > voters.length >> 1) best = wallMs;
  }
  return best;
}
