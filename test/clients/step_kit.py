"""What the steps of the Python clients share: `NAME-steps.py STEP` runs one of them, which fails by an exception."""

import hashlib
import json
import random
import sys
from urllib.parse import urlsplit

facts = json.load(sys.stdin)
files, many, folder = facts["files"], facts["many"], facts["folder"]
endpoint, key_id, secret = facts["endpoint"], facts["keyId"], facts["secret"]
authority = urlsplit(endpoint).netloc
REGION = "garage"
AWKWARD = ["sp ace", "pl+us", "per%cent%20%2F", "emoji-\U0001f600-ünï", "..dots..", "q&e=s;i:o,n@$!'()", "tilde~under_score"]


def content(seed, size):
    """Bytes that don't compress, the same for the same arguments."""
    return random.Random(seed).randbytes(size)


def read(path):
    with open(path, "rb") as file:
        return file.read()


def digest(data):
    return hashlib.sha256(data).hexdigest()


def same(left, right, what="value"):
    if isinstance(left, bytes) and len(left) > 200:
        left, right = (len(left), digest(left)), (len(right), digest(right))
    assert left == right, f"{what}: {left!r:.600} is not {right!r:.600}"


def refused(kind, call, *arguments, **named):
    """@returns the exception of that kind; anything else is a failure."""
    try:
        call(*arguments, **named)
    except kind as error:
        return error
    raise AssertionError(f"not refused: {arguments} {named}")


def run(steps):
    steps[sys.argv[1]]()
