import { createHash } from "node:crypto";
import type { BucketUsage, ObjectHeaders, WriteCondition } from "../../object-service.ts";

/** S3's semantics in the plainest form: what the service's answers are compared with. */
export class ModelBucket {
  readonly objects = new Map<string, ModelObject>();
  readonly uploads = new Map<string, ModelUpload>();

  put(key: string, object: ModelObject, condition?: WriteCondition): "ok" | "precondition-failed" | "no-such-key" {
    const refused = this.#refusal(key, condition);
    if (refused) return refused;
    this.objects.set(key, object);
    return "ok";
  }

  delete(key: string, condition?: WriteCondition): "existed" | "absent" | "precondition-failed" | "no-such-key" {
    const refused = this.#refusal(key, condition);
    if (refused) return refused;
    return this.objects.delete(key) ? "existed" : "absent";
  }

  complete(
    id: string,
    parts: readonly { part: number; etag: string }[],
    minPartSize: number,
    condition?: WriteCondition,
  ): { ok: true; object: ModelObject } | { ok: false; code: string; part?: number } {
    const upload = this.uploads.get(id);
    if (upload === undefined) {
      for (const object of this.objects.values()) {
        const { made } = object;
        if (made?.upload === id && JSON.stringify(made.parts) === JSON.stringify(parts)) return { ok: true, object };
      }
      return { ok: false, code: "no-such-upload" };
    }
    const refused = this.#refusal(upload.key, condition);
    if (refused) return { ok: false, code: refused };
    const chosen: ModelPart[] = [];
    const faults: { code: string; part: number }[] = [];
    for (const [at, { part, etag }] of parts.entries()) {
      const stored = upload.parts.get(part);
      if (stored === undefined || stored.etag !== etag) faults.push({ code: "invalid-part", part });
      else if (at < parts.length - 1 && stored.bytes.length < minPartSize) faults.push({ code: "part-too-small", part });
      if (stored) chosen.push(stored);
    }
    // A part that is not there is found after those that are: the rows are walked first.
    const fault = faults.find(({ part }) => upload.parts.has(part) && !after(part, parts, upload)) ?? faults[0];
    if (fault) return { ok: false, ...fault };
    const hash = createHash("md5");
    for (const { etag } of chosen) hash.update(etag, "hex");
    const object: ModelObject = {
      bytes: Buffer.concat(chosen.map(({ bytes }) => bytes)),
      etag: `${hash.digest("hex")}-${chosen.length}`,
      headers: upload.headers,
      partSizes: chosen.map(({ bytes }) => bytes.length),
      made: { upload: id, parts },
    };
    this.objects.set(upload.key, object);
    this.uploads.delete(id);
    return { ok: true, object };
  }

  /** Keys and common prefixes of the whole bucket in the byte order of UTF-8. */
  list(prefix: string, delimiter: string): readonly { key: string; prefix: boolean }[] {
    const found = new Map<string, boolean>();
    for (const key of this.objects.keys()) {
      if (!key.startsWith(prefix)) continue;
      const end = delimiter === "" ? -1 : key.indexOf(delimiter, prefix.length);
      if (end < 0) found.set(key, false);
      else found.set(key.slice(0, end + delimiter.length), true);
    }
    return [...found].map(([key, isPrefix]) => ({ key, prefix: isPrefix })).sort((a, b) => byteOrder(a.key, b.key));
  }

  usage(): BucketUsage {
    let bytes = 0;
    for (const object of this.objects.values()) bytes += object.bytes.length;
    let parts = 0;
    let partBytes = 0;
    for (const upload of this.uploads.values()) {
      parts += upload.parts.size;
      for (const part of upload.parts.values()) partBytes += part.bytes.length;
    }
    const objects = this.objects.size;
    return { objects, versions: objects, bytes, uploads: this.uploads.size, parts, partBytes };
  }

  #refusal(key: string, condition: WriteCondition | undefined): "precondition-failed" | "no-such-key" | undefined {
    if (condition === undefined) return undefined;
    const present = this.objects.get(key);
    if ("ifNoneMatch" in condition) return present ? "precondition-failed" : undefined;
    if (present === undefined) return "no-such-key";
    return condition.ifMatch === "*" || condition.ifMatch.includes(present.etag) ? undefined : "precondition-failed";
  }
}

/** Whether a part lies behind a missing one: then the missing one is what the walk stumbles over. */
function after(part: number, parts: readonly { part: number }[], upload: ModelUpload): boolean {
  return parts.some((other) => other.part < part && !upload.parts.has(other.part));
}

export interface ModelObject {
  readonly bytes: Buffer;
  readonly etag: string;
  readonly headers: ObjectHeaders;
  readonly partSizes?: readonly number[];
  readonly made?: { readonly upload: string; readonly parts: readonly { part: number; etag: string }[] };
}
export interface ModelUpload {
  readonly key: string;
  readonly headers: ObjectHeaders;
  readonly parts: Map<number, ModelPart>;
}
export interface ModelPart {
  readonly bytes: Buffer;
  readonly etag: string;
}

export function byteOrder(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

export function md5(bytes: Uint8Array): string {
  return createHash("md5").update(bytes).digest("hex");
}
