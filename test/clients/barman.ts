import assert from "node:assert/strict";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Client } from "./client.ts";
import { all, pypi } from "./sources.ts";
import { Postgres, postgresql } from "./postgres.ts";

const BUCKET = "barman-bucket";

/** barman-cloud: PostgreSQL's log and base backups, through boto3. */
export const barman: Client = {
  name: "barman-cloud",
  source: all(pypi("requirements/barman.txt"), postgresql),
  slow: true,
  steps: (kit) => {
    const { daemon, s3, folder, must, installed } = kit;
    const data = join(folder, "postgres/data");
    // The server puts its log there, and this test sends it on: the server's user need not reach the programs.
    const spool = join(folder, "postgres/spool");
    const restored = join(folder, "postgres/restored");
    const fetched = join(folder, "postgres/fetched");
    let postgres: Postgres;
    let backup = "";
    const barman = (verb: string, options: readonly string[], ...rest: readonly string[]) =>
      must(
        [
          ...[join(installed, "python"), join(installed, `barman-cloud-${verb}`), "--endpoint-url", daemon.endpoint, ...options],
          ...[`s3://${BUCKET}/pg`, "main", ...rest],
        ],
        { timeoutMs: 180_000 },
      );
    return [
      {
        name: "empty archive",
        async run() {
          await s3.must("PUT", `/${BUCKET}`);
          await barman("check-wal-archive", []);
          postgres = await Postgres.prepare(kit);
          postgres.ownFolder(spool);
          await postgres.init(data, { archive_mode: "on", archive_command: `cp %p ${spool}/%f` });
          await postgres.start(data);
          await postgres.sql("CREATE TABLE t AS SELECT n, md5(n::text) AS words FROM generate_series(1, 50000) n");
        },
      },
      {
        name: "base backup",
        async run() {
          await barman("backup", [
            "-h",
            postgres.folder,
            "-U",
            "postgres",
            "-d",
            "postgres",
            "--immediate-checkpoint",
            "-J",
            "2",
          ]);
          const { backups_list: list } = JSON.parse((await barman("backup-list", ["--format", "json"])).stdout) as {
            backups_list: { backup_id: string; status: string }[];
          };
          assert.equal(list.length, 1);
          assert.equal(list[0]?.status, "DONE");
          backup = list[0]?.backup_id as string;
        },
      },
      {
        name: "archive the log",
        async run() {
          await postgres.sql("INSERT INTO t SELECT n, 'after the backup' FROM generate_series(50001, 60000) n");
          await postgres.sql("SELECT pg_switch_wal()");
          await postgres.sql("INSERT INTO t VALUES (0, 'last')");
          await postgres.stop(data);
          const names = readdirSync(spool).sort();
          assert.ok(names.length >= 3, names.join(" "));
          for (const name of names) await barman("wal-archive", ["--gzip"], join(spool, name));
          // Archived again with the same bytes, as after a crash: taken.
          await barman("wal-archive", ["--gzip"], join(spool, names[0] as string));
          assert.ok((await s3.list(BUCKET, "pg/main/wals/")).length >= names.length);
        },
      },
      {
        name: "restore and start",
        async run() {
          await barman("restore", [], backup, restored);
          mkdirSync(fetched);
          for (const name of readdirSync(spool).filter((one) => !one.endsWith(".backup"))) {
            await barman("wal-restore", [], name, join(fetched, name));
            assert.ok(readFileSync(join(fetched, name)).equals(readFileSync(join(spool, name))), name);
          }
          writeFileSync(join(restored, "recovery.signal"), "");
          postgres.configure(restored, { archive_mode: "off", restore_command: `cp ${fetched}/%f %p` });
          if (postgres.uid !== undefined) await must(["chown", "-R", String(postgres.uid), restored, fetched]);
          await must(["chmod", "700", restored, fetched]);
          await postgres.start(restored);
          try {
            assert.equal(await postgres.sql("SELECT count(*), max(words) FILTER (WHERE n = 0) FROM t"), "60001|last");
          } finally {
            await postgres.stopIfRunning(restored);
          }
        },
      },
      {
        name: "delete",
        async run() {
          await barman("backup-delete", ["--backup-id", backup]);
          assert.equal((await s3.list(BUCKET, "pg/main/base/")).length, 0);
        },
      },
    ];
  },
};
