import type { DataDirectories, DataDirectory } from "../block/data-directories.ts";
import { isDamage } from "../model/partition/damage.ts";
import type { Clock, Timer } from "../platform/clock.ts";
import { type Disk, DiskError } from "../platform/disk.ts";
import { type Kv, KvError } from "../platform/kv.ts";
import type { Log } from "../platform/log.ts";

/** The file in a data folder that says how far its blocks have got: "GENERATION CLUSTER\n". */
export const GENERATION_FILE = "hangar-generation";

/**
 * How long blocks may have been written before the generation is raised: copies of the metadata that are at most so much older go
 * unnoticed.
 */
const RAISE_AFTER_MS = 60_000;

/** The node's own row in the kv, in the place of a group that there never is. Payload: [codec u8] and JSON. */
const ROW_KEY = Buffer.of(0xff, 0xfe, 0x01);
const CODEC = 1;
/** Old folders that are remembered until somebody accepts them. */
const MAX_TOLD = 32;
const ACCEPT = "hangar repair accept-restored-copy";

interface GenerationRow {
  readonly generation: number;
  /** By the folder's marker: the generation that its file holds for certain. */
  readonly folders: Readonly<Record<string, number>>;
  /** Why nothing is collected until an operator says so: a sentence. */
  readonly held?: string;
  /** Folders that were older than the metadata, and not yet accepted so: a sentence each. */
  readonly old?: readonly string[];
}

/** What a folder's file says; "lost": nothing, or nothing that can be read. */
type Found = number | "lost";

/**
 * Notices a metadata store that was put back to an older copy beside newer blocks (and the reverse). Both sides carry a number,
 * the generation; it is raised at each start, and within a minute after blocks were written or removed. A folder with a higher
 * one than the kv has seen blocks that no row may know: then nothing is collected until an operator has accepted it.
 *
 * A raise: (1) the kv gets n + 1, durably; (2) so does each folder's file; (3) the kv notes which folders have it. A crash
 * between leaves a folder at what was noted or at the kv's number, never above it, never below what was noted: it looks like
 * neither kind of copy. A copy of the metadata that is older than the last raise has a lower number than the folders, and a copy
 * of a folder that is older than the last raise a lower one than was noted.
 */
export class DataGeneration {
  readonly #cluster: string;
  readonly #directories: DataDirectories;
  readonly #changes: () => number;
  readonly #kv: Kv;
  readonly #disk: Disk;
  readonly #clock: Clock;
  readonly #log: Log;
  #row: GenerationRow = { generation: 0, folders: {} };
  #raisedAt = 0;
  #isRaised = false;
  #timer: Timer | undefined;
  #raising: Promise<void> = Promise.resolve();

  private constructor(modules: DataGenerationModules) {
    this.#cluster = modules.cluster;
    this.#directories = modules.directories;
    this.#changes = modules.changes;
    this.#kv = modules.kv;
    this.#disk = modules.disk;
    this.#clock = modules.clock;
    this.#log = modules.log;
  }

