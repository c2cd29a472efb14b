// Runs the scripts of testdata/*.txt: a line at the margin says what happens, the indented lines below it what the members then
// did. Commands are listed in testdata/README.txt.
import { assert } from "../../util/assert.ts";
import type { Effects } from "../effects.ts";
import type { Entry, MemberId, Message, Scope } from "../messages.ts";
import { SCOPE_ALL, SCOPE_NONE } from "../messages.ts";
import { bootstrapGroup } from "../raft.ts";
import { type Cmd, describe, describeConfiguration, type Member, type Packet, Rig } from "./rig.ts";

/** One command with what is expected and what came. */
export interface Step {
  readonly line: number;
  readonly command: string;
  readonly expected: readonly string[];
  readonly actual: readonly string[];
}

/** The script with the effects that really came in place of the expected ones; comments and blank lines stay. */
export interface ScriptResult {
  readonly steps: readonly Step[];
  readonly rewritten: string;
}

export function runScript(text: string): ScriptResult {
  const steps: Step[] = [];
  const rewritten: string[] = [];
  const lines = text.replace(/\n+$/, "").split("\n");
  const player = new Player();
  for (let k = 0; k < lines.length; ) {
    const command = lines[k]!;
    k++;
    rewritten.push(command);
    if (command.trim() === "" || command.startsWith("#")) continue;
    assert(!command.startsWith(" "), `line ${k}: effects without a command above`);
    const line = k;
    const expected: string[] = [];
    while (k < lines.length && lines[k]!.startsWith("  ")) expected.push(lines[k++]!.trim());
    const actual = player.run(command);
    for (const effect of actual) rewritten.push(`  ${effect}`);
    steps.push({ line, command, expected, actual });
  }
  return { steps, rewritten: `${rewritten.join("\n")}\n` };
}

class Player {
  #rig = new Rig();
  #lines: string[] = [];
  #quiet = false;
  readonly #said = new Map<MemberId, string>();
  #reads = 0;

  run(command: string): readonly string[] {
    this.#lines = [];
    const [verb = "", ...words] = command.trim().split(/\s+/);
    this.#do(verb, words);
    return this.#lines;
  }

