"""A real file system of a few hundred kilobytes that becomes full under the store, or under the trainer's own files."""

import os
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from bluetune_api.objectstore import LocalStore, StoreError
from bluetune_trainer.errors import as_trainer_error
from bluetune_trainer.store.versions import download_version, publish
from bluetune_trainer.training.scratch import reserve
from robustness.killed import describe
from robustness.small_world import fill, plan

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="mounting a file system takes root"),
]
MODEL = 300_000
"""Bytes."""


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A tmpfs of 512 KiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def model(folder: Path) -> Path:
    folder.mkdir()
    (folder / "a.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(os.urandom(MODEL))
    (folder / "z.safetensors").write_bytes(os.urandom(MODEL))
    return folder


def test_a_store_that_becomes_full_publishes_nothing_and_the_whole_when_there_is_room(
    small_disk: Path, tmp_path: Path
) -> None:
    store, folder = LocalStore(small_disk / "store"), model(tmp_path / "model")
    with pytest.raises(StoreError, match=r"cannot write .*/z\.safetensors: No space left on device") as caught:
        publish(store, folder, describe, lambda _folder: None)
    assert as_trainer_error(caught.value).exit_code == 13
    (version,) = store.folders("versions/")
    assert sorted(path.name for path in small_disk.rglob("*") if path.is_file()) == ["a.json", "model.safetensors"]
    subprocess.run(["mount", "-o", "remount,size=2m", str(small_disk)], check=True)
    assert publish(store, folder, describe, lambda _folder: None).version == version
    download_version(store, version, tmp_path / "back")


def test_a_full_disk_for_the_trainers_own_files_is_named_and_leaves_no_half_of_a_file(
    small_disk: Path, tmp_path: Path
) -> None:
    store, folder = LocalStore(tmp_path / "store"), model(tmp_path / "model")
    version = publish(store, folder, describe, lambda _folder: None).version
    with pytest.raises(OSError, match="No space left on device") as caught:
        download_version(store, version, small_disk / "back")
    ending = as_trainer_error(caught.value)
    assert (ending.reason, ending.exit_code) == ("DiskFull", 1)
    assert "give the trainer's /tmp more" in ending.message
    assert sorted(path.name for path in (small_disk / "back").iterdir()) == ["a.json", "model.safetensors"]


def test_a_mapped_file_without_room_is_an_error_and_not_the_end_of_the_process(small_disk: Path) -> None:
    path = small_disk / "vectors.npy"
    np.lib.format.open_memmap(path, "w+", np.float32, (1000, 1000))
    with pytest.raises(OSError, match="No space left on device") as caught:
        reserve(path)
    assert as_trainer_error(caught.value).reason == "DiskFull"
    path.unlink()
    vectors = np.lib.format.open_memmap(path, "w+", np.float32, (100, 1000))
    reserve(path)
    vectors[:] = 1.0
    assert path.stat().st_blocks * 512 >= vectors.nbytes


@pytest.mark.timeout(900)
def test_a_training_whose_store_is_full_ends_with_13_and_goes_on_when_there_is_room(
    small_disk: Path, tmp_path: Path, minilm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bluetune_trainer.cli.importing import run_import
    from bluetune_trainer.cli.training import run_train
    from trainer.learning_world import write_tiny_encoder

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    store = LocalStore(small_disk / "store")
    fill(store)
    base = write_tiny_encoder(tmp_path / "base", minilm, layers=1)
    first = run_import(
        store, plan("Import", "base", baseUri=str(base)), lambda _location: store, stop=threading.Event()
    )
    rest = small_disk / "rest"
    train = plan("Train", "u1", startVersion=first.version)

    def run() -> str:
        return run_train(store, train, stop=threading.Event(), report=lambda _progress: None).version

    free = os.statvfs(small_disk)
    size = sum(path.stat().st_size for path in (small_disk / "store" / "versions").rglob("*") if path.is_file())
    # room for the best trial's model and not for the version's
    rest.write_bytes(b"x" * (free.f_bavail * free.f_bsize - size * 3 // 2))
    with pytest.raises(StoreError, match=r"cannot write .*/versions/.*: No space left on device") as caught:
        run()
    assert as_trainer_error(caught.value).exit_code == 13
    assert not list(small_disk.rglob(".tmp-*"))
    assert len(list(small_disk.glob("store/versions/*/manifest.json"))) == 1
    assert not (small_disk / "store" / "runs" / "u1" / "result.json").exists()
    before = (small_disk / "store" / "runs" / "u1" / "trials" / "0.json").stat().st_mtime_ns
    rest.unlink()
    download_version(store, run(), tmp_path / "back")
    assert (small_disk / "store" / "runs" / "u1" / "trials" / "0.json").stat().st_mtime_ns == before
