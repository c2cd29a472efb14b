import type { ControlCommand, ControlRefusal } from "../control-commands.ts";
import type { BucketPhase } from "../rows.ts";

interface PlainBucket {
  phase: BucketPhase;
  attempt: number;
  /** "alias" or "keyId/alias" */
  readonly names: Set<string>;
  readonly rights: Map<string, Set<string>>;
  website: string | undefined;
  maxSizeBytes: number | undefined;
  maxObjects: number | undefined;
}

interface PlainKey {
  secret: string;
  name: string;
  expiresMs: number | undefined;
  mayCreateBucket: boolean;
  deleted: boolean;
}

interface PlainToken {
  name: string;
  expiresMs: number | undefined;
  scope: readonly string[];
}

type Of<O extends ControlCommand["op"]> = Extract<ControlCommand, { op: O }>;
type Answer = "ok" | ControlRefusal;

/** What the control group must decide, as plainly as it can be said: no rows, names looked up by going through all buckets. */
export class PlainControl {
  bootstrapped = false;
  readonly buckets = new Map<string, PlainBucket>();
  readonly keys = new Map<string, PlainKey>();
  readonly tokens = new Map<string, PlainToken>();
  layoutRevision = 0;

  decide(command: ControlCommand): Answer {
    switch (command.op) {
      case "bootstrap":
        if (this.bootstrapped) return "already-bootstrapped";
        this.bootstrapped = true;
        return "ok";
      case "create-bucket":
        return this.#createBucket(command);
      case "bucket-ready": {
        const bucket = this.buckets.get(command.id);
        if (bucket?.phase === "creating") bucket.phase = "live";
        return bucket ? "ok" : "no-such-bucket";
      }
      case "begin-delete": {
        const bucket = this.buckets.get(command.id);
        if (!bucket || bucket.phase === "removing") return "no-such-bucket";
        if (bucket.phase !== "live") return "busy";
        if (command.name && !bucket.names.has(nameOf(command.name.alias, command.name.keyId))) return "no-such-alias";
        if (bucket.names.size > 1) return "other-aliases";
        bucket.phase = "deleting";
        bucket.attempt++;
        return "ok";
      }
      case "finish-delete":
        return this.#end(command.id, command.attempt, "deleting", (bucket) => {
          bucket.phase = "removing";
          bucket.names.clear();
          bucket.rights.clear();
        });
      case "cancel-delete":
        return this.#end(command.id, command.attempt, "deleting", (bucket) => (bucket.phase = "unsealing"));
      case "unsealed":
        return this.#end(command.id, command.attempt, "unsealing", (bucket) => (bucket.phase = "live"));
      case "remove-bucket":
        if (this.buckets.get(command.id)?.phase !== "removing") return "no-such-bucket";
        this.buckets.delete(command.id);
        return "ok";
      case "add-alias":
        return this.#addAlias(command);
      case "remove-alias": {
        const found = this.#open(command.bucket);
        if (typeof found === "string") return found;
        const name = nameOf(command.alias, command.keyId);
        if (!found.names.has(name)) return "no-such-alias";
        if (found.names.size === 1 && !command.evenLast) return "last-alias";
        found.names.delete(name);
        return "ok";
      }
      case "change-rights": {
        const found = this.#open(command.bucket);
        if (typeof found === "string") return found;
        if (!this.#isKey(command.keyId)) return "no-such-key";
        const rights = found.rights.get(command.keyId) ?? new Set();
        for (const letter of command.add) rights.add(letter);
        for (const letter of command.remove) rights.delete(letter);
        found.rights.set(command.keyId, rights);
        if (rights.size === 0) found.rights.delete(command.keyId);
        return "ok";
      }
      case "update-bucket": {
        const found = this.#open(command.id);
        if (typeof found === "string") return found;
        if (command.website !== undefined) found.website = command.website?.indexDocument;
        if (command.maxSizeBytes !== undefined) found.maxSizeBytes = command.maxSizeBytes ?? undefined;
        if (command.maxObjects !== undefined) found.maxObjects = command.maxObjects ?? undefined;
        return "ok";
      }
      case "create-key": {
        const known = this.keys.get(command.id);
        if (known) return command.sameIsFine && !known.deleted && known.secret === command.secret ? "ok" : "key-exists";
        const { secret, name, expiresMs, mayCreateBucket } = command;
        this.keys.set(command.id, { secret, name, expiresMs, mayCreateBucket, deleted: false });
        return "ok";
      }
      case "update-key": {
        const key = this.keys.get(command.id);
        if (!key || key.deleted) return "no-such-key";
        if (command.name !== undefined) key.name = command.name;
        if (command.expiresMs !== undefined) key.expiresMs = command.expiresMs ?? undefined;
        if (command.mayCreateBucket !== undefined) key.mayCreateBucket = command.mayCreateBucket;
        return "ok";
      }
      case "delete-key": {
        const key = this.keys.get(command.id);
        if (!key || key.deleted) return "no-such-key";
        Object.assign(key, { deleted: true, secret: "", expiresMs: undefined, mayCreateBucket: false });
        for (const bucket of this.buckets.values()) {
          bucket.rights.delete(command.id);
          for (const name of bucket.names) if (name.startsWith(`${command.id}/`)) bucket.names.delete(name);
        }
        return "ok";
      }
      case "create-token": {
        if (this.tokens.has(command.token.id)) return "token-exists";
        const { name, expiresMs, scope } = command.token;
        this.tokens.set(command.token.id, { name, expiresMs, scope });
        return "ok";
      }
      case "update-token": {
        const token = this.tokens.get(command.id);
        if (!token) return "no-such-token";
        if (command.name !== undefined) token.name = command.name;
        if (command.expiresMs !== undefined) token.expiresMs = command.expiresMs ?? undefined;
        if (command.scope !== undefined) token.scope = command.scope;
        return "ok";
      }
      case "delete-token":
        return this.tokens.delete(command.id) ? "ok" : "no-such-token";
      case "set-layout":
        if (command.expectedRevision !== this.layoutRevision) return "stale-layout";
        this.layoutRevision++;
        return "ok";
    }
  }

  /** Who has a name; it has at most one holder, whatever rivals did. */
  holder(name: string): string | undefined {
    const holders = [...this.buckets].filter(([, bucket]) => bucket.names.has(name));
    return holders[0]?.[0];
  }

  #createBucket(command: Of<"create-bucket">): Answer {
    if (this.buckets.has(command.id)) return "busy";
    const { localAlias: local, globalAlias, rights } = command;
    for (const key of [local?.keyId, rights?.keyId]) if (key !== undefined && !this.#isKey(key)) return "no-such-key";
    if (globalAlias !== undefined && this.holder(globalAlias) !== undefined) return "alias-taken";
    if (local) {
      if (this.holder(nameOf(local.alias, local.keyId)) !== undefined) return "alias-yours";
      const global = this.holder(local.alias);
      const own = global === undefined ? undefined : this.buckets.get(global)?.rights.get(local.keyId);
      if (global !== undefined) return own?.has("w") || own?.has("o") ? "alias-yours" : "alias-taken";
    }
    const names = new Set<string>();
    if (globalAlias !== undefined) names.add(globalAlias);
    if (local) names.add(nameOf(local.alias, local.keyId));
    const given = new Map(rights && rights.letters !== "" ? [[rights.keyId, new Set(rights.letters)]] : []);
    this.buckets.set(command.id, {
      phase: "creating",
      attempt: 0,
      names,
      rights: given,
      website: undefined,
      maxSizeBytes: undefined,
      maxObjects: undefined,
    });
    return "ok";
  }

  #addAlias(command: Of<"add-alias">): Answer {
    const found = this.#open(command.bucket);
    if (typeof found === "string") return found;
    if (command.keyId !== undefined && !this.#isKey(command.keyId)) return "no-such-key";
    const name = nameOf(command.alias, command.keyId);
    const holder = this.holder(name);
    if (holder !== undefined) return holder === command.bucket ? "ok" : "alias-taken";
    found.names.add(name);
    return "ok";
  }

  #open(id: string): PlainBucket | "no-such-bucket" | "busy" {
    const bucket = this.buckets.get(id);
    if (!bucket || bucket.phase === "removing") return "no-such-bucket";
    return bucket.phase === "deleting" ? "busy" : bucket;
  }

  #end(id: string, attempt: number, from: BucketPhase, then: (bucket: PlainBucket) => void): Answer {
    const bucket = this.buckets.get(id);
    if (!bucket) return "no-such-bucket";
    if (bucket.phase !== from || bucket.attempt !== attempt) return "old-attempt";
    then(bucket);
    return "ok";
  }

  #isKey(id: string): boolean {
    return this.keys.get(id)?.deleted === false;
  }
}

function nameOf(alias: string, keyId: string | undefined): string {
  return keyId === undefined ? alias : `${keyId}/${alias}`;
}
