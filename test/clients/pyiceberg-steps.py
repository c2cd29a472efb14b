"""pyiceberg: tables whose catalog is SQLite and whose files lie in the store, through pyarrow and, for deletions, its own FileIO."""

import os

import pyarrow as pa
from pyarrow import fs
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.expressions import EqualTo, GreaterThanOrEqual
from pyiceberg.types import LongType

from step_kit import REGION, authority, endpoint, folder, key_id, refused, run, same, secret

BUCKET = "iceberg-bucket"
catalog = SqlCatalog(
    "catalog",
    **{
        "uri": f"sqlite:///{os.path.join(folder, 'catalog.db')}",
        "warehouse": f"s3://{BUCKET}/warehouse",
        "s3.endpoint": endpoint,
        "s3.access-key-id": key_id,
        "s3.secret-access-key": secret,
        "s3.region": REGION,
    },
)
s3 = fs.S3FileSystem(access_key=key_id, secret_key=secret, endpoint_override=authority, scheme="http", region=REGION, allow_bucket_creation=True)


def rows(first, count):
    numbers = range(first, first + count)
    return pa.table({"id": pa.array(numbers, pa.int64()), "place": pa.array([f"Zürich {n % 4}" for n in numbers])})


def ids(scan):
    return sorted(scan.to_arrow().column("id").to_pylist())


def create():
    s3.create_dir(BUCKET)
    catalog.create_namespace("ns")
    table = catalog.create_table("ns.events", schema=rows(0, 1).schema)
    same(ids(table.scan()), [])


def append():
    table = catalog.load_table("ns.events")
    for first in (0, 1000, 2000):
        table.append(rows(first, 1000))
    same(ids(catalog.load_table("ns.events").scan()), list(range(3000)))
    same(ids(table.scan(row_filter=GreaterThanOrEqual("id", 2990))), list(range(2990, 3000)))


def overwrite_and_delete():
    table = catalog.load_table("ns.events")
    table.delete(EqualTo("place", "Zürich 1"))
    table.overwrite(rows(0, 5), overwrite_filter=GreaterThanOrEqual("id", 100))
    same(ids(catalog.load_table("ns.events").scan()), sorted([n for n in range(100) if n % 4 != 1] + list(range(5))))


def old_snapshots():
    table = catalog.load_table("ns.events")
    same(ids(table.scan(snapshot_id=table.history()[0].snapshot_id)), list(range(1000)))
    with table.update_schema() as update:
        update.add_column("more", LongType())
    table.append(pa.table({"id": pa.array([-1]), "place": pa.array(["x"]), "more": pa.array([7])}))
    same(table.scan(row_filter=EqualTo("id", -1)).to_arrow().column("more").to_pylist(), [7])


def rivals():
    one, other = catalog.load_table("ns.events"), catalog.load_table("ns.events")
    before = len(ids(one.scan()))
    one.append(rows(5000, 10).append_column("more", pa.array([1] * 10)))
    with other.transaction() as transaction:
        # What the other one deletes rests on a snapshot that is not the newest any more.
        transaction.delete(EqualTo("place", "nowhere"))
    try:
        other.overwrite(rows(6000, 10).append_column("more", pa.array([1] * 10)), overwrite_filter=EqualTo("place", "nowhere"))
        expected = before + 20
    except CommitFailedException:
        expected = before + 10
    same(len(ids(catalog.load_table("ns.events").scan())), expected, "rows")


def drop():
    paths = [info.path for info in s3.get_file_info(fs.FileSelector(f"{BUCKET}/warehouse", recursive=True)) if info.is_file]
    assert any(path.endswith(".avro") for path in paths) and any(path.endswith(".parquet") for path in paths), paths
    table = catalog.load_table("ns.events")
    for path in paths:
        table.io.delete(f"s3://{path}")
    refused(FileNotFoundError, catalog.load_table, "ns.events")
    catalog.drop_table("ns.events")
    same([info.path for info in s3.get_file_info(fs.FileSelector(f"{BUCKET}/warehouse", recursive=True, allow_not_found=True)) if info.is_file], [])


run(
    {
        "create a table": create,
        "append and read back": append,
        "overwrite and delete": overwrite_and_delete,
        "old snapshots, new column": old_snapshots,
        "rival commits": rivals,
        "remove every file": drop,
    }
)
