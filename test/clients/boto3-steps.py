"""One step of the test with boto3: `boto3-steps.py STEP`, facts as JSON on standard input. Fails by an exception."""

import hashlib
import json
import os
import sys
import urllib.error
import urllib.request
import uuid

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

facts = json.load(sys.stdin)
files, many = facts["files"], facts["many"]
BUCKET = "boto3-bucket"
AWKWARD = [
    "sp ace", " lead and trail ", "pl+us", "per%cent%20%2F", "emoji-\U0001f600-ünï", "..dots..", "q?u&e=s#t;i:o,n@$!'()*", 'quo"te<>',
    "slash/", "deep//double", "a/../b", "./c", "d/.", "/lead", "line\nbreak", "tab\there", "x" * 1024,
]
s3 = boto3.client(
    "s3",
    endpoint_url=facts["endpoint"],
    aws_access_key_id=facts["keyId"],
    aws_secret_access_key=facts["secret"],
    region_name="garage",
    config=Config(signature_version="s3v4", s3={"addressing_style": "path"}, retries={"max_attempts": 0}),
)


def read(path):
    with open(path, "rb") as file:
        return file.read()


def same(left, right, what="bytes"):
    assert left == right, f"{what}: {left!r:.300} != {right!r:.300}"


def refused(status, call, **arguments):
    try:
        call(**arguments)
    except ClientError as error:
        same(error.response["ResponseMetadata"]["HTTPStatusCode"], status, "status")
        return
    raise AssertionError(f"not refused: {arguments.keys()}")


def keys(prefix=""):
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
    return {entry["Key"]: entry["ETag"] for page in pages for entry in page.get("Contents", [])}


def make_a_bucket():
    s3.create_bucket(Bucket=BUCKET)
    assert BUCKET in [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]
    s3.head_bucket(Bucket=BUCKET)
    same(s3.get_bucket_location(Bucket=BUCKET)["LocationConstraint"], "garage")


def small_object():
    body = read(files["small"])
    put = s3.put_object(Bucket=BUCKET, Key="small", Body=body, ContentType="text/x-test", Metadata={"colour": "blue"}, CacheControl="no-cache")
    got = s3.get_object(Bucket=BUCKET, Key="small")
    same(got["Body"].read(), body)
    same((got["ETag"], got["ContentType"], got["Metadata"], got["CacheControl"]), (put["ETag"], "text/x-test", {"colour": "blue"}, "no-cache"))
    same(put["ETag"], '"' + hashlib.md5(body).hexdigest() + '"')


def empty_object():
    s3.put_object(Bucket=BUCKET, Key="empty", Body=b"")
    same(s3.get_object(Bucket=BUCKET, Key="empty")["Body"].read(), b"")
    same(s3.head_object(Bucket=BUCKET, Key="empty")["ContentLength"], 0)


def in_parts():
    s3.upload_file(files["big"], BUCKET, "big")
    back = os.path.join(facts["folder"], "big.back")
    s3.download_file(BUCKET, "big", back)
    same(hashlib.sha256(read(back)).digest(), hashlib.sha256(read(files["big"])).digest())
    assert "-" in s3.head_object(Bucket=BUCKET, Key="big")["ETag"]


def awkward_keys():
    for key in AWKWARD:
        s3.put_object(Bucket=BUCKET, Key=key, Body=key.encode())
    for key in AWKWARD:
        same(s3.get_object(Bucket=BUCKET, Key=key)["Body"].read(), key.encode(), key)
    found = keys()
    for key in AWKWARD:
        assert key in found, f"{key!r} is not listed"
    answer = s3.delete_objects(Bucket=BUCKET, Delete={"Objects": [{"Key": key} for key in AWKWARD]})
    same(sorted(entry["Key"] for entry in answer["Deleted"]), sorted(AWKWARD), "deleted")


def listing():
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=many["bucket"])
    same([entry["Key"] for page in pages for entry in page["Contents"]], many["keys"], "v2")
    pages = s3.get_paginator("list_objects").paginate(Bucket=many["bucket"], PaginationConfig={"PageSize": 333})
    same([entry["Key"] for page in pages for entry in page["Contents"]], many["keys"], "v1")
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=many["bucket"], Delimiter="/", PaginationConfig={"PageSize": 7})
    same(len([entry for page in pages for entry in page.get("CommonPrefixes", [])]), 25, "prefixes")


