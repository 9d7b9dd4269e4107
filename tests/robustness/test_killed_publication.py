"""kill -9 anywhere in a publication: no version or a whole one, and the next attempt makes that one version."""

import random
from pathlib import Path

import pytest

from bluetune_trainer.store.versions import download_version, files_of
from robustness.conftest import ACCESS, SECRET, Bucket
from robustness.killed import Opened, open_store, publish_until

pytestmark = pytest.mark.slow


def kill_and_publish(opened: Opened, reference: Opened, tmp_path: Path, *, kills: int) -> None:
    """Kill at seeded random points, spread over the whole of it, then let one attempt end, and another begin."""
    folder = tmp_path / "model"
    (folder / "1_Pooling").mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "1_Pooling" / "config.json").write_text("{ }")
    (folder / "model.safetensors").write_bytes(bytes(range(256)) * 4000)
    code, calls = publish_until(reference, folder, None)
    assert code == 0
    (expected,) = open_store(reference).folders("versions/")
    store, rng, whole = open_store(opened), random.Random(5), []
    for number in range(kills):
        # of the same number of bands one point each, in an order that goes back and forth
        band = (number * 7) % kills
        code, _ = publish_until(opened, folder, rng.randint(1 + calls * band // kills, calls * (band + 1) // kills))
        assert code in (-9, 0)  # once a version exists, publishing it again is shorter than the point
        assert store.folders("versions/") in ([], [expected])
        if store.stat(f"versions/{expected}/manifest.json") is not None:
            whole.append(number)
            manifest = download_version(store, expected, tmp_path / f"back-{number}")
            assert files_of(tmp_path / f"back-{number}") == manifest.files
            for info in list(store.list("versions/")):
                store.delete(info.key)  # so that the next kill meets a publication from its beginning
        else:
            assert code == -9
    assert len(whole) < kills / 2
    assert publish_until(opened, folder, None)[0] == 0
    assert publish_until(opened, folder, None)[0] == 0
    manifest = download_version(store, expected, tmp_path / "back")
    assert files_of(tmp_path / "back") == manifest.files == files_of(folder)
    assert store.folders("versions/") == [expected]
    assert {info.key for info in store.list("")} == {
        f"versions/{expected}/{name}" for name in ("manifest.json", *(file.path for file in manifest.files))
    }


def test_killed_anywhere_in_a_folder(tmp_path: Path) -> None:
    kill_and_publish(tmp_path / "store", tmp_path / "reference", tmp_path, kills=40)


def test_killed_anywhere_in_s3(s3_bucket: Bucket, tmp_path: Path) -> None:
    kill_and_publish(
        (s3_bucket.location(s3_bucket.address), ACCESS, SECRET), tmp_path / "reference", tmp_path, kills=20
    )
