"""deltalake (delta-rs): a table whose log is written by create-only PUTs, by one writer and by rivals."""

import json
import os
import subprocess
import sys
import time

import obstore
import pyarrow as pa
from deltalake import DeltaTable, write_deltalake
from obstore.store import S3Store

from step_kit import REGION, endpoint, facts, folder, key_id, run, same, secret

BUCKET = "delta-bucket"
COMMITS = 20
storage = {
    "AWS_ENDPOINT_URL": endpoint,
    "AWS_ACCESS_KEY_ID": key_id,
    "AWS_SECRET_ACCESS_KEY": secret,
    "AWS_REGION": REGION,
    "AWS_ALLOW_HTTP": "true",
    "AWS_CONDITIONAL_PUT": "etag",
}
TABLE = f"s3://{BUCKET}/tables/events"
RIVALS = f"s3://{BUCKET}/tables/rivals"


def store(prefix=None):
    return S3Store(
        BUCKET, prefix=prefix, endpoint=endpoint, access_key_id=key_id, secret_access_key=secret, region=REGION, client_options={"allow_http": True}
    )


def rows(first, count, writer="a"):
    numbers = range(first, first + count)
    return pa.table({"id": pa.array(numbers, pa.int64()), "writer": pa.array([writer] * count), "place": pa.array([f"Zürich/{n % 3}" for n in numbers])})


def ids(table):
    return sorted(table.to_pyarrow_table().column("id").to_pylist())


def open_table(where=TABLE, **more):
    return DeltaTable(where, storage_options=storage, **more)


def create():
    write_deltalake(TABLE, rows(0, 1000), storage_options=storage, partition_by=["place"])
    same(ids(open_table()), list(range(1000)))


def append_and_overwrite():
    write_deltalake(TABLE, rows(1000, 500), storage_options=storage, mode="append")
    same(ids(open_table()), list(range(1500)))
    write_deltalake(TABLE, rows(7, 3), storage_options=storage, mode="overwrite")
    same(ids(open_table()), [7, 8, 9])
    same(ids(open_table(version=1)), list(range(1500)), "the version before")


def merge_and_delete():
    table = open_table()
    changes = table.merge(rows(8, 4, "b"), predicate="t.id = s.id", source_alias="s", target_alias="t")
    changes.when_matched_update_all().when_not_matched_insert_all().execute()
    same(ids(open_table()), [7, 8, 9, 10, 11])
    open_table().delete("id = 10")
    same(ids(open_table()), [7, 8, 9, 11])


def checkpoint_and_vacuum():
    table = open_table()
    table.create_checkpoint()
    table.optimize.compact()
    removed = open_table().vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)
    assert len(removed) > 0
    same(ids(open_table()), [7, 8, 9, 11])


def compete(writer):
    """One of two processes; begins once both are there."""
    open(os.path.join(folder, f"ready-{writer}"), "w").close()
    end = time.monotonic() + 60
    while not all(os.path.exists(os.path.join(folder, f"ready-{one}")) for one in range(2)):
        assert time.monotonic() < end, "the other writer does not come"
        time.sleep(0.01)
    for number in range(COMMITS):
        write_deltalake(RIVALS, rows(number + COMMITS * writer, 1, str(writer)), storage_options=storage, mode="append")


def rival_writers():
    write_deltalake(RIVALS, rows(-1, 1), storage_options=storage)
    text = json.dumps(facts)
    writers = [subprocess.Popen([sys.executable, __file__, f"writer {one}"], stdin=subprocess.PIPE, text=True) for one in range(2)]
    for writer in writers:
        writer.stdin.write(text)
        writer.stdin.close()
    same([writer.wait(80) for writer in writers], [0, 0], "both writers end well")
    same(ids(open_table(RIVALS)), list(range(-1, 2 * COMMITS)), "every row once")
    log = store("tables/rivals/_delta_log")
    found = sorted(entry["path"] for entry in obstore.list(log).collect() if entry["path"].endswith(".json"))
    same(found, [f"{version:020}.json" for version in range(2 * COMMITS + 1)], "versions")
    added = []
    for name in found:
        lines = [json.loads(line) for line in bytes(obstore.get(log, name).bytes()).splitlines()]
        same(len([line for line in lines if "commitInfo" in line]), 1, f"commits in {name}")
        added += [line["add"]["path"] for line in lines if "add" in line]
    same((len(added), len(set(added))), (2 * COMMITS + 1, 2 * COMMITS + 1), "each file is added by exactly one version")


run(
    {
        "create a table": create,
        "append and overwrite": append_and_overwrite,
        "merge and delete": merge_and_delete,
        "checkpoint, compact, vacuum": checkpoint_and_vacuum,
        "rival writers": rival_writers,
        "writer 0": lambda: compete(0),
        "writer 1": lambda: compete(1),
    }
)
# All is done and checked. Now and then the libraries' threads abort the interpreter's own end ("terminate called without an active
# exception"), with tables in a local folder too.
sys.stdout.flush()
os._exit(0)
