"""S3Store against real servers."""

import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bluetune_api import s3
from bluetune_api.batches import find_batches
from bluetune_api.objectstore import ObjectChanged, ObjectNotFound, StoreDenied
from bluetune_api.s3 import S3Store
from bluetune_api.store_location import StoreLocation
from cluster.buckets import Bucket


def test_what_was_put_is_read_back(store: S3Store) -> None:
    store.put("runs/1/plan.json", b'{"seed": 1}')
    assert store.get("runs/1/plan.json") == b'{"seed": 1}'


def test_put_replaces(store: S3Store) -> None:
    store.put("a.json", b"1")
    store.put("a.json", b"2")
    assert store.get("a.json") == b"2"


def test_an_empty_object_is_an_object(store: S3Store) -> None:
    store.put("clickstream/b1/_SUCCESS", b"")
    assert store.get("clickstream/b1/_SUCCESS") == b""
    info = store.stat("clickstream/b1/_SUCCESS")
    assert info is not None
    assert info.size == 0


def test_the_prefix_keeps_models_apart(store: S3Store, location: StoreLocation, bucket: Bucket) -> None:
    store.put("a.json", b"1")
    assert [o.object_name for o in bucket.client.list_objects(bucket.name, recursive=True)] == ["models/shop/a.json"]
    key, secret = bucket.server.access_key, bucket.server.secret_key
    other = S3Store(location.model_copy(update={"prefix": "models/shop2"}), access_key=key, secret_key=secret)
    assert list(other.list("")) == []
    assert other.stat("a.json") is None


def test_create_makes_a_new_object_once(store: S3Store) -> None:
    assert store.create("versions/v1/manifest.json", b"first") is True
    assert store.create("versions/v1/manifest.json", b"second") is False
    assert store.get("versions/v1/manifest.json") == b"first"


def test_create_leaves_content_type_and_no_metadata(store: S3Store, bucket: Bucket) -> None:
    store.create("a.json", b"{}", content_type="application/json")
    found = bucket.client.stat_object(bucket.name, "models/shop/a.json")
    assert found.content_type == "application/json"
    assert not [name for name in found.metadata or {} if "if-none-match" in name.lower()]


@pytest.mark.parametrize("round_", range(5))
def test_of_racing_writers_exactly_one_wins(
    store: S3Store, location: StoreLocation, bucket: Bucket, round_: int
) -> None:
    writers = 8
    gate = threading.Barrier(writers)

    def write(number: int) -> bool:
        own = S3Store(location, access_key=bucket.server.access_key, secret_key=bucket.server.secret_key)
        gate.wait(timeout=20)
        return own.create("keys/race", f"writer {number}".encode())

    with ThreadPoolExecutor(writers) as pool:
        won = list(pool.map(write, range(writers)))
    assert sum(won) == 1
    assert store.get("keys/race") == f"writer {won.index(True)}".encode()


def test_a_missing_object_is_said_to_be_missing(store: S3Store, tmp_path: Path) -> None:
    assert store.stat("nothing.json") is None
    with pytest.raises(ObjectNotFound, match=r"models/shop/nothing\.json"):
        store.get("nothing.json")
    with pytest.raises(ObjectNotFound, match=r"models/shop/nothing\.json"):
        store.download("nothing.json", tmp_path / "nothing.json")
    assert list(tmp_path.iterdir()) == []


def test_a_missing_bucket_is_named(location: StoreLocation, bucket: Bucket) -> None:
    key, secret = bucket.server.access_key, bucket.server.secret_key
    elsewhere = S3Store(location.model_copy(update={"bucket": "no-such-bucket"}), access_key=key, secret_key=secret)
    with pytest.raises(ObjectNotFound, match="no-such-bucket"):
        elsewhere.get("a.json")
    with pytest.raises(ObjectNotFound, match="no-such-bucket"):
        elsewhere.create("a.json", b"1")
    with pytest.raises(ObjectNotFound, match="no-such-bucket"):
        list(elsewhere.list(""))


def test_a_download_is_pinned_by_its_etag(store: S3Store, tmp_path: Path) -> None:
    store.put("clickstream/b1/part-0.jsonl", b"checked\n")
    info = store.stat("clickstream/b1/part-0.jsonl")
    assert info is not None
    store.download(info.key, tmp_path / "a", etag=info.etag)
    assert (tmp_path / "a").read_bytes() == b"checked\n"
    store.put(info.key, b"other\n")
    with pytest.raises(ObjectChanged, match="changed since it was checked"):
        store.download(info.key, tmp_path / "b", etag=info.etag)
    assert not (tmp_path / "b").exists()


