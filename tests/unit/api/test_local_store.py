"""A folder as a store, also on file systems that have no hard links."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bluetune_api.objectstore import LocalStore, StoreError

RACER = """
import os, sys
from pathlib import Path
from bluetune_api.objectstore import LocalStore

def refuse(*_):
    raise OSError(1, "Operation not permitted")

os.link = refuse
won = [LocalStore(Path(sys.argv[1])).create(f"keys/{n}", sys.argv[2].encode()) for n in range(50)]
print(sum(won))
"""


@pytest.fixture(params=[None, errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS])
def folder(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalStore:
    """A folder where links can be made, and folders where they are refused in each way."""
    if request.param is not None:

        def refuse(*_: object) -> None:
            raise OSError(request.param, os.strerror(request.param))

        monkeypatch.setattr(os, "link", refuse)
    return LocalStore(tmp_path)


def test_create_makes_a_new_object_once(folder: LocalStore) -> None:
    assert folder.create("runs/1/check.json", b"first") is True
    assert folder.create("runs/1/check.json", b"second") is False
    assert folder.get("runs/1/check.json") == b"first"
    assert [info.key for info in folder.list("")] == ["runs/1/check.json"]


def test_a_disk_that_is_full_is_no_lack_of_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "link", refuse)
    with pytest.raises(StoreError, match="No space left"):
        LocalStore(tmp_path).create("a", b"1")


def test_of_racing_processes_without_links_exactly_one_wins(tmp_path: Path) -> None:
    racers = [
        subprocess.Popen([sys.executable, "-c", RACER, str(tmp_path), name], stdout=subprocess.PIPE, text=True)
        for name in ("one", "two")
    ]
    won = [int(racer.communicate(timeout=60)[0]) for racer in racers]
    assert sum(won) == 50
    store = LocalStore(tmp_path)
    assert {store.get(f"keys/{n}") for n in range(50)} <= {b"one", b"two"}