  #do(verb: string, words: string[]): void {
    const rig = this.#rig;
    const member = (): Member => rig.get(words[0] ?? "");
    switch (verb) {
      case "cluster":
        this.#listen(Rig.born(words));
        break;
      case "members": // of a cluster whose logs are given by `log`
        this.#listen(new Rig());
        this.#said.clear();
        this.#voters = words;
        break;
      case "limit": // limit n: entries in one append; after `members`
        this.#rig.tune({ maxAppendEntries: Number(words[0]) });
        break;
      case "log": {
        // log a 1 1 2 | commit n | term n: the terms of its entries
        const [id = "", ...rest] = words;
        const option = (name: string): number => (rest.includes(name) ? Number(rest[rest.indexOf(name) + 1]) : 0);
        const terms = rest.slice(
          0,
          rest.findIndex((word) => !/^\d+$/.test(word)) === -1 ? undefined : rest.findIndex((word) => !/^\d+$/.test(word)),
        );
        const entries: Entry<Cmd>[] = terms.map((term, k) => ({
          index: k + 1,
          term: Number(term),
          stampMs: 0,
          scope: SCOPE_NONE,
          sizeBytes: 1,
          configuration: null,
          data: `t${term}`,
        }));
        const term = option("term") || Number(terms[terms.length - 1] ?? 0);
        const born = bootstrapGroup<Cmd>({ voters: this.#voters, old: null, learners: [] });
        const added = rig.add(id, { ...born, term, entries, applied: option("commit") });
        rig.drain(added);
        break;
      }
      case "empty":
        for (const id of words) rig.drain(rig.add(id, bootstrapGroup({ voters: [], old: null, learners: [] })));
        break;
      case "disk": // disk a manual | auto
        member().manualDisk = words[1] === "manual";
        break;
      case "applying":
        member().manualApply = words[1] === "manual";
        break;
      case "time": // time +50
        rig.nowMs += Number(words[0]);
        break;
      case "pause": // pause a 200: its ordinary clock stands still that long, everybody else's goes on
        member().stoppedMs += Number(words[1]);
        rig.nowMs += Number(words[1]);
        break;
      case "wall": // wall a +5000: its wall clock is ahead
        member().wallOffsetMs = Number(words[1]);
        break;
      case "tick":
        for (const id of words) rig.tick(rig.get(id));
        break;
      case "lapse": // its leases look at their deadlines
        for (const id of words) rig.lapse(rig.get(id));
        break;
      case "timeout": {
        // the clock goes on to its next wake; it is ticked
        const at = member();
        const wakeMs = at.raft.nextWakeMs();
        if (wakeMs === Number.POSITIVE_INFINITY) this.#say(`${at.id}  sleeps`);
        else rig.nowMs = Math.max(rig.nowMs, wakeMs / at.rate + at.stoppedMs);
        rig.tick(at);
        break;
      }
      case "beat": // beat a b c: a heartbeats b and c, and hears back
        for (const other of words.slice(1)) rig.beat(member(), rig.get(other));
        break;
      case "propose": {
        // propose a x [key | all | none]
        const result = rig.propose(member(), words[1] ?? "", scopeOf(words[2] ?? "none"));
        if (typeof result === "string") this.#say(`${words[0]}  refuses: ${result}`);
        break;
      }
      case "batch": {
        // batch a x y z: proposed together, drained once
        const at = member();
        for (const data of words.slice(1)) at.raft.propose({ data, scope: SCOPE_NONE, sizeBytes: 1 }, rig.now(at));
        rig.drain(at);
        break;
      }
      case "read": // read a key
        rig.read(member(), ++this.#reads, scopeOf(words[1] ?? "all"));
        break;
      case "may-read": {
        const at = member();
        this.#say(`${at.id}  ${at.raft.mayRead(scopeOf(words[1] ?? "all"), rig.now(at)) ? "may read" : "may not read"}`);
        break;
      }
      case "deliver": // deliver | deliver a→b | deliver a→b first
        this.#deliver(words[0], words[1] === "first" ? 1 : Number.POSITIVE_INFINITY);
        break;
      case "hold": {
        // hold a→b: the messages there at present are put aside, to be given back by `release`
        const [held, rest] = split(rig.wire, (packet) => `${packet.from}→${packet.to}` === words[0]);
        rig.wire = rest;
        this.#held.push(...held);
        break;
      }
      case "copy": // copy a→b: the messages there come twice
        rig.wire.push(...rig.wire.filter((packet) => `${packet.from}→${packet.to}` === words[0]));
        break;
      case "release":
        for (const packet of this.#held)
          if (words[0] === undefined || `${packet.from}→${packet.to}` === words[0]) rig.wire.push(packet);
        this.#held = this.#held.filter((packet) => words[0] !== undefined && `${packet.from}→${packet.to}` !== words[0]);
        break;
      case "drop": // drop | drop a→b
        rig.wire = rig.wire.filter((packet) => words[0] !== undefined && `${packet.from}→${packet.to}` !== words[0]);
        break;
      case "store":
        for (const id of words) rig.store(rig.get(id));
        break;
      case "apply":
        for (const id of words) rig.apply(rig.get(id));
        break;
      case "settle": // everything is delivered and stored; only what came of it is told
        this.#quiet = true;
        this.#deliver(undefined, Number.POSITIVE_INFINITY);
        this.#quiet = false;
        break;
      case "cut": // cut a: from all · cut a b: between the two · cut a→b: one way
        this.#cut(words);
        break;
      case "heal":
        rig.cut.clear();
        break;
      case "crash":
        for (const id of words) rig.crash(rig.get(id));
        break;
      case "restart":
        for (const id of words) {
          rig.crash(rig.get(id));
          rig.start(rig.get(id));
          rig.drain(rig.get(id));
        }
        break;
      case "forget": // its log and rows go, if it may
        for (const id of words) if (!rig.forget(rig.get(id))) this.#say(`${id}  may not forget`);
        break;
      case "transfer":
        if (!member().raft.transfer(words[1] ?? "", rig.now(member()))) this.#say(`${words[0]}  refuses`);
        rig.drain(member());
        break;
      case "reconfigure": {
        // reconfigure a abd learners e
        const learners = words.includes("learners") ? [...(words[words.indexOf("learners") + 1] ?? "")] : [];
        const result = member().raft.reconfigure({ voters: [...(words[1] ?? "")], learners }, rig.now(member()));
        if (typeof result === "string") this.#say(`${words[0]}  refuses: ${result}`);
        rig.drain(member());
        break;
      }
      case "trim": // trim a memory storage
        rig.trim(member(), Number(words[1]), Number(words[2]));
        break;
      case "ship": // ship a d [fails]
        rig.shipSnapshot(member(), words[1] ?? "", words[2] !== "fails");
        break;
      case "stamp": // its log time, against the wall clock of a node whose clock is right
        for (const id of words)
          this.#say(`${id}  log time ${rig.get(id).raft.logTimeMs - 1_000_000 - rig.nowMs} ms after true time`);
        break;
      case "show":
        for (const id of words) this.#show(rig.get(id));
        break;
      default:
        throw new Error(`no such command: ${verb}`);
    }
  }
  #voters: readonly MemberId[] = [];
  #held: Packet[] = [];

  #listen(rig: Rig): void {
    this.#rig = rig;
    rig.onEffects = (at, effects) => this.#tell(at, effects);
    rig.onLease = (at, events) => {
      for (const event of events) this.#say(`${at.id}  ${event.kind} ${event.peer}`);
    };
    for (const at of rig.members.values()) rig.drain(at);
    this.#lines = [];
  }

  /** Delivers what is on the wire and, without a given way, what comes of it, oldest first. */
  #deliver(way: string | undefined, most: number): void {
    const rig = this.#rig;
    if (way !== undefined) {
      const chosen = rig.wire.filter((packet) => `${packet.from}→${packet.to}` === way).slice(0, most);
      for (const packet of chosen) rig.deliver(rig.wire.indexOf(packet));
      return;
    }
    for (let k = 0; rig.wire.length > 0; k++) {
      assert(k < 2000, "a script's messages come to an end");
      rig.deliver(0);
    }
  }

  #cut(words: readonly string[]): void {
    const rig = this.#rig;
    const [one = "", other] = words;
    if (one.includes("→")) rig.cut.add(one);
    else
      for (const id of rig.members.keys()) {
        if (id === one || (other !== undefined && id !== other)) continue;
        rig.cut.add(`${one}→${id}`);
        rig.cut.add(`${id}→${one}`);
      }
  }

