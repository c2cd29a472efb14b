// Log time: the stamp of a new entry. Nobody's own clock: the median of the voters', and never back.
import { quorumValue } from "./configuration.ts";
import type { Leases } from "./lease.ts";
import type { Configuration, Moment } from "./messages.ts";

/**
 * The stamp for an entry appended now: the highest time that a majority of the voters' clocks have reached, or the last entry's
 * stamp if that is later (rule 28; one clock at 2099 must not end locks, one at 1970 must not stop time). Voters not heard of yet
 * count as behind all others, so that few known clocks never set the time alone. Joint configurations: the earlier of both
 * halves.
 */
export function nextStampMs(configuration: Configuration, lastStampMs: number, leases: Leases, now: Moment): number {
  const medianMs = quorumValue(configuration, (voter) => leases.wallOf(voter, now));
  return Math.max(lastStampMs, Math.floor(medianMs));
}
