"""Files of the work folder get their disk before they are mapped, with and without posix_fallocate."""

import os
from pathlib import Path

import pytest

from bluetune_trainer.training.scratch import reserve


@pytest.mark.parametrize("macos", [False, True])
def test_a_new_file_gets_all_the_disk_that_it_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, macos: bool
) -> None:
    if macos:
        monkeypatch.delattr(os, "posix_fallocate")
    path, size = tmp_path / "segment", (3 << 20) + 17
    with path.open("wb") as file:
        file.write(b"head")
        file.truncate(size)
    assert path.stat().st_blocks * 512 < size
    reserve(path)
    assert path.stat().st_blocks * 512 >= size
    assert path.read_bytes() == b"head" + bytes(size - 4)
