"""Polars: its own readers and writers of Parquet, CSV, NDJSON and IPC over the store."""

import polars as pl
from polars.testing import assert_frame_equal

from step_kit import REGION, endpoint, key_id, refused, run, same, secret

BUCKET = "polars-bucket"
storage = {
    "aws_endpoint_url": endpoint,
    "aws_access_key_id": key_id,
    "aws_secret_access_key": secret,
    "aws_region": REGION,
    "aws_allow_http": "true",
    "max_retries": 0,
}
S3 = f"s3://{BUCKET}"
more = {"storage_options": storage, "credential_provider": None}


def frame(rows, shift=0):
    numbers = pl.int_range(shift, shift + rows, eager=True)
    return pl.DataFrame({"id": numbers, "kind": numbers % 3, "text": numbers.map_elements(lambda n: f"röw {n}", return_dtype=pl.String)})


def write_and_read():
    data = frame(10_000)
    data.write_parquet(f"{S3}/one.parquet", **more)
    assert_frame_equal(pl.read_parquet(f"{S3}/one.parquet", **more), data)
    data.write_csv(f"{S3}/one.csv", **more)
    assert_frame_equal(pl.scan_csv(f"{S3}/one.csv", **more).collect(), data)
    data.lazy().sink_ndjson(f"{S3}/one.ndjson", **more)
    assert_frame_equal(pl.scan_ndjson(f"{S3}/one.ndjson", **more).collect(), data)
    data.write_ipc(f"{S3}/one.arrow", **more)
    assert_frame_equal(pl.scan_ipc(f"{S3}/one.arrow", **more).collect(), data)


def overwrite():
    frame(10, 77).write_parquet(f"{S3}/one.parquet", **more)
    assert_frame_equal(pl.read_parquet(f"{S3}/one.parquet", **more), frame(10, 77))


def projection_and_filter():
    frame(300_000).write_parquet(f"{S3}/wide.parquet", row_group_size=20_000, **more)
    found = pl.scan_parquet(f"{S3}/wide.parquet", **more).filter(pl.col("id") >= 299_990).select("text").collect()
    same(found["text"].to_list(), [f"röw {n}" for n in range(299_990, 300_000)])
    same(pl.scan_parquet(f"{S3}/wide.parquet", **more).select(pl.len()).collect().item(), 300_000)


def in_parts():
    noise = pl.DataFrame({"id": pl.int_range(0, 4_000_000, eager=True).hash(7), "other": pl.int_range(0, 4_000_000, eager=True).hash(8)})
    noise.lazy().sink_parquet(f"{S3}/big.parquet", compression="uncompressed", **more)
    back = pl.scan_parquet(f"{S3}/big.parquet", **more)
    same(back.select(pl.col("id").sum(), pl.col("other").max()).collect().rows(), noise.select(pl.col("id").sum(), pl.col("other").max()).rows())


def partitions():
    data = frame(3_000)
    data.lazy().sink_parquet(pl.PartitionBy(f"{S3}/set/", key="kind"), mkdir=False, **more)
    back = pl.scan_parquet(f"{S3}/set/", hive_partitioning=True, **more)
    assert_frame_equal(back.collect().sort("id").select("id", "text"), data.select("id", "text"))
    same(back.filter(pl.col("kind") == 1).select(pl.len()).collect().item(), 1000)
    for number in range(3):
        frame(5, number * 5).write_parquet(f"{S3}/glob/part +{number}.parquet", **more)
    assert_frame_equal(pl.scan_parquet(f"{S3}/glob/*.parquet", **more).collect().sort("id"), frame(15))


def absent_and_empty():
    refused((FileNotFoundError, OSError, pl.exceptions.ComputeError), pl.scan_parquet(f"{S3}/never there.parquet", **more).collect)
    frame(0).write_parquet(f"{S3}/no rows.parquet", **more)
    same(pl.read_parquet(f"{S3}/no rows.parquet", **more).height, 0)
    frame(0).write_csv(f"{S3}/no rows.csv", include_header=False, **more)
    refused(pl.exceptions.NoDataError, pl.scan_csv(f"{S3}/no rows.csv", **more).collect)


run(
    {
        "write and read back": write_and_read,
        "overwrite": overwrite,
        "projection and filter": projection_and_filter,
        "64 MB in parts": in_parts,
        "partitions and globs": partitions,
        "absent and empty": absent_and_empty,
    }
)
