"""A publication in a process of its own that is killed at a given point, wherever in the code that is."""

import multiprocessing
import os
import signal
import sys
from pathlib import Path
from typing import Any

from bluetune_api.objectstore import LocalStore, ObjectStore
from bluetune_api.records import Manifest, ManifestFile, Probe
from bluetune_api.s3 import S3Store
from bluetune_api.store_location import StoreLocation
from bluetune_trainer.store.versions import publish

Opened = Path | tuple[StoreLocation, str, str]
"""A folder, or an S3 location with its two keys."""


def open_store(opened: Opened) -> ObjectStore:
    """The store of a test, in any process."""
    if isinstance(opened, Path):
        return LocalStore(opened)
    location, access, secret = opened
    return S3Store(location, access_key=access, secret_key=secret)


def describe(files: list[ManifestFile]) -> Manifest:
    """A manifest of these files alone."""
    return Manifest(files=files, dimension=2, probe=Probe(texts=[], vectors=[]))


def publish_until(opened: Opened, folder: Path, die_at: int | None) -> tuple[int, int]:
    """Publish, and be killed at the call number `die_at` of any function, in Python or C.

    Returns the exit code (-9 if it was killed) and how many calls there were.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    calls = context.Value("q", 0)
    process = context.Process(target=_publish, args=(opened, folder, die_at, calls))
    process.start()
    process.join(60)
    assert process.exitcode is not None, "not done after 60 s"
    return process.exitcode, calls.value


def _publish(opened: Opened, folder: Path, die_at: int | None, calls: Any) -> None:
    store, count = open_store(opened), 0

    def counted(_frame: Any, event: str, _argument: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")
        if count == die_at:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.setprofile(counted)
    publish(store, folder, describe, lambda _folder: None)
    sys.setprofile(None)
    calls.value = count
