// The clients that are Python libraries from PyPI. Each step runs `NAME-steps.py STEP` in a process of its own.
import { join } from "node:path";
import type { Client, Kit, Step } from "./client.ts";
import { here, pypi, type Source } from "./sources.ts";

/** Each client of every run adds to CI's time: what shares an installation costs only its steps. */
const tables = pypi("requirements/tables.txt");

export const pyarrow = pythonClient("pyarrow", tables, [
  "make a bucket",
  "small and empty objects",
  "200 MB in parts",
  "ranges and tails",
  "metadata",
  "awkward keys",
  "listing of 2,500 keys",
  "copy, move, delete",
  "Parquet data set",
  "delete",
]);

export const pyiceberg: Client = {
  ...pythonClient("pyiceberg", pypi("requirements/iceberg.txt"), [
    "create a table",
    "append and read back",
    "overwrite and delete",
    "old snapshots, new column",
    "rival commits",
    "remove every file",
  ]),
  slow: true,
};

export const deltalake = pythonClient(
  "deltalake",
  tables,
  ["create a table", "append and overwrite", "merge and delete", "checkpoint, compact, vacuum", "rival writers"],
  ({ s3 }) => s3.must("PUT", "/delta-bucket"),
);

export const obstore = pythonClient(
  "obstore",
  tables,
  [
    "small and empty objects",
    "200 MB in parts",
    "checksums",
    "ranges and tails",
    "conditions",
    "metadata",
    "awkward keys",
    "listing of 2,500 keys",
    "copy, rename, delete",
    "presigned URLs",
  ],
  async ({ s3 }) => {
    await s3.must("PUT", "/obstore-bucket");
    // The bytes of UTF-8, as curl and most SDKs put such a value on the wire.
    const place = Buffer.from("Zürich 😀").toString("latin1");
    await s3.put("obstore-bucket", "beyond ASCII", Buffer.from("beyond ASCII"), { headers: { "x-amz-meta-place": place } });
  },
);

export const polars = pythonClient(
  "polars",
  tables,
  ["write and read back", "overwrite", "projection and filter", "64 MB in parts", "partitions and globs", "absent and empty"],
  ({ s3 }) => s3.must("PUT", "/polars-bucket"),
);

export const duckdb = pythonClient(
  "duckdb",
  pypi("requirements/duckdb.txt"),
  ["write and read back", "overwrite", "40 MB in parts", "filters and globs", "partitions", "absent and empty"],
  async ({ s3 }) => {
    await s3.must("PUT", "/duckdb-bucket");
    await s3.put("duckdb-bucket", "empty", Buffer.alloc(0));
  },
);

export const chdb: Client = {
  ...pythonClient(
    "chdb",
    pypi("requirements/chdb.txt"),
    [
      "write and read back",
      "overwrite",
      "40 MB in parts",
      "globs and listing of 2,500 keys",
      "tables on the store",
      "backup, drop, restore",
    ],
    ({ s3 }) => s3.must("PUT", "/chdb-bucket"),
  ),
  slow: true,
};

/** @param prepare  what the library can't do itself (making a bucket, mostly); part of the first step */
function pythonClient(
  name: string,
  source: Source,
  names: readonly string[],
  prepare: (kit: Kit) => Promise<unknown> = async () => {},
): Client {
  return {
    name,
    source,
    steps: (kit) => {
      const { daemon, folder, files, many, must, installed } = kit;
      const facts = { endpoint: daemon.endpoint, keyId: daemon.keyId, secret: daemon.secret, folder, files, many };
      return names.map(
        (step, at): Step => ({
          name: step,
          async run() {
            if (at === 0) await prepare(kit);
            await must([join(installed, "python"), here(`${name}-steps.py`), step], { input: JSON.stringify(facts) });
          },
        }),
      );
    },
  };
}
