"""ClickHouse, as a library (chdb): its table function and engine s3, and MergeTree tables whose disk is the store."""

import os

from chdb import session

from step_kit import endpoint, folder, key_id, many, run, same, secret

BUCKET = "chdb-bucket"
db = session.Session(os.path.join(folder, "chdb"))


def ask(sql):
    return str(db.query(sql, "TSV")).strip()


def s3(key, kind="", bucket=BUCKET):
    words = [f"{endpoint}/{bucket}/{key}", key_id, secret, *([kind] if kind else [])]
    return "s3(" + ", ".join(f"'{word}'" for word in words) + ")"


def write_and_read():
    for kind in ("Parquet", "CSVWithNames", "JSONEachRow", "Native"):
        ask(f"INSERT INTO FUNCTION {s3('one.' + kind, kind)} SELECT number AS id, concat('röw ', toString(number)) AS text FROM numbers(10000)")
        same(ask(f"SELECT count(), sum(id), max(text) FROM {s3('one.' + kind, kind)}"), "10000\t49995000\tröw 9999", kind)


def overwrite():
    try:
        ask(f"INSERT INTO FUNCTION {s3('one.Parquet', 'Parquet')} SELECT 1 AS id, 'x' AS text")
    except Exception as error:
        assert "already exists" in str(error), error
    else:
        raise AssertionError("written over what is there, without being told")
    ask(f"INSERT INTO FUNCTION {s3('one.Parquet', 'Parquet')} SELECT 1 AS id, 'x' AS text SETTINGS s3_truncate_on_insert = 1")
    same(ask(f"SELECT * FROM {s3('one.Parquet', 'Parquet')}"), "1\tx")


def in_parts():
    numbers = "SELECT sipHash64(number) AS a, sipHash64(number, 1) AS b FROM numbers(2500000)"
    ask(f"INSERT INTO FUNCTION {s3('big', 'RowBinary')} {numbers} SETTINGS s3_min_upload_part_size = 8000000, s3_max_single_part_upload_size = 1000000")
    big = f"s3('{endpoint}/{BUCKET}/big', '{key_id}', '{secret}', 'RowBinary', 'a UInt64, b UInt64')"
    same(ask(f"SELECT count(), groupBitXor(a), groupBitXor(b) FROM {big}"), ask(f"SELECT count(), groupBitXor(a), groupBitXor(b) FROM ({numbers})"))
    same(ask(f"SELECT DISTINCT _size FROM {big}"), "40000000")


def globs():
    for number in range(3):
        ask(f"INSERT INTO FUNCTION {s3(f'glob/part-{number}.csv', 'CSVWithNames')} SELECT {number} AS n")
    same(ask(f"SELECT n, _file FROM {s3('glob/part-{0..2}.csv', 'CSVWithNames')} ORDER BY n"), "0\tpart-0.csv\n1\tpart-1.csv\n2\tpart-2.csv")
    same(ask(f"SELECT sum(n) FROM {s3('glob/*.csv', 'CSVWithNames')}"), "3")
    same(ask(f"SELECT count() FROM s3('{endpoint}/{many['bucket']}/**', '{key_id}', '{secret}', 'One')"), str(len(many["keys"])), "listing")
    ask(f"INSERT INTO FUNCTION {s3('by/{_partition_id}.csv', 'CSV')} PARTITION BY n % 3 SELECT number AS n FROM numbers(9)")
    same(ask(f"SELECT count() FROM s3('{endpoint}/{BUCKET}/by/1.csv', '{key_id}', '{secret}', 'CSV', 'n UInt8')"), "3")


def disk():
    return f"disk(type = s3, endpoint = '{endpoint}/{BUCKET}/disk/', access_key_id = '{key_id}', secret_access_key = '{secret}')"


def tables_on_the_store():
    ask("CREATE DATABASE IF NOT EXISTS d ENGINE = Atomic")
    ask(f"CREATE TABLE d.t (id UInt64, text String) ENGINE = MergeTree ORDER BY id SETTINGS disk = {disk()}")
    for part in range(5):
        ask(f"INSERT INTO d.t SELECT number + {part * 100000}, toString(sipHash64(number)) FROM numbers(100000)")
    ask("OPTIMIZE TABLE d.t FINAL")
    same(ask("SELECT count(), sum(id) FROM d.t"), f"500000\t{sum(range(500000))}")
    ask("ALTER TABLE d.t DELETE WHERE id % 2 = 0 SETTINGS mutations_sync = 2")
    same(ask("SELECT count() FROM d.t"), "250000")
    same(ask("SELECT id FROM d.t WHERE id = 77777"), "77777")


def backup_and_drop():
    ask(f"BACKUP TABLE d.t TO S3('{endpoint}/{BUCKET}/backup', '{key_id}', '{secret}')")
    ask("DROP TABLE d.t SYNC")
    same(ask(f"SELECT count() FROM s3('{endpoint}/{BUCKET}/disk/**', '{key_id}', '{secret}', 'One')"), "0", "left on the disk")
    ask(f"RESTORE TABLE d.t FROM S3('{endpoint}/{BUCKET}/backup', '{key_id}', '{secret}')")
    same(ask("SELECT count() FROM d.t"), "250000")
    ask("DROP TABLE d.t SYNC")


run(
    {
        "write and read back": write_and_read,
        "overwrite": overwrite,
        "40 MB in parts": in_parts,
        "globs and listing of 2,500 keys": globs,
        "tables on the store": tables_on_the_store,
        "backup, drop, restore": backup_and_drop,
    }
)
