"""A real S3 server behind a relay that resets, cuts, delays, damages and refuses."""

import itertools
from pathlib import Path

import pytest

from bluetune_api.objectstore import StoreDenied, StoreError, StoreUnreachable
from bluetune_api.records import Manifest, Probe
from bluetune_trainer.errors import StoreFailed, as_trainer_error
from bluetune_trainer.store.versions import download_version, publish
from robustness.conftest import Bucket
from robustness.faults import PASSING, Relay

pytestmark = pytest.mark.slow


def model(folder: Path) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(bytes(range(256)) * 400)
    return folder


def describe(files: list) -> Manifest:
    return Manifest(files=files, dimension=2, probe=Probe(texts=[], vectors=[]))


def use_everything(store, tmp_path: Path) -> None:
    """Every operation once, with what it must give."""
    path = tmp_path / "file"
    store.put("a/1", b"one")
    path.write_bytes(b"two" * 50_000)
    store.upload("a/2", path)
    assert store.create("a/3", b"three")
    assert not store.create("a/3", b"four")
    assert store.get("a/3") == b"three"
    store.download("a/2", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == b"two" * 50_000
    assert [info.key for info in store.list("a/")] == ["a/1", "a/2", "a/3"]
    assert store.folders("") == ["a"]
    info = store.stat("a/1")
    assert info is not None
    assert info.size == 3
    store.delete("a/1")
    assert store.stat("a/1") is None


@pytest.mark.parametrize("fault", PASSING)
def test_every_operation_gets_over_a_fault_of_its_every_request(
    s3_bucket: Bucket, relay: Relay, tmp_path: Path, fault: str
) -> None:
    relay.choose = lambda n, _method, _path: fault if n % 2 else None
    use_everything(s3_bucket.store(relay.address, read_seconds=1.0), tmp_path)
    assert len([1 for request in relay.requests if request[2]]) >= 8


@pytest.mark.parametrize(
    ("fault", "kind", "says"),
    [
        ("busy", StoreUnreachable, "SlowDown after 5 attempts"),
        ("reset", StoreUnreachable, "after 5 attempts"),
        ("html", StoreUnreachable, "after 5 attempts"),
        ("full", StoreError, "no space left: make room"),
        ("expired", StoreDenied, "ExpiredToken"),
        ("skewed", StoreError, "clocks"),
    ],
)
def test_a_fault_that_stays_ends_with_13_and_says_what_to_do(
    s3_bucket: Bucket, relay: Relay, tmp_path: Path, fault: str, kind: type[Exception], says: str
) -> None:
    relay.choose = lambda _n, _method, _path: fault
    store = s3_bucket.store(relay.address)
    for call in (lambda: store.put("a", b"1"), lambda: store.create("a", b"1"), lambda: list(store.list(""))):
        with pytest.raises(kind, match=says) as caught:
            call()
        assert as_trainer_error(caught.value).exit_code == 13
        assert s3_bucket.location("x:1").bucket in str(caught.value)


def test_a_connection_that_is_refused_is_tried_again_and_then_named(s3_bucket: Bucket, nobody: str) -> None:
    waits: list[float] = []
    with pytest.raises(StoreUnreachable, match=f"{nobody} after 5 attempts") as caught:
        s3_bucket.store(nobody, sleep=waits.append).get("a")
    assert as_trainer_error(caught.value).exit_code == 13
    assert len(waits) == 4
    assert all(0 <= wait <= 0.2 * 2**n for n, wait in enumerate(waits))


def test_a_store_that_is_busy_for_a_minute_is_waited_for_and_one_that_stays_so_is_not(
    s3_bucket: Bucket, relay: Relay
) -> None:
    now = 0.0

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    s3_bucket.store().put("a", b"1")
    store = s3_bucket.store(relay.address, attempts=60, patience_seconds=90.0, sleep=sleep, clock=lambda: now)
    relay.choose = lambda _n, _method, _path: "busy" if now < 60 else None
    assert store.get("a") == b"1"
    assert 60 <= now <= 65
    now = 0.0
    relay.choose = lambda _n, _method, _path: "busy"
    with pytest.raises(StoreUnreachable):
        store.get("a")
    assert 90 <= now <= 95


def test_a_download_that_was_damaged_on_the_way_is_fetched_again(
    s3_bucket: Bucket, relay: Relay, tmp_path: Path
) -> None:
    published = publish(s3_bucket.store(), model(tmp_path / "m"), describe, lambda _: None)
    damage = itertools.chain([True], itertools.repeat(False))
    weights = "model.safetensors"
    relay.choose = lambda _n, _method, path: "damaged" if weights in path and next(damage) else None
    download_version(s3_bucket.store(relay.address), published.version, tmp_path / "one")
    assert (tmp_path / "one" / weights).read_bytes() == (tmp_path / "m" / weights).read_bytes()
    relay.choose = lambda _n, _method, path: "damaged" if weights in path else None
    with pytest.raises(StoreFailed, match="sha256"):
        download_version(s3_bucket.store(relay.address), published.version, tmp_path / "two")
    assert not (tmp_path / "two" / weights).exists()
    assert not (tmp_path / "two" / "manifest.json").exists()


@pytest.mark.parametrize("fault", ["busy", "lost", "full"])
def test_a_publication_that_breaks_at_any_request_publishes_nothing_and_the_next_one_all(
    s3_bucket: Bucket, relay: Relay, tmp_path: Path, fault: str
) -> None:
    folder, direct = model(tmp_path / "m"), s3_bucket.store()
    for last in range(100):
        already = len(relay.requests)
        relay.choose = lambda n, _method, _path, until=already + last: fault if n > until else None
        try:
            published = publish(s3_bucket.store(relay.address, attempts=2), folder, describe, lambda _: None)
            break
        except (StoreError, StoreFailed):
            manifests = [info.key for info in direct.list("versions/") if info.key.endswith("manifest.json")]
            # a create that went through, and only its answer was lost, has published a version that is whole
            assert len(manifests) <= (fault == "lost")
            if manifests:
                download_version(direct, manifests[0].split("/")[1], tmp_path / f"back-{last}")
    assert last >= 6
    assert download_version(direct, published.version, tmp_path / "back").encode() == published.manifest.encode()
