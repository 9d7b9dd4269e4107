"""Pinned objects of the store as a stream of records: one file on disk at a time."""

import tempfile
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bluetune_api import store_layout
from bluetune_api.objectstore import ObjectChanged, ObjectNotFound, ObjectStore
from bluetune_api.records import PinnedObject
from bluetune_trainer.data.records import SUFFIXES, BrokenFile, records
from bluetune_trainer.data.tally import Lines
from bluetune_trainer.errors import DataInvalid, Stopped


def pin(store: ObjectStore, path: str) -> list[PinnedObject]:
    """The objects at a path, as they are now, in the order of their keys.

    Args:
        path: key of one object, or of a folder if it ends in a slash. In a folder, names that begin with `_` or `.`
            are passed over, as everywhere with data files.
    """
    if not path.endswith("/"):
        info = store.stat(path)
        return [PinnedObject(key=info.key, etag=info.etag, size=info.size)] if info else []
    return [
        PinnedObject(key=info.key, etag=info.etag, size=info.size)
        for info in store.list(path)
        if not info.key.rpartition("/")[2].startswith(("_", "."))
    ]


@dataclass(frozen=True)
class Reader:
    """Reads the objects that items name. In another process, `stop` is never set: the first one ends it.

    Raises:
        DataInvalid: the object does not exist, or could not lie below the model's prefix.
        Stopped: `stop` is set.
    """

    store: ObjectStore
    stop: threading.Event = field(default_factory=threading.Event)

    def __reduce__(self) -> tuple[type["Reader"], tuple[ObjectStore]]:
        return Reader, (self.store,)

    def __call__(self, key: str) -> bytes:
        if self.stop.is_set():
            raise Stopped
        if key.startswith("/") or "\0" in key or ".." in key.split("/"):
            raise DataInvalid(
                f"an item of the catalogue names {key!r:.100}, which is no key below the model's prefix; correct it, or"
                " leave the item out"
            )
        try:
            return self.store.get(key)
        except ObjectNotFound as error:
            raise DataInvalid(
                f"there is no {self.store.uri(key)}, which an item of the catalogue names; upload it, or leave the item"
                " out",
                reason="ItemFileMissing",
            ) from error


def stream(
    store: ObjectStore, objects: Sequence[PinnedObject], tally: Lines, *, workdir: Path, stop: threading.Event
) -> Iterator[tuple[str, int, dict[str, Any]]]:
    """Records of all objects as (key, line, record). What cannot be read is counted in `tally`.

    Raises:
        DataInvalid: an object is gone, or is no longer the one that was pinned.
        Stopped: `stop` was set.
    """
    for pinned in objects:
        if stop.is_set():
            raise Stopped
        if not pinned.key.endswith(SUFFIXES):
            tally.offend(pinned.key, 1, f"not read: the name must end in {', '.join(SUFFIXES)}")
            continue
        with tempfile.TemporaryDirectory(dir=workdir, prefix="read-") as folder:
            path = Path(folder) / "data"
            _download(store, pinned, path)
            line = 0
            try:
                for line, record in records(path, pinned.key):
                    if isinstance(record, str):
                        tally.offend(pinned.key, line, record)
                    else:
                        yield pinned.key, line, record
            except BrokenFile as error:
                tally.broken_files.append(f"{pinned.key}: {error}; upload it again, whole")
                tally.offend(pinned.key, line + 1, str(error))


def _download(store: ObjectStore, pinned: PinnedObject, path: Path) -> None:
    try:
        store.download(pinned.key, path, etag=pinned.etag)
    except (ObjectChanged, ObjectNotFound) as error:
        what = "was removed" if isinstance(error, ObjectNotFound) else "changed"
        raise DataInvalid(
            f"{store.uri(pinned.key)} {what} since it was checked. A batch must not change once its"
            f" {store_layout.SUCCESS_MARKER} is written; start a new task, which reads it as it is now",
            reason="DataChanged",
        ) from error