  /** Compares what the kv and the folders say, and raises both. To be called before anything is written to a folder. */
  static async open(modules: DataGenerationModules): Promise<DataGeneration> {
    const own = new DataGeneration(modules);
    own.#row = await own.#readRow();
    const found = new Map<DataDirectory, Found>();
    for (const directory of modules.directories.all) found.set(directory, await readGeneration(directory.path, modules));
    own.#judge(found);
    const highest = Math.max(own.#row.generation, ...[...found.values()].filter((one) => one !== "lost"));
    await own.#raise(highest);
    return own;
  }

  /** Raises the generation from now on whenever blocks have changed. */
  start(): void {
    this.#timer = this.#clock.timer(RAISE_AFTER_MS, () => {
      this.#raising = this.#raiseIfChanged().finally(() => this.start());
    });
  }

  /** A last raise, so that what was copied before is older than what is left. */
  async stop(): Promise<void> {
    this.#timer?.cancel();
    await this.#raising;
    this.#timer?.cancel();
    await this.#raiseIfChanged();
  }

  /** Whether files may be removed for good. */
  get isHeld(): boolean {
    return this.#row.held !== undefined;
  }

  /** What an operator should know: a sentence each. */
  problems(): readonly string[] {
    const { held, old = [] } = this.#row;
    return held === undefined ? old : [held, ...old];
  }

  /** The operator's word that metadata and folders are right as they are. @returns what was accepted: a sentence each. */
  async accept(): Promise<readonly string[]> {
    const accepted = this.problems();
    if (accepted.length === 0) return accepted;
    const { generation, folders } = this.#row;
    await this.#writeRow({ generation, folders });
    this.#log.warn({ accepted }, "accepted as it is: blocks that no row knows of will go into the quarantine");
    return accepted;
  }

  #judge(found: ReadonlyMap<DataDirectory, Found>): void {
    const { generation, folders } = this.#row;
    const newer: string[] = [];
    const old: string[] = [];
    for (const [{ path, id }, one] of found) {
      const noted = folders[id] ?? 0;
      if (one === "lost") {
        if (noted > 0) newer.push(`${path} (its ${GENERATION_FILE} is lost, so nobody knows how new its blocks are)`);
      } else if (one > generation) newer.push(`${path} (generation ${one})`);
      else if (one < noted)
        old.push(
          `data folder ${path} (generation ${one}) is older than the metadata (${noted}), such as one that was put back from a copy: blocks that were written since are missing; \`hangar repair audit\` lists them. Put the newer folder back, or accept this one with \`${ACCEPT}\``,
        );
    }
    const held = `the metadata (generation ${generation}) is older than the blocks in ${newer.join(" and ")}, such as a metadata_dir that was put back from a copy: no block is removed. Put the newer metadata back, or accept this one with \`${ACCEPT}\``;
    this.#row = {
      ...this.#row,
      ...(newer.length > 0 ? { held } : {}),
      ...(old.length > 0 ? { old: [...(this.#row.old ?? []), ...old].slice(-MAX_TOLD) } : {}),
    };
    for (const sentence of this.problems()) this.#log.error({}, sentence);
  }

  async #raiseIfChanged(): Promise<void> {
    if (this.#isRaised && this.#changes() === this.#raisedAt) return;
    await this.#raise(this.#row.generation);
  }

  /** Never throws: what can't be raised now is tried again, and until then older copies may go unnoticed, nothing else. */
  async #raise(from: number): Promise<void> {
    const changes = this.#changes();
    const generation = from + 1;
    try {
      await this.#writeRow({ ...this.#row, generation });
      const folders = { ...this.#row.folders };
      let isEverywhere = true;
      for (const directory of this.#directories.all) {
        if (directory.readOnly) continue;
        if (await this.#writeGeneration(directory, generation)) folders[directory.id] = generation;
        else isEverywhere = false;
      }
      await this.#writeRow({ ...this.#row, folders });
      this.#isRaised = isEverywhere;
      this.#raisedAt = changes;
    } catch (error) {
      if (!(error instanceof KvError)) throw error;
      this.#isRaised = false;
      this.#log.warn({ err: error }, "the generation of the data could not be raised; it is tried again");
    }
  }

  async #writeGeneration({ path, presence }: DataDirectory, generation: number): Promise<boolean> {
    if (presence.away !== undefined) return false;
    const text = `${generation} ${this.#cluster}\n`;
    try {
      await this.#disk.writeDurable(`${path}/${GENERATION_FILE}`, [new TextEncoder().encode(text)], {
        sync: true,
        device: presence.device,
      });
      // In another folder of the same file system it would say nothing of this one.
      const found = await this.#disk.stat(path);
      return found?.device === presence.device && found.inode === presence.inode;
    } catch (error) {
      if (!(error instanceof DiskError)) throw error;
      this.#log.warn({ err: error, path }, "the generation of the data could not be raised; it is tried again");
      return false;
    }
  }

  async #readRow(): Promise<GenerationRow> {
    const empty = { generation: 0, folders: {} };
    try {
      const bytes = await this.#kv.read((rows) => rows.get("rows", ROW_KEY));
      if (bytes === undefined) return empty;
      if (bytes[0] !== CODEC) throw new Error(`generation row of codec ${bytes[0]}; this release reads ${CODEC}`);
      return JSON.parse(bytes.toString("utf8", 1)) as GenerationRow;
    } catch (error) {
      // Then every folder is newer.
      if (!isDamage(error)) throw error;
      this.#log.error({ err: error }, "the row with the generation of the metadata is damaged");
      return empty;
    }
  }

  async #writeRow(row: GenerationRow): Promise<void> {
    const value = Buffer.concat([Buffer.of(CODEC), Buffer.from(JSON.stringify(row))]);
    await this.#kv.transact((rows) => rows.put("rows", ROW_KEY, value));
    this.#row = row;
  }
}

export interface DataGenerationModules {
  /** The cluster's id: a folder's file belongs to it. */
  readonly cluster: string;
  readonly directories: DataDirectories;
  /** Grows with every block that is written, found again or removed. */
  readonly changes: () => number;
  readonly kv: Kv;
  readonly disk: Disk;
  readonly clock: Clock;
  readonly log: Log;
}

export interface FolderGeneration {
  readonly generation: number;
  readonly cluster: string;
}

/** What a folder's file says; undefined when it is absent or can't be read as one. */
export async function readFolderGeneration(disk: Disk, path: string): Promise<FolderGeneration | undefined> {
  const bytes = await disk.read(`${path}/${GENERATION_FILE}`);
  const match = bytes && /^(\d{1,15}) ([0-9a-f]{64})\n$/.exec(new TextDecoder().decode(bytes));
  return match ? { generation: Number(match[1]), cluster: match[2] as string } : undefined;
}

async function readGeneration(path: string, { disk, cluster }: DataGenerationModules): Promise<Found> {
  const found = await readFolderGeneration(disk, path);
  // Another store's says nothing of ours; that there are no blocks of it has been seen to.
  return found?.cluster === cluster ? found.generation : "lost";
}
