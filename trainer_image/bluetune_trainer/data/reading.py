"""Pinned objects of the store as a stream of records: one file on disk at a time."""

import re
import tempfile
import threading
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import TypeAdapter, ValidationError

from bluetune_api import store_layout
from bluetune_api.objectstore import ObjectChanged, ObjectNotFound, ObjectStore, ObjectTooLarge
from bluetune_api.records import PinnedObject
from bluetune_trainer.data.files import records
from bluetune_trainer.data.formats import UnknownFormat
from bluetune_trainer.data.records import BrokenFile
from bluetune_trainer.data.tally import Lines
from bluetune_trainer.errors import DataInvalid, Stopped

TRANSACTION_LOG = "_delta_log"
"""Folder of a Delta table's log. It says which of the files beside it are current."""
COMMIT = re.compile(r"_committed_\d+")
"""Record of a commit of Databricks: `{"added": [...], "removed": [...]}`, names of files beside it."""
_COMMIT_RECORD = TypeAdapter(dict[str, list[str]])
MAX_COMMIT_BYTES = 16 << 20
MAX_FILE_BYTES = 64 << 20
"""Largest file that an item may name: pictures of several at a time are in memory."""


class Listing(NamedTuple):
    """What lies at a path of the store."""

    objects: list[PinnedObject]
    """The data, in the order of their keys."""
    transaction_log: str | None = None
    """A folder, or a commit that cannot be read, by which the files beside it are not all current: they cannot be read
    one by one."""


def listing(store: ObjectStore, path: str) -> Listing:
    """The objects at a path, as they are now.

    Args:
        path: key of one object, or of a folder if it ends in a slash. Below a folder, what lies in folders whose names
            begin with `_` or `.`, or is named so itself, is no data, as everywhere with data files.
    """
    if not path.endswith("/"):
        info = store.stat(path)
        return Listing([PinnedObject(key=info.key, etag=info.etag, size=info.size)] if info else [])
    objects, log, commits = [], None, []
    for info in store.list(path):
        parts = info.key.removeprefix(path).split("/")
        if COMMIT.fullmatch(parts[-1]):
            commits.append(info.key)
        if TRANSACTION_LOG in parts[:-1]:
            log = path + "/".join(parts[: parts.index(TRANSACTION_LOG) + 1]) + "/"
        if not any(part.startswith(("_", ".")) for part in parts):
            objects.append(PinnedObject(key=info.key, etag=info.etag, size=info.size))
    replaced: set[str] = set()
    for commit in commits:
        names = _removed(store, commit)
        if names is None:
            log = log or commit
        else:
            replaced.update(commit.rpartition("/")[0] + "/" + name for name in names)
    return Listing([one for one in objects if one.key not in replaced], log)


def _removed(store: ObjectStore, commit: str) -> list[str] | None:
    """Files that a commit of Databricks replaced: they lie beside the new ones until they are vacuumed. None: it does
    not tell."""
    try:
        return _COMMIT_RECORD.validate_json(store.get(commit, most=MAX_COMMIT_BYTES))["removed"]
    except (ObjectNotFound, ObjectTooLarge, ValidationError, KeyError):
        return None


def pin(store: ObjectStore, path: str) -> list[PinnedObject]:
    """The data at a path, as they are now, in the order of their keys."""
    return listing(store, path).objects


@dataclass(frozen=True)
class Reader:
    """Reads the objects that items name. In another process, `stop` is never set: the first one ends it.

    Raises:
        DataInvalid: the object does not exist, is too large, or could not lie below the model's prefix.
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
            return self.store.get(key, most=MAX_FILE_BYTES)
        except ObjectNotFound as error:
            raise DataInvalid(
                f"there is no {self.store.uri(key)}, which an item of the catalogue names; upload it, or leave the item"
                " out",
                reason="ItemFileMissing",
            ) from error
        except ObjectTooLarge as error:
            raise DataInvalid(
                f"{self.store.uri(key)}, which an item of the catalogue names, is larger than {MAX_FILE_BYTES >> 20}"
                " MiB; make it smaller, or leave the item out"
            ) from error


def stream(
    store: ObjectStore, objects: Sequence[PinnedObject], tally: Lines, *, workdir: Path, stop: threading.Event
) -> Generator[tuple[str, int, dict[str, Any]], None, None]:
    """Records of all objects as (key, line, record). What cannot be read is counted in `tally`.

    Raises:
        DataInvalid: an object is gone, or is no longer the one that was pinned.
        Stopped: `stop` was set.
    """
    for pinned in objects:
        if stop.is_set():
            raise Stopped
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
            except UnknownFormat:
                if pinned.size:
                    tally.unread.append(pinned.key)
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
