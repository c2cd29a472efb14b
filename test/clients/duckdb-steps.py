"""DuckDB with its extension httpfs, which a package brings: nothing is downloaded when it runs."""

import os

import duckdb
import duckdb_ext

from step_kit import REGION, authority, key_id, many, refused, run, same, secret

BUCKET = "duckdb-bucket"
S3 = f"s3://{BUCKET}"
where = next(
    os.path.join(parent, "httpfs.duckdb_extension")
    for root in duckdb_ext.__path__
    for parent, _, names in os.walk(root)
    if "httpfs.duckdb_extension" in names
)
db = duckdb.connect()
db.execute("SET autoinstall_known_extensions = false")
db.execute(f"LOAD '{where}'")
db.execute(
    f"CREATE SECRET (TYPE s3, KEY_ID '{key_id}', SECRET '{secret}', REGION '{REGION}', ENDPOINT '{authority}', URL_STYLE 'path', USE_SSL false)"
)


def rows(sql):
    return db.execute(sql).fetchall()


def write_and_read():
    db.execute("CREATE TABLE t AS SELECT range AS id, range % 3 AS kind, 'röw ' || range AS text FROM range(10000)")
    for kind in ("parquet", "csv", "json"):
        db.execute(f"COPY t TO '{S3}/one.{kind}'")
        same(rows(f"SELECT count(*), sum(id), max(text) FROM '{S3}/one.{kind}'"), [(10000, 49995000, "röw 9999")], kind)


def overwrite():
    db.execute(f"COPY (SELECT 7 AS id) TO '{S3}/one.parquet'")
    same(rows(f"SELECT * FROM '{S3}/one.parquet'"), [(7,)])


def in_parts():
    sql = "SELECT hash(range) AS a, hash(range + 1) AS b FROM range(2500000)"
    db.execute(f"COPY ({sql}) TO '{S3}/big.parquet' (COMPRESSION uncompressed)")
    same(rows(f"SELECT count(*), bit_xor(a), bit_xor(b) FROM '{S3}/big.parquet'"), rows(f"SELECT count(*), bit_xor(a), bit_xor(b) FROM ({sql})"))
    size = rows(f"SELECT size FROM read_blob('{S3}/big.parquet')")[0][0]
    assert size > 35_000_000, size


def filters_and_globs():
    db.execute("CREATE TABLE t AS SELECT range AS id, range % 3 AS kind FROM range(300000)")
    db.execute(f"COPY t TO '{S3}/wide.parquet' (ROW_GROUP_SIZE 20000)")
    same(rows(f"SELECT id FROM '{S3}/wide.parquet' WHERE id >= 299998 ORDER BY id"), [(299998,), (299999,)])
    for number in range(3):
        db.execute(f"COPY (SELECT {number} AS n) TO '{S3}/glob/part +{number}.parquet'")
    same(rows(f"SELECT n FROM '{S3}/glob/*.parquet' ORDER BY n"), [(0,), (1,), (2,)])
    same(rows(f"SELECT count(*) FROM glob('s3://{many['bucket']}/**')"), [(len(many["keys"]),)], "listing")


def partitions():
    db.execute("CREATE TABLE t AS SELECT range AS id, range % 3 AS kind FROM range(3000)")
    db.execute(f"COPY t TO '{S3}/set' (FORMAT parquet, PARTITION_BY (kind), OVERWRITE_OR_IGNORE)")
    same(rows(f"SELECT kind, count(*) FROM read_parquet('{S3}/set/*/*.parquet', hive_partitioning = true) GROUP BY ALL ORDER BY ALL"), [(n, 1000) for n in range(3)])
    db.execute(f"COPY (SELECT 1 AS id, 2 AS kind) TO '{S3}/set' (FORMAT parquet, PARTITION_BY (kind), OVERWRITE_OR_IGNORE)")
    same(rows(f"SELECT count(*) FROM read_parquet('{S3}/set/kind=2/*.parquet')"), [(1,)])


def absent_and_empty():
    refused(duckdb.Error, rows, f"SELECT * FROM '{S3}/never there.parquet'")
    same(rows(f"SELECT size, content FROM read_blob('{S3}/empty')"), [(0, b"")])
    db.execute(f"COPY (SELECT 'x' AS id) TO '{S3}/tiny.csv' (HEADER false)")
    same(rows(f"SELECT content FROM read_text('{S3}/tiny.csv')"), [("x\n",)])


run(
    {
        "write and read back": write_and_read,
        "overwrite": overwrite,
        "40 MB in parts": in_parts,
        "filters and globs": filters_and_globs,
        "partitions": partitions,
        "absent and empty": absent_and_empty,
    }
)