def copy():
    s3.copy_object(Bucket=BUCKET, Key="copy of small+%", CopySource={"Bucket": BUCKET, "Key": "small"})
    same(s3.get_object(Bucket=BUCKET, Key="copy of small+%")["Metadata"], {"colour": "blue"})
    s3.copy_object(
        Bucket=BUCKET, Key="replaced", CopySource={"Bucket": BUCKET, "Key": "copy of small+%"}, MetadataDirective="REPLACE", Metadata={"a": "b"}
    )
    same(s3.get_object(Bucket=BUCKET, Key="replaced")["Metadata"], {"a": "b"})
    s3.copy({"Bucket": BUCKET, "Key": "big"}, BUCKET, "big copy")
    same(s3.head_object(Bucket=BUCKET, Key="big copy")["ContentLength"], files["bigBytes"])


def ranged_read():
    body = read(files["big"])
    for spec, part in (("bytes=0-0", body[:1]), ("bytes=1048570-3145800", body[1048570:3145801]), ("bytes=-77", body[-77:])):
        got = s3.get_object(Bucket=BUCKET, Key="big", Range=spec)
        same(got["ResponseMetadata"]["HTTPStatusCode"], 206)
        same(hashlib.sha256(got["Body"].read()).digest(), hashlib.sha256(part).digest(), spec)
    refused(416, s3.get_object, Bucket=BUCKET, Key="big", Range=f"bytes={len(body)}-")


def presigned_url():
    url = s3.generate_presigned_url("get_object", Params={"Bucket": BUCKET, "Key": "small"}, ExpiresIn=300)
    same(urllib.request.urlopen(url).read(), read(files["small"]))
    put = s3.generate_presigned_url("put_object", Params={"Bucket": BUCKET, "Key": "by url"}, ExpiresIn=300)
    urllib.request.urlopen(urllib.request.Request(put, data=b"by url", method="PUT"))
    same(s3.get_object(Bucket=BUCKET, Key="by url")["Body"].read(), b"by url")


def browser_form():
    form = s3.generate_presigned_post(BUCKET, "forms/${filename}", ExpiresIn=300)
    edge = uuid.uuid4().hex
    fields = "".join(f'--{edge}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in form["fields"].items())
    fields += f'--{edge}\r\nContent-Disposition: form-data; name="file"; filename="form.txt"\r\n\r\nfrom a form\r\n--{edge}--\r\n'
    request = urllib.request.Request(form["url"], data=fields.encode(), headers={"Content-Type": f"multipart/form-data; boundary={edge}"})
    same(urllib.request.urlopen(request).status, 204)
    same(s3.get_object(Bucket=BUCKET, Key="forms/form.txt")["Body"].read(), b"from a form")


def conditions():
    etag = s3.head_object(Bucket=BUCKET, Key="small")["ETag"]
    refused(304, s3.get_object, Bucket=BUCKET, Key="small", IfNoneMatch=etag)
    refused(412, s3.get_object, Bucket=BUCKET, Key="small", IfMatch='"0123"')
    s3.get_object(Bucket=BUCKET, Key="small", IfMatch=etag)
    refused(404, s3.get_object, Bucket=BUCKET, Key="never there")


def sync_twice():
    def sync():
        present, sent = keys("tree/"), 0
        for name in files["treeNames"]:
            body = read(os.path.join(files["tree"], name))
            if present.get("tree/" + name) != '"' + hashlib.md5(body).hexdigest() + '"':
                s3.put_object(Bucket=BUCKET, Key="tree/" + name, Body=body)
                sent += 1
        return sent

    same(sync(), len(files["treeNames"]), "first")
    same(sync(), 0, "second")


def delete():
    bucket = boto3.resource(
        "s3", endpoint_url=facts["endpoint"], aws_access_key_id=facts["keyId"], aws_secret_access_key=facts["secret"], region_name="garage"
    ).Bucket(BUCKET)
    refused(409, s3.delete_bucket, Bucket=BUCKET)
    bucket.objects.all().delete()
    same(keys(), {})
    bucket.delete()
    refused(404, s3.head_bucket, Bucket=BUCKET)


STEPS = {
    "make a bucket": make_a_bucket,
    "small object": small_object,
    "empty object": empty_object,
    "200 MB in parts": in_parts,
    "awkward keys": awkward_keys,
    "listing of 2,500 keys": listing,
    "copy": copy,
    "ranged read": ranged_read,
    "presigned URL": presigned_url,
    "browser form": browser_form,
    "conditions": conditions,
    "sync twice": sync_twice,
    "delete": delete,
}
STEPS[sys.argv[1]]()
