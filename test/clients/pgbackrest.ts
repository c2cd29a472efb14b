import assert from "node:assert/strict";
import { chownSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Client } from "./client.ts";
import { all, debian } from "./sources.ts";
import { Postgres, postgresql } from "./postgres.ts";
import { startTlsFront } from "./tls-front.ts";

const BUCKET = "pgbackrest-bucket";

/** pgBackRest: its own S3 client in C, which speaks TLS only. */
export const pgbackrest: Client = {
  name: "pgbackrest",
  source: all(debian(["/usr/bin/pgbackrest"], ["pgbackrest"]), postgresql),
  steps: (kit) => {
    const { daemon, s3, folder } = kit;
    const data = join(folder, "postgres/data");
    const restored = join(folder, "postgres/restored");
    let postgres: Postgres;
    let config = "";
    const pgbackrest = (...args: string[]) =>
      postgres.must(["/usr/bin/pgbackrest", `--config=${config}`, "--stanza=main", ...args]);
    const backups = async (): Promise<string[]> => {
      const info = JSON.parse((await pgbackrest("info", "--output=json")).stdout) as { backup: { type: string }[] }[];
      return (info[0]?.backup ?? []).map(({ type }) => type);
    };
    return [
      {
        name: "stanza",
        async run() {
          await s3.must("PUT", `/${BUCKET}`);
          const { port, certificate } = await startTlsFront(kit);
          postgres = await Postgres.prepare(kit);
          config = join(postgres.folder, "pgbackrest.conf");
          const authority = join(postgres.folder, "certificate");
          writeFileSync(authority, readFileSync(certificate));
          const settings = {
            "repo1-type": "s3",
            "repo1-path": "/backups",
            "repo1-s3-bucket": BUCKET,
            "repo1-s3-endpoint": daemon.host,
            "repo1-storage-port": String(port),
            "repo1-storage-ca-file": authority,
            "repo1-s3-region": "garage",
            "repo1-s3-uri-style": "path",
            "repo1-s3-key": daemon.keyId,
            "repo1-s3-key-secret": daemon.secret,
            "repo1-retention-full": "1",
            "repo1-bundle": "y",
            "process-max": "2",
            "archive-timeout": "30",
            "start-fast": "y",
            "log-path": postgres.folder,
            "lock-path": postgres.folder,
            "spool-path": postgres.folder,
            "log-level-console": "warn",
          };
          const lines = Object.entries(settings).map(([name, value]) => `${name}=${value}\n`);
          const stanza = `[main]\npg1-path=${data}\npg1-socket-path=${postgres.folder}\npg1-user=postgres\n`;
          writeFileSync(config, `[global]\n${lines.join("")}${stanza}`, { mode: 0o600 });
          if (postgres.uid !== undefined) for (const file of [config, authority]) chownSync(file, postgres.uid, postgres.uid);
          const push = `/usr/bin/pgbackrest --config=${config} --stanza=main archive-push %p`;
          await postgres.init(data, { archive_mode: "on", archive_command: push });
          await postgres.start(data);
          await pgbackrest("stanza-create");
          await pgbackrest("check");
        },
      },
      {
        name: "full and incremental backups",
        async run() {
          await postgres.sql("CREATE TABLE t AS SELECT n, md5(n::text) AS words FROM generate_series(1, 100000) n");
          await pgbackrest("--type=full", "backup");
          await postgres.sql("INSERT INTO t SELECT n, 'more' FROM generate_series(100001, 110000) n");
          await pgbackrest("--type=incr", "backup");
          assert.deepEqual(await backups(), ["full", "incr"]);
          await pgbackrest("verify");
        },
      },
      {
        name: "restore and start",
        async run() {
          await postgres.sql("INSERT INTO t VALUES (0, 'last')");
          await postgres.sql("SELECT pg_switch_wal()");
          await postgres.stop(data);
          postgres.ownFolder(restored);
          await pgbackrest(`--pg1-path=${restored}`, "restore");
          postgres.configure(restored, { archive_mode: "off" });
          await postgres.start(restored);
          try {
            assert.equal(await postgres.sql("SELECT count(*), max(words) FILTER (WHERE n = 0) FROM t"), "110001|last");
          } finally {
            await postgres.stopIfRunning(restored);
          }
        },
      },
      {
        name: "expire",
        async run() {
          await postgres.start(data);
          try {
            await pgbackrest("--type=full", "backup");
            assert.deepEqual(await backups(), ["full"]);
            const keys = (await s3.list(BUCKET, "backups/backup/main/")).map(({ key }) => key);
            const labels = new Set(keys.flatMap((key) => key.match(/\/main\/(\d{8}-\d{6}F[^/]*)\//)?.[1] ?? []));
            assert.equal(labels.size, 1, `only the newest backup's objects are left: ${[...labels].join(" ")}`);
          } finally {
            await postgres.stopIfRunning(data);
          }
        },
      },
    ];
  },
};
