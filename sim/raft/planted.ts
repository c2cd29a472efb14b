// The planted defects, all of them: those built into src/raft (the option `defects`) and those that only the host around it can
// have.
import type { Defect } from "../../src/raft/defects.ts";
import type { Focus } from "./profile.ts";

/** Mistakes of the host: how it stores, registers, applies, answers. */
const HOST_DEFECTS = [
  "no-register",
  "boots-only",
  "local-read",
  "early-unapplied",
  "ids-row-only",
  "snap-no-ids",
  "no-learner",
  "list-one-key",
  "clear-one-key",
  "forget-vote",
  "forget-log",
  "forget-early",
] as const;
export type HostDefect = (typeof HOST_DEFECTS)[number];
export type AnyDefect = Defect | HostDefect;

export function isHostDefect(defect: AnyDefect): defect is HostDefect {
  return (HOST_DEFECTS as readonly string[]).includes(defect);
}

export interface Planted {
  readonly rule: number;
  /** The schedules that bring it out soonest. */
  readonly focus: Focus;
  /** A seed that shows it is found within so many, from 1; 0: not needed for safety, no seed is expected. */
  readonly within: number;
}

const planted = (rule: number, focus: Focus, within: number): Planted => ({ rule, focus, within });

export const PLANTED: Readonly<Record<AnyDefect, Planted>> = {
  "vote-unsynced": planted(1, "even", 2000),
  "ack-unsynced": planted(1, "terms", 2000),
  "leader-unsynced": planted(1, "log", 2000),
  "commit-old-term": planted(2, "terms", 2000),
  "commit-unverified": planted(3, "log", 2000),
  "snap-no-cfg": planted(4, "members", 2000),
  "snap-no-ids": planted(4, "retry", 2000),
  "early-no-flag": planted(6, "log", 2000),
  "early-volatile": planted(6, "log", 2000),
  "early-old-term": planted(6, "terms", 2000),
  "early-any-term": planted(6, "terms", 2000),
  "early-size": planted(6, "even", 2000),
  "early-learner": planted(6, "members", 2000),
  "early-first-cfg": planted(6, "log", 2000),
  "early-unverified": planted(6, "log", 0),
  "early-unapplied": planted(7, "mixed", 2000),
  "read-commit": planted(9, "mixed", 2000),
  "read-own-term": planted(9, "log", 2000),
  "read-applied": planted(9, "reads", 2000),
  "reads-by-place": planted(9, "reads", 2000),
  "list-one-key": planted(9, "mixed", 2000),
  "clear-one-key": planted(9, "mixed", 2000),
  "from-receipt": planted(10, "lease", 2000),
  "no-drift": planted(10, "lease", 2000),
  "one-clock": planted(11, "lease", 2000),
  "vote-in-lease": planted(12, "lease", 2000),
  "term-in-lease": planted(12, "lease", 2000),
  "term-by-answer": planted(12, "lease", 2000),
  "campaign-in-lease": planted(12, "lease", 2000),
  "boot-no-epoch": planted(13, "lease", 2000),
  "lapse-no-epoch": planted(13, "lease", 2000),
  "lease-no-ack": planted(14, "lease", 2000),
  "boot-no-wait": planted(15, "lease", 2000),
  "transfer-lease": planted(16, "lease", 2000),
  "local-read": planted(18, "mixed", 2000),
  "index-no-wait": planted(18, "mixed", 2000),
  "asks-anew": planted(18, "reads", 2000),
  "no-gen": planted(19, "members", 2000),
  "no-prevote": planted(20, "members", 2000),
  "leader-asks": planted(12, "lease", 0),
  "conf-two": planted(21, "even", 2000),
  "conf-overlap": planted(21, "even", 2000),
  "commit-one-half": planted(21, "joint", 2000),
  "vote-one-half": planted(21, "joint", 2000),
  "lease-one-half": planted(14, "joint", 2000),
  "confirm-one-half": planted(18, "joint", 2000),
  "conf-own-term": planted(22, "even", 2000),
  "conf-not-undone": planted(23, "even", 2000),
  "leaver-silent": planted(23, "pair", 2000),
  "no-learner": planted(24, "members", 0),
  "no-register": planted(25, "store", 2000),
  "boots-only": planted(25, "store", 2000),
  "forget-vote": planted(26, "members", 0),
  "forget-log": planted(26, "members", 2000),
  "forget-early": planted(26, "members", 2000),
  "no-ids": planted(29, "retry", 2000),
  "ids-no-expiry": planted(29, "retry", 2000),
  "ids-fixed-window": planted(29, "retry", 2000),
  "ids-success-only": planted(29, "retry", 2000),
  "ids-row-only": planted(30, "retry", 2000),
};

/** Named in the rules but not planted here, and why. */
export const NOT_PLANTED: Readonly<Record<string, string>> = {
  "epoch-late":
    "the epoch travels in the core's acknowledgement, made when it accepts the append; a host can't read it late (raft.test.ts: rule 14)",
  "lease-first":
    "a lease checked just before or just after reading makes no difference (rule 17); the core checks it with the answer",
};