  #say(line: string): void {
    this.#lines.push(line);
  }

  #tell(at: Member, effects: Effects<Cmd>): void {
    const { raft } = at;
    const state = `${raft.role}${raft.leader === null || raft.leader === at.id ? "" : ` of ${raft.leader}`}, term ${raft.term}`;
    if (effects.changed && this.#said.get(at.id) !== state) {
      this.#said.set(at.id, state);
      this.#say(`${at.id}  ${state}`);
    }
    if (!this.#quiet) {
      const { write } = effects;
      if (write !== null) {
        const install = write.install === null ? "" : ` snapshot at ${write.install.index}`;
        const cut = write.truncateFrom === 0 ? "" : ` removes from ${write.truncateFrom}`;
        const entries = write.entries.map((entry) => ` ${entry.index}.${entry.term}:${describe(entry)}`).join("");
        this.#say(`${at.id}  writes #${write.seq} term ${write.term} vote ${write.vote ?? "-"}${install}${cut}${entries}`);
      }
      for (const { to, message, afterSeq } of effects.messages) {
        this.#say(`${at.id}→${to} ${describeMessage(message)}${afterSeq === 0 ? "" : ` (after #${afterSeq})`}`);
      }
    }
    if (effects.apply.length > 0) {
      this.#say(`${at.id}  commits${effects.apply.map((entry) => ` ${entry.index}:${describe(entry)}`).join("")}`);
    }
    for (const read of effects.reads)
      this.#say(`${at.id}  read ${read.id} ${read.ok ? `answered at ${read.index}` : `fails: ${read.why}`}`);
    for (const to of effects.snapshots) this.#say(`${at.id}  wants a snapshot for ${to}`);
    for (const fetch of effects.fetches) this.#say(`${at.id}  fetches from ${fetch.from} for ${fetch.to}`);
  }

  #show(at: Member): void {
    const { raft } = at;
    const terms: string[] = [];
    for (let index = raft.anchor.index + 1; index <= raft.lastIndex; index++) terms.push(String(raft.entry(index)?.term));
    const before = raft.anchor.index === 0 ? "" : `(${raft.anchor.index}.${raft.anchor.term}) `;
    const state = `${raft.role}${raft.leader === null || raft.leader === at.id ? "" : ` of ${raft.leader}`}, term ${raft.term}`;
    const supporters =
      raft.supporters.length === 0 ? "" : ` peers ${raft.supporters.map((id) => `${id}:${raft.progress(id)?.match}`).join(" ")}`;
    this.#say(
      `${at.id}  ${state}, log ${before}[${terms.join(" ")}] commit ${raft.commitIndex} ${describeConfiguration(raft.configuration)}${supporters}`,
    );
    if (raft.nextWakeMs() === Number.POSITIVE_INFINITY) this.#say(`${at.id}  asleep`);
  }
}

