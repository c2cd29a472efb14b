// What the parts of a simulated cluster know of each other, so that none of their files needs another's inside.
import type { Write } from "../../src/raft/effects.ts";
import type { LeaseMessage } from "../../src/raft/lease.ts";
import type { MemberId, Message, Moment } from "../../src/raft/messages.ts";
import type { RaftOptions } from "../../src/raft/options.ts";
import type { Raft } from "../../src/raft/raft.ts";
import type { Roster } from "../../src/raft/roster.ts";
import type { VirtualClock } from "../engine/virtual-clock.ts";
import type { ALL_KEYS, Command, Machine, MachineState, Result } from "./machine.ts";

/** A client's call that waits at a node. */
export interface PendingCall {
  settle(result: Result): void;
  end(outcome: "unknown"): void;
}

/** A key of a group, or all of them. */
export type Keys = number | typeof ALL_KEYS;

/** One group on one node (group-host.ts). */
export interface HostPart {
  readonly node: NodePart;
  readonly group: number;
  /** `n0.1/g3`: store of node 0, second incarnation, in group 3. */
  readonly name: string;
  readonly raft: Raft<Command>;
  readonly machine: Machine;
  propose(command: Command): void;
  read(key: Keys, done: (values: (number | null)[]) => void): void;
  values(key: Keys): (number | null)[];
  snapshotEnded(member: MemberId, ok: boolean): void;
  drain(): void;
}

/** One node (node.ts). */
export interface NodePart {
  readonly index: number;
  readonly self: MemberId;
  readonly incarnation: number;
  readonly clock: VirtualClock;
  readonly up: boolean;
  /** Registered with the control service; before, it neither hears nor says anything. */
  readonly active: boolean;
  /** Up, active and not paused. */
  readonly running: boolean;
  readonly hosts: ReadonlyMap<number, HostPart>;
  readonly calls: Map<string, PendingCall>;
  readonly roster: Roster<Command>;
  readonly options: RaftOptions;
  moment(): Moment;
  /** Runs in this process after a while; never if the process ends before. */
  local(delayMs: number, run: () => void): void;
  /** A message has come. */
  deliver(run: (node: NodePart) => void): void;
  receive(group: number, to: MemberId, message: Message<Command>, rows?: MachineState | null): void;
  receiveLease(to: MemberId, message: LeaseMessage): void;
  sendRaft(group: number, to: MemberId, message: Message<Command>): void;
  write(group: number, write: Write<Command>, installed: MachineState | null): void;
  /** Starts a flush if there is something to store and none is under way. */
  flush(): void;
  /** Forgets a group that it was dismissed from; false while writes of the group are under way. */
  forget(group: number): boolean;
  /** Makes sure the process wakes when its roster next needs it. */
  arm(): void;
  boot(): void;
  crash(downMs: number): void;
  pause(forMs: number, asleep: boolean): void;
  wake(): void;
}
