import type { Groups } from "../../group/groups.ts";
import { type ByteSource, sourceOf } from "../../util/byte-source.ts";
import type { BucketId, GroupId, VersionId } from "../../util/ids.ts";
import type { BodyReading } from "../bytes/data-path.ts";
import { type FoundObject, type ObjectHeaders, type ObjectPart, ServiceError, type StoredChecksum } from "../object-service.ts";
import { type BodyPlace, partCount, type PlacedPart, readPart, readPartIndex } from "../partition/body-reads.ts";
import type { Version } from "../partition/version-row.ts";

export interface FoundModules {
  readonly groups: Groups;
  readonly reading: BodyReading;
}

/** A head version as it was at the moment of the lookup. */
export class Found implements FoundObject {
  readonly version: VersionId;
  readonly sizeBytes: number;
  readonly etag: string;
  readonly stampMs: number;
  readonly headers: ObjectHeaders;
  declare readonly checksum?: StoredChecksum;
  readonly inline: Uint8Array | undefined;
  readonly #place: { readonly group: GroupId; readonly bucket: BucketId; readonly key: string };
  readonly #content: Version;
  readonly #modules: FoundModules;

  constructor(
    place: { readonly group: GroupId; readonly bucket: BucketId; readonly key: string },
    version: VersionId,
    content: Version,
    modules: FoundModules,
  ) {
    this.version = version;
    this.sizeBytes = content.sizeBytes;
    this.etag = content.etag;
    this.stampMs = content.stampMs;
    this.headers = content.headers;
    if (content.checksum !== undefined) this.checksum = content.checksum;
    this.inline = content.stored.kind === "inline" ? content.stored.bytes : undefined;
    this.#place = place;
    this.#content = content;
    this.#modules = modules;
  }

  get partCount(): number {
    return partCount(this.#content.stored);
  }

  /** Where the bytes lie; for copies. */
  get place(): BodyPlace {
    const { claim, sizeBytes, stored } = this.#content;
    const { group, bucket, key } = this.#place;
    return { group, bucket, key, claim, sizeBytes, stored };
  }

  open(range?: { readonly start: number; readonly end: number }): ByteSource {
    const { inline } = this;
    if (inline !== undefined) return sourceOf(range === undefined ? inline : inline.subarray(range.start, range.end));
    return this.#modules.reading.open(this.place, range);
  }

  async part(number: number): Promise<ObjectPart | null> {
    if (this.partCount === 0) return number === 1 ? this.#whole() : null;
    if (number < 1 || number > this.partCount) return null;
    return (await this.#readParts(number - 1, 1))[0] ?? null;
  }

  async parts(after: number, limit: number): Promise<readonly ObjectPart[]> {
    return this.partCount === 0 || limit <= 0 ? [] : this.#readParts(after, limit);
  }

  #whole(): ObjectPart {
    const { checksum, sizeBytes } = this;
    return { number: 1, offset: 0, sizeBytes, ...(checksum ? { checksum } : {}) };
  }

  #readParts(after: number, limit: number): Promise<readonly ObjectPart[]> {
    const { place } = this;
    const { stored } = place;
    return this.#modules.groups.read(place.group, (rows) => {
      const index = readPartIndex(rows, place, after, limit);
      if (index === undefined || (stored.kind !== "parts" && stored.kind !== "part-pages")) throw replaced();
      return index.map(({ position, entry, offset }: PlacedPart): ObjectPart => {
        const row = readPart(rows, place, stored.upload, entry.number);
        if (row === undefined) throw replaced();
        const { checksum } = row;
        return { number: position, offset, sizeBytes: entry.size, ...(checksum ? { checksum } : {}) };
      });
    });
  }
}

function replaced(): ServiceError {
  return new ServiceError("object.replaced", "the object was replaced while its parts were read");
}