function split<T>(items: readonly T[], test: (item: T) => boolean): [T[], T[]] {
  return [items.filter(test), items.filter((item) => !test(item))];
}

function scopeOf(word: string): Scope {
  if (word === "all") return SCOPE_ALL;
  if (word === "none") return SCOPE_NONE;
  return word.charCodeAt(0);
}

function describeMessage(message: Message<Cmd>): string {
  switch (message.kind) {
    case "vote":
      return `${message.pre ? "pre-vote" : "vote"}? term ${message.term}, log ends ${message.lastIndex}.${message.lastTerm}${message.force ? ", forced" : ""}`;
    case "vote-reply":
      return `${message.pre ? "pre-vote" : "vote"} ${message.granted ? "yes" : "no"}, term ${message.term}`;
    case "append": {
      const entries = message.entries.map((entry) => ` ${entry.index}.${entry.term}:${describe(entry)}`).join("");
      return `append term ${message.term} after ${message.prevIndex}.${message.prevTerm}${entries === "" ? " nothing" : entries}, commit ${message.commit}, durable ${message.durable}`;
    }
    case "append-reply":
      return `${message.ok ? `has ${message.match}` : `refuses ${message.refused}, look at ${message.match}`}, term ${message.term}, commit ${message.commit}`;
    case "snapshot":
      return `snapshot term ${message.term} at ${message.anchor.index}.${message.anchor.term}`;
    case "confirm":
      return `still my follower? term ${message.term} round ${message.round % 2 ** 32}`;
    case "confirm-reply":
      return `still, term ${message.term} round ${message.round % 2 ** 32}`;
    case "read-index":
      return `read index? term ${message.term} ask ${message.ask % 2 ** 32} × ${message.scopes.length}`;
    case "read-index-reply":
      return `read index ask ${message.ask % 2 ** 32}: ${message.indices === null ? "I don't lead" : message.indices.join(" ")}`;
    case "campaign-now":
      return `campaign now, term ${message.term}`;
    case "lead-question":
      return `do you lead in term ${message.term}?`;
    case "lead-answer":
      return `I ${message.leads ? "lead" : "don't lead"} in term ${message.term}`;
  }
}
