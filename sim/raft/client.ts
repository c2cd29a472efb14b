// Clients: they call any node, wait, and write down what they learned. A node passes calls on, asks again, and gives up after a
// while.
import { describeOperation, type Call, type Condition, type Operation, type Outcome } from "../linearizability/operation.ts";
import { ALL_KEYS, type Command, WINDOW_MS } from "./machine.ts";
import type { HostPart, NodePart } from "./parts.ts";
import { HEAL_MS, isMemberOf, nodeOf, type World } from "./world.ts";

export interface Wish {
  readonly group: number;
  /** Of a list or clear: 0. */
  readonly key: number;
  readonly kind: "get" | "put" | "delete" | "list" | "clear";
  readonly value?: number | undefined;
  readonly want?: number | null | undefined;
}

export class Clients {
  readonly history: Operation[] = [];
  readonly #world: World;
  #sequence = 0;
  /** Per group and key: what was put lately, to make conditions that have a chance. */
  readonly #lately = new Map<string, (number | null)[]>();
  #values = 0;
  #extraReads = 40;
  #extraWrites = 4;

  constructor(world: World) {
    this.#world = world;
  }

  /** Clients that call, wait, think and call again, until each has made its calls. */
  start(): void {
    const { profile, dice } = this.#world;
    for (let client = 0; client < profile.clients; client++) {
      let left = profile.operationsPerClient;
      const group = profile.focus === "wide" ? null : client % profile.groups;
      const next = (): void => {
        if (left-- <= 0) return;
        const chosen = group ?? dice.below(profile.groups);
        const wish = this.#draw(chosen);
        const node = this.#chooseNode(chosen);
        // Where reads are the theme, one asks for every key at once.
        if (profile.crowded && wish.kind === "get") {
          for (let key = 0; key < profile.keys; key++)
            if (key !== wish.key) this.call(node, { group: chosen, key, kind: "get" }, 300, `c${client}`);
        }
        this.call(node, wish, 300 + dice.below(100), `c${client}`, () => {
          this.#world.after(
            dice.below(profile.huntLeaders || profile.focus === "retry" || profile.focus === "reads" ? 25 : 90),
            next,
          );
        });
      };
      this.#world.after(100 + dice.below(500), next);
    }
  }

  #draw(group: number): Wish {
    const { dice, profile } = this.#world;
    const key = dice.below(profile.keys);
    const draw = dice.random();
    if (draw < profile.reads / 8) return { group, key: 0, kind: "list" };
    if (draw < profile.reads) return { group, key, kind: "get" };
    if (draw < profile.reads + 0.03) return { group, key: 0, kind: "clear" };
    const lately = this.#lately.get(`${group}/${key}`) ?? [null];
    const want = dice.chance(profile.conditions) ? lately[Math.max(0, lately.length - 1 - dice.below(3))]! : undefined;
    if (draw < profile.reads + profile.deletes) return { group, key, kind: "delete", want: want ?? undefined };
    const value = ++this.#values;
    this.#lately.set(`${group}/${key}`, [...lately.slice(-3), value]);
    return { group, key, kind: "put", value, want };
  }
  #chooseNode(group: number): NodePart {
    const world = this.#world;
    const { dice, nodes, profile } = world;
    const leaders = nodes.filter((node) => node.up && node.hosts.get(group)?.raft.role === "leader");
    // Leaders that should no longer be, and those that have just become: where a lease would go wrong.
    if (profile.huntLeaders && leaders.length > 0 && dice.chance(0.7)) {
      leaders.sort((a, b) => a.hosts.get(group)!.raft.term - b.hosts.get(group)!.raft.term);
      return dice.chance(0.5) ? leaders[0]! : leaders.at(-1)!;
    }
    const members = nodes.filter((node) => node.up && isMemberOf(world, node, group));
    if (profile.crowded && dice.chance(0.6)) return nodes[group % nodes.length]!;
    return members.length > 0 && dice.chance(0.8) ? dice.pick(members) : dice.pick(nodes);
  }
  /** A new leader: somebody writes there at once. */
  newLeader(host: HostPart): void {
    const { profile, dice, now } = this.#world;
    if (!profile.huntLeaders || now > HEAL_MS || this.#extraWrites-- <= 0) return;
    const { group, node } = host;
    node.local(dice.random() * 3, () => this.call(node, { group, key: 0, kind: "put", value: ++this.#values }, 100, "extra"));
  }
  put(node: NodePart, group: number, key: number, limitMs: number, then: (outcome: Outcome) => void): void {
    this.call(node, { group, key, kind: "put", value: ++this.#values }, limitMs, "probe", then);
  }

  call(node: NodePart, wish: Wish, limitMs: number, client: string, then?: (outcome: Outcome) => void): void {
    const world = this.#world;
    if (!node.up || !node.active) {
      then?.("unknown"); // nobody heard it
      return;
    }
    const id = `${client}.${++this.#sequence}`;
    const invokedAt = world.now;
    const until = invokedAt + limitMs;
    const call = toCall(wish);
    const reading = wish.kind === "get" || wish.kind === "list";
    const wide = wish.kind === "list" || wish.kind === "clear";
    let open = true;
    const end = (outcome: Outcome, values: readonly (number | null)[] = []): void => {
      if (!open) return;
      open = false;
      node.calls.delete(id);
      const returnedAt = outcome === "unknown" ? Number.POSITIVE_INFINITY : world.now;
      // A list reads every key, a clear deletes every key: one operation in each key's history.
      const keys = wide ? world.profile.keys : 1;
      for (let i = 0; i < keys; i++) {
        const key = `g${wish.group}/k${wide ? i : wish.key}`;
        const learned = outcome !== "unknown" && reading ? { value: values[i]! } : outcome;
        const operation: Operation = { client: `${id}@n${node.index}`, key, call, invokedAt, returnedAt, outcome: learned };
        this.history.push(operation);
        world.note(
          wish.group,
          () =>
            `client ${id} at node ${node.index}, ${wide ? `${wish.kind} ` : ""}${key}: ${describeOperation(operation)} (asked at ${invokedAt.toFixed(1)})`,
          { call: id },
        );
      }
      world.count(`${wish.kind} ${typeof outcome === "object" ? "ok" : outcome}`);
      world.trace.mix(world.now, this.history.length);
      if (outcome !== "unknown" && !reading) this.#readElsewhere(node, wish);
      then?.(outcome);
    };
    const learned = (values: readonly (number | null)[]): void => end({ value: null }, values);
    node.calls.set(id, { end, settle: (result) => end(result === "expired" ? "unknown" : result) });
    const command: Command | null =
      wish.kind === "get" || wish.kind === "list"
        ? null
        : {
            id,
            key: wish.key,
            kind: wish.kind,
            value: wish.value ?? 0,
            want: wish.want,
            expiresMs: Math.floor(node.moment().wallMs + WINDOW_MS / 2),
            coordinator: node.index,
          };
    const ask = (): void => {
      if (!open) return;
      if (world.now > until) {
        end("unknown");
        return;
      }
      if (command === null) this.#askRead(node, wish, learned);
      else passOn(world, node, wish.group, command, 2);
      node.local(world.profile.retryMs + world.dice.below(2 * world.profile.retryMs), ask);
    };
    node.local(0, ask);
  }

  #askRead(node: NodePart, wish: Wish, done: (values: (number | null)[]) => void): void {
    const world = this.#world;
    const { group } = wish;
    const key = wish.kind === "list" ? ALL_KEYS : wish.key;
    const host = node.hosts.get(group);
    if (host !== undefined && isMemberOf(world, node, group)) {
      if (world.planted("local-read")) {
        done(host.values(key));
        return;
      }
      if (host.raft.role === "leader" || world.dice.chance(0.7)) {
        host.read(key, done);
        return;
      }
    }
    const to = guessLeader(world, node, group);
    world.send(node.index, to, (other) => {
      const there = other.hosts.get(group);
      if (there === undefined) return;
      there.read(key, (values) => world.send(other.index, node.index, () => done(values)));
    });
  }
  /** What was just answered must show everywhere: ask others who think they lead. */
  #readElsewhere(node: NodePart, wish: Wish): void {
    const world = this.#world;
    const { dice, profile, nodes } = world;
    if (!profile.huntLeaders || world.healing) return;
    for (const other of nodes) {
      if (other === node || !other.up || other.hosts.get(wish.group)?.raft.role !== "leader" || this.#extraReads-- <= 0) continue;
      world.after(dice.random() * dice.random() * 25, () =>
        this.call(other, { group: wish.group, key: wish.key, kind: "get" }, 60, "extra"),
      );
    }
  }
}

function passOn(world: World, node: NodePart, group: number, command: Command, hops: number): void {
  const host = node.hosts.get(group);
  if (host?.raft.role === "leader") {
    const known = host.machine.once.peek(command.id);
    if (known !== undefined && command.coordinator !== node.index) {
      world.send(node.index, command.coordinator, (other) => other.calls.get(command.id)?.settle(known));
      return;
    }
    host.propose(command);
    return;
  }
  const to = guessLeader(world, node, group);
  if (hops > 0 && to !== node.index) world.send(node.index, to, (other) => passOn(world, other, group, command, hops - 1));
}

/** Where to turn: to the leader if known; else to a member, as the layout would tell, or now and then to anybody. */
function guessLeader(world: World, node: NodePart, group: number): number {
  const { dice, nodes } = world;
  const leader = node.hosts.get(group)?.raft.leader;
  const trusted = !world.healing || isMemberOf(world, node, group);
  if (trusted && leader !== undefined && leader !== null && dice.chance(0.8)) return nodeOf(leader);
  const members = nodes.filter((other) => other !== node && other.active && isMemberOf(world, other, group));
  return members.length > 0 && (world.healing || dice.chance(0.8)) ? dice.pick(members).index : dice.below(nodes.length);
}

function toCall(wish: Wish): Call {
  if (wish.kind === "get" || wish.kind === "list") return { kind: "get" };
  const condition: Condition | undefined =
    wish.want === undefined ? undefined : wish.want === null ? "absent" : { is: wish.want };
  return wish.kind === "put" ? { kind: "put", value: wish.value!, if: condition } : { kind: "delete", if: condition };
}
