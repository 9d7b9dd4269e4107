"""Objects of many parts, through a relay that fails some of the requests, against a real S3 server."""

import gzip
import hashlib
import itertools
import random
import resource
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
from minio import Minio

from bluetune_api import s3_transfers
from bluetune_api.objectstore import ObjectChanged, StoreUnreachable
from robustness.conftest import ACCESS, SECRET, Bucket
from robustness.faults import PASSING, Relay

pytestmark = pytest.mark.slow
MIB = 1 << 20


def file_of(path: Path, size: int) -> str:
    """A file of random bytes; its sha256."""
    rng = random.Random(size)
    with path.open("wb") as file:
        for begin in range(0, size, MIB):
            file.write(rng.randbytes(min(MIB, size - begin)))
    return sha256(path)


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Parts of 5 MiB, the least that S3 takes, so that a file of tens of MiB has many."""
    monkeypatch.setattr(s3_transfers, "PART_BYTES", 5 * MIB)
    return 5 * MIB


@pytest.mark.timeout(600)
def test_a_large_object_gets_through_a_store_that_fails_one_request_in_a_few(
    s3_bucket: Bucket, relay: Relay, tmp_path: Path, small_parts: int
) -> None:
    digest = file_of(tmp_path / "model", 300 * MIB + 17)
    faults, rng = itertools.cycle(PASSING), random.Random(1)
    relay.choose = lambda _n, _method, _path: next(faults) if rng.random() < 0.15 else None
    store = s3_bucket.store(relay.address, attempts=8)
    store.upload("model", tmp_path / "model")
    failed = [request for request in relay.requests if request[2]]
    assert len(failed) > 5
    sent = [path for method, path, fault in relay.requests if method == "PUT" and not fault]
    assert len(sent) <= 300 // 5 + 1 + len(failed)  # no part that arrived is sent again
    relay.requests.clear()
    relay.choose = lambda n, _method, _path: PASSING[n % len(PASSING)] if n <= 7 else None
    store.download("model", tmp_path / "back")
    assert sha256(tmp_path / "back") == digest


def test_a_download_goes_on_where_it_broke_off(s3_bucket: Bucket, relay: Relay, tmp_path: Path) -> None:
    digest = file_of(tmp_path / "model", 40 * MIB)
    direct = s3_bucket.store()
    direct.upload("model", tmp_path / "model")
    info = direct.stat("model")
    assert info is not None
    # each answer breaks off in its middle: 20, 30, 35, … MiB; from the begin each time, 3 attempts would not do
    relay.choose = lambda n, _method, _path: "truncated" if n <= 6 else None
    s3_bucket.store(relay.address, attempts=3).download("model", tmp_path / "back", etag=info.etag)
    assert sha256(tmp_path / "back") == digest
    assert len(relay.requests) == 7


def test_a_part_that_fails_for_good_leaves_no_object_and_no_parts(
    s3_bucket: Bucket, relay: Relay, tmp_path: Path, small_parts: int
) -> None:
    file_of(tmp_path / "model", 12 * MIB)
    relay.choose = lambda _n, _method, path: "busy" if "partNumber=2" in path else None
    with pytest.raises(StoreUnreachable, match="SlowDown after 5 attempts"):
        s3_bucket.store(relay.address).upload("model", tmp_path / "model")
    assert s3_bucket.store().stat("model") is None
    assert relay.requests[-1][0] == "DELETE"


def test_an_object_that_is_replaced_while_it_is_read_is_read_as_it_is_now_or_refused_if_pinned(
    s3_bucket: Bucket, relay: Relay, tmp_path: Path
) -> None:
    direct = s3_bucket.store()

    def replace(n: int, _method: str, _path: str) -> str | None:
        if n == 2:
            direct.put("checkpoint", b"new" * MIB)
        return "truncated" if n == 1 else None

    for etag in (False, True):
        direct.put("checkpoint", b"old" * MIB)
        info = direct.stat("checkpoint")
        assert info is not None
        relay.requests.clear()
        relay.choose = replace
        store = s3_bucket.store(relay.address)
        if etag:
            with pytest.raises(ObjectChanged):
                store.download("checkpoint", tmp_path / "pinned", etag=info.etag)
        else:
            store.download("checkpoint", tmp_path / "back")
            assert (tmp_path / "back").read_bytes() == b"new" * MIB
    assert not (tmp_path / "pinned").exists()


def test_an_upload_whose_completion_was_not_answered_is_known_to_be_complete(
    s3_bucket: Bucket, relay: Relay, tmp_path: Path, small_parts: int
) -> None:
    digest = file_of(tmp_path / "model", 11 * MIB)
    first = itertools.count()
    relay.choose = lambda _n, method, path: (
        "lost" if method == "POST" and "uploadId" in path and next(first) == 0 else None
    )
    s3_bucket.store(relay.address).upload("model", tmp_path / "model")
    s3_bucket.store().download("model", tmp_path / "back")
    assert sha256(tmp_path / "back") == digest


def test_an_upload_takes_the_memory_of_one_part(s3_bucket: Bucket, tmp_path: Path) -> None:
    (tmp_path / "model").touch()
    with (tmp_path / "model").open("r+b") as file:
        file.truncate(400 * MIB)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    s3_bucket.store().upload("model", tmp_path / "model")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 * 1024  # KiB


@pytest.mark.parametrize("name", ["s.jsonl.gz", "s.jsonl"])
def test_an_object_is_read_as_it_is_stored_whatever_its_content_encoding(
    s3_bucket: Bucket, tmp_path: Path, name: str
) -> None:
    packed = gzip.compress(b'{"a": 1}\n' * 1000)
    client = Minio(s3_bucket.address, access_key=ACCESS, secret_key=SECRET, secure=False)
    client.put_object(
        s3_bucket.name,
        f"models/shop/{name}",
        BytesIO(packed),
        len(packed),
        content_type="application/json",
        metadata={"Content-Encoding": "gzip"},
    )
    store = s3_bucket.store()
    store.download(name, tmp_path / name)
    assert (tmp_path / name).read_bytes() == packed
    assert store.get(name) == packed
    assert store.get(name, most=1 << 20) == packed
