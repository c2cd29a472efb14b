// The planted defects that live in this folder: names as in the rules' table. Only a simulator sets them, to prove that it would notice.

export type Defect =
  // log (rules 1–5)
  | "vote-unsynced"
  | "ack-unsynced"
  | "leader-unsynced"
  | "commit-old-term"
  | "commit-unverified"
  | "snap-no-cfg"
  // early commit (rules 6–9)
  | "early-no-flag"
  | "early-volatile"
  | "early-old-term"
  | "early-any-term"
  | "early-size"
  | "early-learner"
  | "early-first-cfg"
  | "early-unverified"
  | "read-commit"
  | "read-own-term"
  // leases and reads (rules 10–20)
  | "from-receipt"
  | "no-drift"
  | "one-clock"
  | "vote-in-lease"
  | "term-in-lease"
  | "term-by-answer"
  | "campaign-in-lease"
  | "boot-no-epoch"
  | "lapse-no-epoch"
  | "lease-no-ack"
  | "boot-no-wait"
  | "transfer-lease"
  | "index-no-wait"
  | "no-gen"
  | "no-prevote"
  | "leader-asks"
  // membership (rules 21–24)
  | "conf-two"
  | "conf-overlap"
  | "conf-own-term"
  | "leaver-silent"
  // exactly once (rules 28–30)
  | "no-ids"
  | "ids-no-expiry"
  | "ids-fixed-window"
  | "ids-success-only";
