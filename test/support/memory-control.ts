import type { AccessKey, Bucket, ControlService, CreateBucketOutcome, Rights } from "../../src/model/control-service.ts";
import { bucketNameFault } from "../../src/model/control/bucket-names.ts";
import type { BucketId } from "../../src/util/ids.ts";

const NONE: Rights = { read: false, write: false, owner: false };
const ALL: Rights = { read: true, write: true, owner: true };

interface MemoryBucket {
  readonly id: BucketId;
  readonly createdMs: number;
  readonly aliases: Map<string, string>;
  readonly rights: Map<string, Rights>;
}

/** A ControlService in plain maps, for tests of the S3 door alone. */
export class MemoryControl implements ControlService {
  readonly keys = new Map<string, AccessKey>();
  readonly #buckets = new Map<BucketId, MemoryBucket>();
  readonly #isEmpty: (id: BucketId) => boolean;
  #nextId = 1;

  constructor(isEmpty: (id: BucketId) => boolean) {
    this.#isEmpty = isEmpty;
  }

  addKey(key: Partial<AccessKey> & { readonly id: string; readonly secret: string }): AccessKey {
    const whole = { name: `name of ${key.id}`, createdMs: 0, expiresMs: undefined, mayCreateBucket: true, ...key };
    this.keys.set(whole.id, whole);
    return whole;
  }

  allow(keyId: string, bucketId: BucketId, rights: Rights, alias?: string): void {
    const bucket = this.#buckets.get(bucketId);
    bucket?.rights.set(keyId, rights);
    if (alias !== undefined) bucket?.aliases.set(keyId, alias);
  }

  accessKey(id: string): AccessKey | undefined {
    return this.keys.get(id);
  }

  resolveBucket(name: string, keyId: string | undefined): Bucket | undefined {
    for (const bucket of this.#buckets.values())
      if (bucket.id === name || (keyId !== undefined && bucket.aliases.get(keyId) === name)) return view(bucket);
    return undefined;
  }

  bucket(id: BucketId): Bucket | undefined {
    const bucket = this.#buckets.get(id);
    return bucket && view(bucket);
  }

  bucketsOf(keyId: string): readonly { readonly name: string; readonly bucket: Bucket }[] {
    return [...this.#buckets.values()]
      .flatMap((bucket) => (bucket.aliases.has(keyId) ? [{ name: bucket.aliases.get(keyId) ?? "", bucket: view(bucket) }] : []))
      .sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  createBucketFor({ keyId, name }: { readonly keyId: string; readonly name: string }): Promise<CreateBucketOutcome> {
    const fault = bucketNameFault(name, { allowPunycode: false });
    if (fault !== undefined) return Promise.resolve({ ok: false, code: "invalid-name", message: fault });
    if (this.resolveBucket(name, keyId) !== undefined)
      return Promise.resolve({ ok: false, code: "owned-by-you", message: "taken" });
    const id = (this.#nextId++).toString(16).padStart(64, "0") as BucketId;
    this.#buckets.set(id, { id, createdMs: Date.now(), aliases: new Map([[keyId, name]]), rights: new Map([[keyId, ALL]]) });
    return Promise.resolve({ ok: true, id });
  }

  deleteBucketFor({ id }: { readonly id: BucketId }): ReturnType<ControlService["deleteBucketFor"]> {
    if (!this.#buckets.has(id)) return Promise.resolve({ ok: false, code: "no-such-bucket" });
    if (!this.#isEmpty(id)) return Promise.resolve({ ok: false, code: "not-empty" });
    this.#buckets.delete(id);
    return Promise.resolve({ ok: true });
  }
}

function view(bucket: MemoryBucket): Bucket {
  return {
    id: bucket.id,
    indexShards: 1,
    quotas: {},
    createdMs: bucket.createdMs,
    globalAliases: [],
    localAliases: [...bucket.aliases].map(([keyId, alias]) => ({ keyId, alias })),
    rights: (keyId) => bucket.rights.get(keyId) ?? NONE,
    keys: [...bucket.rights].map(([keyId, rights]) => ({ keyId, rights })),
    website: undefined,
  };
}
