"""A real file system of a few hundred kilobytes that becomes full under the store, or under the trainer's own files."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from bluetune_api.objectstore import LocalStore, StoreError
from bluetune_trainer.errors import as_trainer_error
from bluetune_trainer.store.versions import download_version, publish
from robustness.killed import describe

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
