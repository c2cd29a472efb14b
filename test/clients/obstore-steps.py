"""obstore: the Rust crate object_store, as Polars, delta-rs, DataFusion and Zarr use it."""

import urllib.request
from datetime import timedelta

import obstore
from obstore.exceptions import AlreadyExistsError, PreconditionError
from obstore.store import S3Store

from step_kit import AWKWARD, REGION, content, endpoint, files, key_id, many, read, refused, run, same, secret

BUCKET = "obstore-bucket"


def store(bucket=BUCKET, **more):
    return S3Store(
        bucket,
        endpoint=endpoint,
        access_key_id=key_id,
        secret_access_key=secret,
        region=REGION,
        client_options={"allow_http": True},
        retry_config={"max_retries": 0},
        **more,
    )


s3 = store()


def get(key, **more):
    return bytes(obstore.get(s3, key, **more).bytes())


def small_and_empty_objects():
    for key, data in (("small", read(files["small"])), ("empty", b""), ("one", b"1")):
        put = obstore.put(s3, key, data)
        same(get(key), data, key)
        head = obstore.head(s3, key)
        same((head["size"], head["e_tag"]), (len(data), put["e_tag"]))
    obstore.put(s3, "small", b"overwritten")
    same(get("small"), b"overwritten")
    refused(FileNotFoundError, get, "never there")


def in_parts():
    body = read(files["big"])
    with open(files["big"], "rb") as file:
        obstore.put(s3, "big", file, use_multipart=True, chunk_size=8_000_000, max_concurrency=4)
    same(get("big"), body)
    with obstore.open_writer(s3, "written", buffer_size=5_500_000) as out:
        for at in range(0, 20_000_000, 700_000):
            out.write(body[at : min(at + 700_000, 20_000_000)])
    same(get("written"), body[:20_000_000])


def checksums():
    checked = store(checksum_algorithm="SHA256")
    obstore.put(checked, "checked", b"checked")
    obstore.put(checked, "checked in parts", content(4, 11_000_000), use_multipart=True, chunk_size=5_500_000)
    same(get("checked"), b"checked")
    same(get("checked in parts"), content(4, 11_000_000))


def ranges_and_tails():
    body = content(5, 3_000_000)
    obstore.put(s3, "ranged", body)
    same(bytes(obstore.get_range(s3, "ranged", start=1_048_570, length=77)), body[1_048_570 : 1_048_570 + 77])
    pieces = obstore.get_ranges(s3, "ranged", starts=[0, 2_000_000, 2_999_990], lengths=[10, 70_000, 10])
    same([bytes(piece) for piece in pieces], [body[:10], body[2_000_000:2_070_000], body[-10:]])
    same(get("ranged", options={"range": {"suffix": 8}}), body[-8:], "tail")
    same(get("ranged", options={"range": {"offset": 2_999_000}}), body[2_999_000:], "from an offset")
    obstore.put(s3, "one", b"1")
    same(get("one", options={"range": {"suffix": 8}}), b"1", "tail of one byte")
    reader = obstore.open_reader(s3, "ranged")
    reader.seek(2_999_992)
    same(bytes(reader.read()), body[-8:])


def conditions():
    obstore.put(s3, "once", b"first", mode="create")
    refused(AlreadyExistsError, obstore.put, s3, "once", b"second", mode="create")
    tag = {"e_tag": obstore.head(s3, "once")["e_tag"]}
    newer = obstore.put(s3, "once", b"newer", mode=tag)
    refused(PreconditionError, obstore.put, s3, "once", b"stale", mode=tag)
    same(get("once"), b"newer")
    same(get("once", options={"if_match": newer["e_tag"]}), b"newer")
    refused(PreconditionError, get, "once", options={"if_match": tag["e_tag"]})


def metadata():
    obstore.put(s3, "described", b"x", attributes={"Content-Type": "text/x-test", "Cache-Control": "no-cache", "colour": "blue"})
    found = obstore.get(s3, "described").attributes
    same((found["Content-Type"], found["Cache-Control"], found["colour"]), ("text/x-test", "no-cache", "blue"))
    # What another client has put with metadata beyond ASCII (see pypi-clients.ts) must not be unreadable: the crate takes ASCII only.
    same(get("beyond ASCII"), b"beyond ASCII")
    same(obstore.head(s3, "beyond ASCII")["size"], 12)


def awkward_keys():
    for key in AWKWARD:
        obstore.put(s3, f"awkward/{key}", key.encode())
    for key in AWKWARD:
        same(get(f"awkward/{key}"), key.encode(), key)
    same(sorted(entry["path"] for entry in obstore.list(s3, "awkward").collect()), sorted(f"awkward/{key}" for key in AWKWARD))


def listing():
    full = store(many["bucket"])
    same(sorted(entry["path"] for entry in obstore.list(full).collect()), many["keys"], "list")
    after = many["keys"][1200]
    same(sorted(entry["path"] for entry in obstore.list(full, offset=after).collect()), many["keys"][1201:], "from an offset")
    same(len(obstore.list_with_delimiter(full)["common_prefixes"]), 25)


def copy_rename_delete():
    body = content(6, 100_000)
    obstore.put(s3, "dir/from +%", body)
    obstore.copy(s3, "dir/from +%", "dir/copy")
    obstore.rename(s3, "dir/copy", "dir/moved")
    same(get("dir/moved"), body)
    refused(FileNotFoundError, get, "dir/copy")
    guarded = store(copy_if_not_exists="multipart")
    refused(AlreadyExistsError, obstore.copy, guarded, "dir/from +%", "dir/moved", overwrite=False)
    obstore.copy(guarded, "dir/from +%", "dir/new", overwrite=False)
    same(get("dir/new"), body)
    keys = [entry["path"] for entry in obstore.list(s3).collect()]
    obstore.delete(s3, keys)
    same(obstore.list(s3).collect(), [])


def presigned():
    obstore.put(s3, "signed", b"signed")
    url = obstore.sign(s3, "GET", "signed", timedelta(minutes=5))
    same(urllib.request.urlopen(url).read(), b"signed")
    url = obstore.sign(s3, "PUT", "signed", timedelta(minutes=5))
    urllib.request.urlopen(urllib.request.Request(url, data=b"by url", method="PUT"))
    same(get("signed"), b"by url")


run(
    {
        "small and empty objects": small_and_empty_objects,
        "200 MB in parts": in_parts,
        "checksums": checksums,
        "ranges and tails": ranges_and_tails,
        "conditions": conditions,
        "metadata": metadata,
        "awkward keys": awkward_keys,
        "listing of 2,500 keys": listing,
        "copy, rename, delete": copy_rename_delete,
        "presigned URLs": presigned,
    }
)