def test_list_and_stat_agree_on_etags(store: S3Store) -> None:
    store.put("a.json", b"1")
    info = store.stat("a.json")
    assert info is not None
    assert [(o.key, o.size, o.etag) for o in store.list("")] == [(info.key, info.size, info.etag)]


def test_list_gives_all_keys_below_a_prefix_in_order(store: S3Store) -> None:
    keys = [
        "runs/1/trials/0.json",
        "runs/1/trials/10.json",
        "runs/1/trials/2.json",
        "runs/2/plan.json",
        "runs/10/plan.json",
    ]
    for key in keys:
        store.put(key, b"x")
    assert [o.key for o in store.list("runs/1/")] == [
        "runs/1/trials/0.json",
        "runs/1/trials/10.json",
        "runs/1/trials/2.json",
    ]
    assert [o.key for o in store.list("")] == sorted(keys)
    assert list(store.list("runs/3/")) == []


def test_list_goes_beyond_one_page(store: S3Store) -> None:
    keys = [f"many/{number:04}" for number in range(1005)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: store.put(key, b""), keys))
    assert [o.key for o in store.list("many/")] == keys


def test_folders_are_named_without_what_is_in_them(store: S3Store) -> None:
    for key in (
        "clickstream/b1/_SUCCESS",
        "clickstream/b1/part.jsonl",
        "clickstream/b2/part.jsonl",
        "clickstream/note.txt",
    ):
        store.put(key, b"x")
    assert store.folders("clickstream/") == ["b1", "b2"]
    assert store.folders("versions/") == []


def test_delete_can_be_repeated(store: S3Store) -> None:
    store.put("a.json", b"1")
    store.delete("a.json")
    store.delete("a.json")
    assert store.stat("a.json") is None


def test_a_large_file_survives_upload_and_download(store: S3Store, tmp_path: Path) -> None:
    content = hashlib.shake_256(b"seed").digest(11 * 1024 * 1024)  # above minio-py's part size of 5 MiB
    (tmp_path / "model.safetensors").write_bytes(content)
    store.upload("versions/v1/model.safetensors", tmp_path / "model.safetensors")
    store.download("versions/v1/model.safetensors", tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == content
    assert sorted(p.name for p in tmp_path.iterdir()) == ["again", "model.safetensors"]


@pytest.mark.parametrize("keys", [("right", "wrong"), ("wrong", "right"), ("wrong", "wrong")])
def test_wrong_keys_are_denied_at_once_with_what_to_check(
    location: StoreLocation, bucket: Bucket, keys: tuple[str, str]
) -> None:
    right = bucket.server.access_key, bucket.server.secret_key
    access, secret = (value if word == "right" else f"not-{value}" for word, value in zip(keys, right, strict=True))
    store = S3Store(location, access_key=access, secret_key=secret)
    for action in (
        lambda: store.get("a.json"),
        lambda: store.put("a.json", b"1"),
        lambda: store.create("a.json", b"1"),
        lambda: store.stat("a.json"),
        lambda: list(store.list("")),
    ):
        with pytest.raises(StoreDenied, match="credentials Secret"):
            action()


ODD = ["2026-02-01 00", "at=05%3A00", "dt=2026-01-31/hour=05", "a+b&c", "été", "a#b", "x~y(1)"]


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_a_listing_in_pages_has_every_object_once_whatever_their_names(
    store: S3Store, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(s3, "PAGE_OBJECTS", size)
    keys = sorted(f"clickstream/{name}/{file}" for name in ODD for file in ("part 0.jsonl", "_SUCCESS"))
    for key in keys:
        store.put(key, b"x")
    assert [info.key for info in store.list("clickstream/")] == keys
    assert [info.key for info in store.page("clickstream/", keys[-2]).objects] == keys[-1:]
    assert store.page("clickstream/", keys[-1]).objects == []


@pytest.mark.parametrize("size", [1, 2, 1000])
def test_batches_are_found_wherever_a_page_ends(store: S3Store, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(s3, "PAGE_OBJECTS", size)
    batches = [*ODD, "big", "big0", "bigger"]
    for name in batches:
        store.put(f"clickstream/{name}/_SUCCESS", b"")
        for number in range(3):
            store.put(f"clickstream/{name}/part-{number}.jsonl", b"x")
    store.put("clickstream/open/part.jsonl", b"x")
    store.put("clickstream/b/_temporary/0/part.jsonl", b"x")
    found = find_batches(store, learned=["big"], now=0.0)
    assert [one.batch_id for one in found.complete] == sorted(set(batches) - {"big"})
    assert [one.folder for one in found.passed_over] == ["open"]
