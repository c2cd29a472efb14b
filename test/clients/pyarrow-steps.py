"""pyarrow's S3FileSystem: the AWS SDK for C++ as Arrow drives it."""

import datetime

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from pyarrow import fs

from step_kit import AWKWARD, REGION, authority, content, digest, files, key_id, many, read, refused, run, same, secret

BUCKET = "pyarrow-bucket"
s3 = fs.S3FileSystem(
    access_key=key_id,
    secret_key=secret,
    endpoint_override=authority,
    scheme="http",
    region=REGION,
    allow_bucket_creation=True,
    allow_bucket_deletion=True,
    retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=1),
)


def put(key, data, **more):
    with s3.open_output_stream(f"{BUCKET}/{key}", **more) as out:
        out.write(data)


def get(key):
    with s3.open_input_file(f"{BUCKET}/{key}") as file:
        return file.read()


def table(rows, shift=0):
    numbers = range(shift, shift + rows)
    return pa.table({"id": pa.array(numbers), "kind": pa.array([f"k{n % 3}" for n in numbers]), "text": pa.array([f"röw {n}" for n in numbers])})


def make_a_bucket():
    s3.create_dir(BUCKET)
    same(s3.get_file_info(BUCKET).type, fs.FileType.Directory, "type")
    assert BUCKET in [info.path for info in s3.get_file_info(fs.FileSelector(""))]


def small_and_empty_objects():
    for key, data in (("small", read(files["small"])), ("empty", b""), ("one", b"1")):
        put(key, data)
        same(get(key), data, key)
        same(s3.get_file_info(f"{BUCKET}/{key}").size, len(data), "size")
    put("small", b"overwritten")
    same(get("small"), b"overwritten")
    refused(FileNotFoundError, get, "never there")


def in_parts():
    body = content(1, 23_000_000)
    for background in (True, False):
        slow = fs.S3FileSystem(
            access_key=key_id, secret_key=secret, endpoint_override=authority, scheme="http", region=REGION, background_writes=background
        )
        with slow.open_output_stream(f"{BUCKET}/parts", buffer_size=1000) as out:
            for at in range(0, len(body), 1_000_000):
                out.write(body[at : at + 1_000_000])
        same(get("parts"), body)
    big = read(files["big"])
    put("big", big)
    same(get("big"), big)
    with s3.open_output_stream(f"{BUCKET}/big") as out:
        out.write(big[:6_000_000])
    same(get("big"), big[:6_000_000], "overwritten in fewer parts")


def ranges_and_tails():
    body = content(2, 3_000_000)
    put("ranged", body)
    with s3.open_input_file(f"{BUCKET}/ranged") as file:
        same(file.size(), len(body))
        same(file.read_at(77, 1_048_570), body[1_048_570 : 1_048_570 + 77])
        same(file.read_at(100, len(body) - 10), body[-10:], "past the end")
        file.seek(len(body) - 8)
        same(file.read(), body[-8:])
    for key, data in (("empty", b""), ("one", b"1")):
        put(key, data)
        with s3.open_input_file(f"{BUCKET}/{key}") as file:
            same(file.read_at(8, 0), data, key)
            same(file.readall(), data, key)
    same(s3.open_input_stream(f"{BUCKET}/ranged").read(), body)


def metadata():
    put("described", b"x", metadata={"Content-Type": "text/x-test", "Cache-Control": "no-cache", "colour": "blue"})
    with s3.open_input_stream(f"{BUCKET}/described") as file:
        found = {name.lower(): value for name, value in file.metadata().items()}
    same((found.get("content-type"), found.get("cache-control")), (b"text/x-test", b"no-cache"), f"metadata of {found}")
    info = s3.get_file_info(f"{BUCKET}/described")
    assert abs((info.mtime - datetime.datetime.now(datetime.timezone.utc)).total_seconds()) < 300, info.mtime


def awkward_keys():
    for key in AWKWARD:
        put(f"awkward/{key}", key.encode())
    for key in AWKWARD:
        same(get(f"awkward/{key}"), key.encode(), key)
    found = sorted(info.base_name for info in s3.get_file_info(fs.FileSelector(f"{BUCKET}/awkward")))
    same(found, sorted(AWKWARD), "listed")


def listing():
    infos = s3.get_file_info(fs.FileSelector(many["bucket"], recursive=True))
    same(sorted(info.path for info in infos if info.is_file), [f"{many['bucket']}/{key}" for key in many["keys"]], "recursive")
    same(len(s3.get_file_info(fs.FileSelector(many["bucket"]))), 25, "folders")


def copy_move_delete():
    body = content(3, 100_000)
    put("dir/from +%", body)
    s3.copy_file(f"{BUCKET}/dir/from +%", f"{BUCKET}/dir/copy")
    same(get("dir/copy"), body)
    s3.move(f"{BUCKET}/dir/copy", f"{BUCKET}/dir/moved")
    same(get("dir/moved"), body)
    refused(FileNotFoundError, get, "dir/copy")
    s3.delete_file(f"{BUCKET}/dir/moved")
    s3.create_dir(f"{BUCKET}/new/empty", recursive=True)
    same(s3.get_file_info(f"{BUCKET}/new/empty").type, fs.FileType.Directory)
    s3.delete_dir_contents(f"{BUCKET}/dir")
    same(s3.get_file_info(fs.FileSelector(f"{BUCKET}/dir", allow_not_found=True)), [])
    s3.delete_dir(f"{BUCKET}/new")
    same(s3.get_file_info(f"{BUCKET}/new").type, fs.FileType.NotFound)


def parquet_data_set():
    rows = table(50_000)
    where = f"{BUCKET}/set"
    ds.write_dataset(rows, where, filesystem=s3, format="parquet", partitioning=["kind"], partitioning_flavor="hive")
    back = ds.dataset(where, filesystem=s3, partitioning="hive").to_table().sort_by("id")
    same(back.select(rows.column_names), rows.cast(back.select(rows.column_names).schema), "data set")
    same(ds.dataset(where, filesystem=s3, partitioning="hive").to_table(filter=ds.field("kind") == "k1").num_rows, 16667)
    ds.write_dataset(
        table(30, 7), where, filesystem=s3, format="parquet", partitioning=["kind"], partitioning_flavor="hive", existing_data_behavior="delete_matching"
    )
    same(ds.dataset(where, filesystem=s3).count_rows(), 30, "overwritten")
    pq.write_table(rows, f"{BUCKET}/one.parquet", filesystem=s3)
    same(pq.read_table(f"{BUCKET}/one.parquet", filesystem=s3, columns=["text"]), rows.select(["text"]))
    # The same store by its address, as pandas and dask name it.
    uri = f"s3://{key_id}:{secret}@{BUCKET}/one.parquet?region={REGION}&scheme=http&endpoint_override={authority}"
    same(digest(pq.read_table(uri).column("text").to_pylist().__repr__().encode()), digest(rows.column("text").to_pylist().__repr__().encode()))


def delete():
    s3.delete_dir(BUCKET)
    same(s3.get_file_info(BUCKET).type, fs.FileType.NotFound)


run(
    {
        "make a bucket": make_a_bucket,
        "small and empty objects": small_and_empty_objects,
        "200 MB in parts": in_parts,
        "ranges and tails": ranges_and_tails,
        "metadata": metadata,
        "awkward keys": awkward_keys,
        "listing of 2,500 keys": listing,
        "copy, move, delete": copy_move_delete,
        "Parquet data set": parquet_data_set,
        "delete": delete,
    }
)
