import type { Clock } from "../platform/clock.ts";
import { type Kv, KvError, type KvErrorCode, type KvRead, type KvWrite } from "../platform/kv.ts";
import { assert } from "../util/assert.ts";
import { type CommandId, CONTROL_GROUP, type GroupId, type NodeId, type Stamp } from "../util/ids.ts";
import { decodeGroupRow, encodeGroupRow, type GroupRow, groupRowKey } from "./group-row.ts";
import { GroupRows } from "./group-rows.ts";
import { GroupError, type Groups, type ProposeOptions, type StateMachine } from "./groups.ts";
import { DedupTable } from "./dedup-table.ts";

export interface GroupHostOptions {
  /** Fixed at the store's bootstrap. */
  readonly partitions: number;
  /** The only member of every group. */
  readonly member: NodeId;
  /** commandWindow: how far ahead of log time a command may expire. */
  readonly commandWindowMs: number;
}

export interface GroupHostModules {
  readonly clock: Pick<Clock, "wallMs" | "monotonicMs">;
  readonly kv: Kv;
  readonly fatal: (error: unknown) => never;
  /**
   * Where a group has to go on when its own row is damaged: no row of its shows a higher index or stamp. Left out, such a store
   * does not open.
   */
  readonly lastCommand?: (rows: KvRead, group: GroupId) => { readonly index: number; readonly stampMs: number };
  /**
   * A command or a read of the group met damage. "repaired": it may be tried again. "halt": the damage is not to be repaired here
   * (its rows come from other members), and the error passes; so it does when this rejects. Left out: "halt".
   */
  readonly onDamaged?: OnDamaged;
  /**
   * Makes the state machine of a group, on first use, and anew after a batch was lost: what a machine gathered in memory goes
   * with it.
   */
  readonly machine: (group: GroupId) => StateMachine<never, unknown>;
}

export type OnDamaged = (group: GroupId, error: KvError) => Promise<"repaired" | "halt">;

/** Repairs that one command or read waits for, at most: rows may rot as fast as they are repaired. */
export const MAX_REPAIRS = 64;
/** Proposals that may wait for their batch; beyond it the caller is told at once. */
export const MAX_QUEUED_PROPOSALS = 16_384;
/** Proposals applied in one transaction: bounds how long the event loop is held. */
export const MAX_BATCH_PROPOSALS = 512;
/** A wall clock that gained more than this on the monotonic one was set, or the machine slept. */
const CLOCK_JUMP_MS = 1_000;
/**
 * What a refused write is told: then nothing of the batch is kept. After any other error of that kind (a read's) the store stops
 * the process itself.
 */
const LOSES_BATCH: ReadonlySet<KvErrorCode> = new Set(["kv.full", "kv.io", "kv.damaged"]);
/** The dedup table's results per group. */
export const MAX_DEDUP_ENTRIES = 65_536;

/**
 * All groups of a node that is their only member: appending is deciding, so propose, decide and apply are one transaction and no
 * log is kept. Proposals of all groups that wait together share the transaction; each touched group writes one row with it
 * (group-row.ts). Stamps and indexes go on from that row after a restart. The dedup table's results live in memory: no retry
 * survives the process.
 */
export class GroupHost implements Groups {
  readonly partitions: number;
  readonly #options: GroupHostOptions;
  readonly #modules: GroupHostModules;
  readonly #members = new Map<GroupId, Member>();
  #queue: Proposal[] = [];
  #scheduled = false;
  #stopping = false;
  #underWay = 0;
  #onIdle: (() => void)[] = [];

  private constructor(options: GroupHostOptions, modules: GroupHostModules) {
    this.partitions = options.partitions;
    this.#options = options;
    this.#modules = modules;
  }

  /** Loads where every group stands. */
  static async open(options: GroupHostOptions, modules: GroupHostModules): Promise<GroupHost> {
    const host = new GroupHost(options, modules);
    await modules.kv.read((rows) => {
      for (let group = 0; group < options.partitions; group++) host.#load(rows, group as GroupId);
      host.#load(rows, CONTROL_GROUP);
    });
    return host;
  }

  propose<C, R>(group: GroupId, command: C, options?: ProposeOptions): Promise<R> {
    const member = this.#members.get(group);
    if (member === undefined) return Promise.reject(notHere(group));
    if (this.#stopping) return Promise.reject(new GroupError("group.stopping", "the node is stopping", NOT_DONE));
    if (this.#queue.length >= MAX_QUEUED_PROPOSALS)
      return Promise.reject(new GroupError("group.overloaded", `${MAX_QUEUED_PROPOSALS} commands are waiting already`, NOT_DONE));
    return new Promise<R>((resolve, reject) => {
      this.#queue.push({
        member,
        command,
        id: options?.id,
        expiry: options?.expiry,
        resolve: resolve as (result: unknown) => void,
        reject,
        result: undefined,
        error: undefined,
        remembered: false,
        repairs: options?.isRepair ? MAX_REPAIRS : 0,
        alone: false,
      });
      this.#schedule();
    });
  }

