import assert from "node:assert/strict";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { cleanEnvironment } from "../process/support/run-program.ts";
import { waitFor } from "../process/support/wait-for.ts";
import { Background } from "./background.ts";
import type { Client } from "./client.ts";
import { goProgram } from "./sources.ts";

const BUCKET = "litestream-bucket";

/** litestream: a SQLite database that is replicated while it is written. */
export const litestream: Client = {
  name: "litestream",
  source: goProgram("github.com/benbjohnson/litestream", "v0.5.18", "/cmd/litestream"),
  slow: true,
  steps: ({ daemon, s3, folder, must, installed }) => {
    const program = join(installed, "litestream");
    const config = join(folder, "litestream.yml");
    const file = join(folder, "app.db");
    let database: DatabaseSync;
    let replicating: Background | undefined;
    let rows = 0;
    const write = (count: number): void => {
      const insert = database.prepare("INSERT INTO t VALUES (?, ?)");
      for (let at = 0; at < count; at++) insert.run(rows, `row ${rows++} `.repeat(50));
    };
    const start = (): void => {
      replicating = new Background([program, "replicate", "-config", config], folder, cleanEnvironment(), "log");
    };
    /** Every row that was written until now. */
    const restores = async (name: string): Promise<void> => {
      const to = join(folder, name);
      await waitFor("all rows are in the replica", async () => {
        rmSync(to, { force: true });
        await must([program, "restore", "-config", config, "-o", to, file]);
        const copy = new DatabaseSync(to, { readOnly: true });
        try {
          const { found, sum } = copy.prepare("SELECT count(*) AS found, sum(id) AS sum FROM t").get() as {
            found: number;
            sum: number;
          };
          assert.equal(found, rows);
          assert.equal(sum, (rows * (rows - 1)) / 2);
          assert.deepEqual({ ...copy.prepare("PRAGMA integrity_check").get() }, { integrity_check: "ok" });
        } finally {
          copy.close();
        }
        return true;
      });
    };
    return [
      {
        name: "replicate and restore",
        async run() {
          await s3.must("PUT", `/${BUCKET}`);
          const replica = {
            type: "s3",
            bucket: BUCKET,
            path: "app",
            endpoint: daemon.endpoint,
            region: "garage",
            "access-key-id": daemon.keyId,
            "secret-access-key": daemon.secret,
            "force-path-style": true,
            "sync-interval": "200ms",
          };
          // JSON is YAML too.
          writeFileSync(config, JSON.stringify({ dbs: [{ path: file, replica }] }));
          database = new DatabaseSync(file);
          database.exec("PRAGMA journal_mode = WAL; CREATE TABLE t (id INTEGER PRIMARY KEY, words TEXT)");
          write(2000);
          start();
          await restores("first");
        },
      },
      {
        name: "goes on while it is written",
        async run() {
          for (let round = 0; round < 5; round++) write(500);
          await restores("second");
        },
      },
      {
        name: "stopped and started again",
        async run() {
          await replicating?.stop("SIGINT");
          write(700);
          start();
          await restores("third");
        },
      },
      {
        name: "stop",
        async run() {
          write(10);
          await replicating?.stop("SIGINT");
          await restores("last");
          database.close();
          assert.ok((await s3.list(BUCKET, "app/")).length > 0);
        },
      },
    ];
  },
};
