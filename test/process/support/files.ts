import { existsSync, globSync } from "node:fs";
import { join } from "node:path";
import { QUARANTINE_FOLDER } from "../../../src/block/quarantine.ts";

/** Where a block's file lies in a data folder, plain or compressed; undefined when it is not there. */
export function blockFile(dataDir: string, hash: string): string | undefined {
  const path = join(dataDir, hash.slice(0, 2), hash.slice(2, 4), hash);
  return [path, `${path}.zst`].find((each) => existsSync(each));
}

/** The files in a data folder's quarantine. */
export function quarantined(dataDir: string): string[] {
  return globSync(`${dataDir}/${QUARANTINE_FOLDER}/*/*`).sort();
}