  read<T>(group: GroupId, fn: (rows: KvRead) => T): Promise<T> {
    return this.readAll([group], fn);
  }

  async readAll<T>(groups: readonly GroupId[], fn: (rows: KvRead) => T): Promise<T> {
    for (const group of groups) if (!this.#members.has(group)) throw notHere(group);
    for (let repairs = 0; ; repairs++) {
      try {
        // The only member has applied everything that was ever acknowledged, and reads of the kv show only what is on disk.
        return await this.#modules.kv.read(fn);
      } catch (error) {
        if (!isDamage(error) || repairs === MAX_REPAIRS) throw error;
        if (!(await this.#isRepaired(groupOf(error, groups), error))) throw error;
      }
    }
  }

  async inspect<T>(group: GroupId, fn: (rows: KvRead) => T): Promise<T> {
    if (!this.#members.has(group)) throw notHere(group);
    return this.#modules.kv.read(fn);
  }

  logTime(group: GroupId): Stamp {
    const member = this.#members.get(group);
    assert(member !== undefined, "the log time is asked of a group that exists");
    const now = this.#now();
    const stamp = this.#stamp(member, now);
    const { anchor } = member;
    // What was told must hold when the wall clock is set back a little: expiries were made from it. A clock jump ahead is not
    // believed by mere looking.
    const passedMs = now.monotonicMs - anchor.monotonicMs;
    if (stamp === now.wallMs && stamp - anchor.stampMs <= passedMs + CLOCK_JUMP_MS)
      member.anchor = { stampMs: stamp, monotonicMs: now.monotonicMs };
    return stamp;
  }

  /**
   * How far the log time of the group that is furthest ahead leads the wall clock, and how many lead by more than `beyondMs`.
   * Looks at every group.
   */
  logTimeLead(beyondMs: number): { readonly mostMs: number; readonly groups: number } {
    const now = this.#now();
    let mostMs = 0;
    let groups = 0;
    for (const member of this.#members.values()) {
      const leadMs = this.#stamp(member, now) - now.wallMs;
      mostMs = Math.max(mostMs, leadMs);
      if (leadMs > beyondMs) groups++;
    }
    return { mostMs, groups };
  }

  /**
   * The wall clock, but never back: while it is behind the last stamp (it was wrong then, or is wrong now) log time goes on at
   * half the pace of the monotonic clock, so that expiries pass even on a machine whose clock was once years ahead, and small
   * leads melt away.
   */
  #stamp(member: Member, { wallMs, monotonicMs }: Now): Stamp {
    const { anchor } = member;
    return Math.max(wallMs, anchor.stampMs + Math.floor((monotonicMs - anchor.monotonicMs) / 2)) as Stamp;
  }

  #now(): Now {
    const { clock } = this.#modules;
    return { wallMs: clock.wallMs(), monotonicMs: clock.monotonicMs() };
  }

  /** Refuses new commands and waits until those under way are settled. */
  stop(): Promise<void> {
    this.#stopping = true;
    if (this.#underWay === 0 && !this.#scheduled) return Promise.resolve();
    return new Promise((resolve) => this.#onIdle.push(resolve));
  }

  #load(rows: KvRead, group: GroupId): void {
    const known = this.#readRow(rows, group);
    this.#members.set(group, {
      group,
      key: groupRowKey(group),
      rows: new GroupRows(group),
      remembered: new DedupTable(MAX_DEDUP_ENTRIES),
      voters: known?.voters ?? [this.#options.member],
      term: known?.term ?? 1,
      index: known?.index ?? 0,
      logTime: (known?.logTimeMs ?? 0) as Stamp,
      anchor: { stampMs: known?.logTimeMs ?? 0, monotonicMs: this.#modules.clock.monotonicMs() },
      machine: undefined,
      touched: false,
      advanced: false,
    });
  }

  #readRow(rows: KvRead, group: GroupId): GroupRow | undefined {
    try {
      const row = rows.get("rows", groupRowKey(group));
      return row === undefined ? undefined : decodeGroupRow(row);
    } catch (error) {
      const { lastCommand } = this.#modules;
      if (!isDamage(error) || lastCommand === undefined) throw error;
      const { index, stampMs } = lastCommand(rows, group);
      return { term: 1, index, logTimeMs: stampMs, voters: [this.#options.member] };
    }
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.#underWay++;
    let batch: readonly Proposal[] = [];
    this.#modules.kv
      .transact((tx) => {
        // From here on newcomers need a transaction of their own.
        this.#scheduled = false;
        batch = this.#take();
        this.#apply(tx, batch);
        if (this.#queue.length > 0 && !this.#queue[0]?.alone) this.#schedule();
      })
      .then(
        () => {
          for (const proposal of batch) this.#settle(proposal);
          if (this.#queue.length > 0) this.#schedule();
        },
        (error: unknown) => {
          // Refused before it ran (closed, failed): what waits for it cannot have happened.
          const notDone = batch.length === 0;
          if (notDone) {
            this.#scheduled = false;
            batch = this.#take();
          }
          forget(batch);
          if (isDamage(error) && batch.length > 1) this.#tryOneByOne(batch);
          else for (const proposal of batch) this.#settle(proposal, isDamage(error) ? error : asGroupError(error, notDone));
          if (this.#queue.length > 0) this.#schedule();
        },
      )
      .finally(() => this.#leave());
  }

  /** Tells the proposer, unless the command met damage that can be repaired: then it is applied again. */
  #settle(proposal: Proposal, lost?: unknown): void {
    const error = proposal.error ?? lost;
    if (error === undefined) proposal.resolve(proposal.result);
    else if (isDamage(error) && proposal.repairs < MAX_REPAIRS && this.#modules.onDamaged) void this.#repairFor(proposal, error);
    else proposal.reject(error);
  }

  async #repairFor(proposal: Proposal, error: KvError): Promise<void> {
    this.#underWay++;
    proposal.repairs++;
    if (await this.#isRepaired(proposal.member.group, error)) this.#again([proposal]);
    else proposal.reject(error);
    this.#leave();
  }

  async #isRepaired(group: GroupId, error: KvError): Promise<boolean> {
    try {
      return (await this.#modules.onDamaged?.(group, error)) === "repaired";
    } catch {
      // Whoever repairs has said what was in its way; what was asked fails with the damage that it met.
      return false;
    }
  }

  /** One of them led the store astray, which then kept nothing of the batch: the others must not pay for it. */
  #tryOneByOne(batch: readonly Proposal[]): void {
    for (const proposal of batch) proposal.alone = true;
    this.#again(batch);
  }

  #again(proposals: readonly Proposal[]): void {
    for (const proposal of proposals) {
      proposal.error = undefined;
      proposal.result = undefined;
      proposal.remembered = false;
    }
    this.#queue = [...proposals, ...this.#queue];
    this.#schedule();
  }

  #leave(): void {
    this.#underWay--;
    if (this.#underWay === 0) for (const resolve of this.#onIdle.splice(0)) resolve();
  }

  #take(): readonly Proposal[] {
    const queue = this.#queue;
    if (queue[0]?.alone) {
      this.#queue = queue.slice(1);
      return queue.slice(0, 1);
    }
    if (queue.length > MAX_BATCH_PROPOSALS) {
      this.#queue = queue.slice(MAX_BATCH_PROPOSALS);
      return queue.slice(0, MAX_BATCH_PROPOSALS);
    }
    this.#queue = [];
    return queue;
  }

  #apply(tx: KvWrite, batch: readonly Proposal[]): void {
    const now = this.#now();
    const touched: Member[] = [];
    for (const proposal of batch) {
      const { member } = proposal;
      if (!member.touched) {
        member.touched = true;
        member.rows.bind(tx);
        touched.push(member);
      }
      this.#decide(proposal, member, now);
    }
    for (const member of touched) {
      if (member.advanced) {
        const { term, index, logTime, voters } = member;
        try {
          member.machine?.flush?.(member.rows);
          member.rows.put("rows", member.key, encodeGroupRow({ term, index, logTimeMs: logTime, voters }));
        } catch (error) {
          this.#abandon(error);
        }
      }
      member.rows.bind(undefined);
      member.touched = false;
      member.advanced = false;
    }
  }

  /** A write failed: when the store refused it the whole batch is lost and told so; anything else would commit half a command. */
  #abandon(error: unknown): never {
    if (error instanceof KvError && LOSES_BATCH.has(error.code)) throw error;
    return this.#modules.fatal(error);
  }

  #decide(proposal: Proposal, member: Member, now: Now): void {
    const stamp = this.#stamp(member, now);
    if (proposal.id !== undefined || proposal.expiry !== undefined) {
      member.remembered.expire(stamp);
      const known = proposal.id === undefined ? undefined : member.remembered.find(proposal.id);
      if (known !== undefined) {
        proposal.result = known.result;
        return;
      }
      proposal.error = this.#refusal(proposal, member, stamp);
      if (proposal.error !== undefined) return;
    }
    const { rows } = member;
    rows.wrote = false;
    try {
      member.machine ??= this.#modules.machine(member.group);
      const entry = { group: member.group, index: member.index + 1, stamp };
      proposal.result = member.machine.apply(rows, proposal.command as never, entry);
    } catch (error) {
      // Before its first write a command has changed nothing; half a command must never be committed.
      if (rows.wrote) this.#abandon(error);
      proposal.error = error;
      return;
    }
    member.index++;
    member.logTime = stamp;
    if (stamp === now.wallMs) member.anchor = { stampMs: stamp, monotonicMs: now.monotonicMs };
    member.advanced = true;
    if (proposal.id !== undefined) {
      const expiryMs = proposal.expiry ?? stamp + this.#options.commandWindowMs;
      member.remembered.add(proposal.id, proposal.result, expiryMs);
      proposal.remembered = true;
    }
  }

  /**
   * Rule 29: past its expiry, or with one further off than commandWindow, a command is refused, for what became of an earlier
   * attempt can't be known.
   */
  #refusal(proposal: Proposal, member: Member, stamp: Stamp): GroupError | undefined {
    const { expiry, id } = proposal;
    // Without an id it is the only attempt; with one, an earlier attempt may have been decided and forgotten.
    const only = { notDone: id === undefined };
    if (expiry !== undefined && expiry < stamp)
      return new GroupError("group.unknown-outcome", "the command came after its expiry", only);
    if (expiry !== undefined && expiry > stamp + this.#options.commandWindowMs)
      return new GroupError("group.unknown-outcome", "the command's expiry lies beyond the command window", only);
    if (id !== undefined && !member.remembered.hasRoom)
      return new GroupError("group.overloaded", `${MAX_DEDUP_ENTRIES} results are in the group's dedup table already`, NOT_DONE);
    return undefined;
  }
}

/** One group at its only member. */
interface Member {
  readonly group: GroupId;
  readonly key: Buffer;
  readonly rows: GroupRows;
  readonly remembered: DedupTable;
  readonly voters: readonly NodeId[];
  readonly term: number;
  index: number;
  /** Stamp of the last applied command. */
  logTime: Stamp;
  /** The last time that came from the wall clock (or was loaded), and when that was: log time goes on from here. */
  anchor: { readonly stampMs: number; readonly monotonicMs: number };
  machine: StateMachine<never, unknown> | undefined;
  /** In the present batch: has a proposal; has applied one. */
  touched: boolean;
  advanced: boolean;
}

/** Both clocks, read once per batch. */
interface Now {
  readonly wallMs: number;
  readonly monotonicMs: number;
}

interface Proposal {
  readonly member: Member;
  readonly command: unknown;
  readonly id: CommandId | undefined;
  readonly expiry: Stamp | undefined;
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: unknown) => void;
  result: unknown;
  error: unknown;
  /** Its result was remembered by this batch, not by an earlier one. */
  remembered: boolean;
  /** How often it has waited for a repair. */
  repairs: number;
  /** Goes in a batch of its own. */
  alone: boolean;
}

/** The batch is lost, and with it what its members gathered in memory, and the flags of one that ended early. */
function forget(batch: readonly Proposal[]): void {
  for (const { member, remembered, id } of batch) {
    if (remembered) member.remembered.forget(id as CommandId);
    member.machine = undefined;
    member.touched = false;
    member.advanced = false;
  }
}

function isDamage(error: unknown): error is KvError {
  return error instanceof KvError && error.code === "kv.damaged";
}

/** Whose row is damaged: keys begin with their group's number. */
function groupOf({ key }: KvError, groups: readonly GroupId[]): GroupId {
  const named = key === undefined || key.byteLength < 2 ? undefined : (key.readUInt16BE() as GroupId);
  return groups.find((group) => group === named) ?? (groups[0] as GroupId);
}

/** The command was handed to no log: nothing of it can come. */
const NOT_DONE = { notDone: true } as const;

function notHere(group: GroupId): GroupError {
  return new GroupError("group.not-here", `group ${group} does not exist here`, NOT_DONE);
}

/**
 * A full store is known to have kept nothing, and so is one that never began (`notDone`); after an I/O error nobody knows what is
 * on disk.
 */
function asGroupError(cause: unknown, notDone: boolean): GroupError {
  if (cause instanceof GroupError) return cause;
  const code = cause instanceof KvError ? cause.code : undefined;
  if (code === "kv.full") return new GroupError("group.no-space", "the metadata store is full", { cause, notDone: true });
  if (code === "kv.closed") return new GroupError("group.stopping", "the metadata store is closed", { cause, notDone });
  return new GroupError("group.unknown-outcome", "the metadata store failed", { cause, notDone });
}
