"""The object store as operator and trainer see it: few operations, conditional creates, errors that say what to do.

Keys are relative to the model's prefix. `LocalStore` is a folder; `bluetune_api.s3` is S3.
"""

import builtins
import contextlib
import errno
import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol
from uuid import uuid4

from bluetune_api import store_layout


class StoreError(Exception):
    """Something about the store; the message is fit for a user."""


class StoreUnreachable(StoreError):
    """No answer, or 5xx, after retries."""


class StoreDenied(StoreError):
    """The keys are wrong, or may not do this."""


class ObjectNotFound(StoreError):
    """There is no such object, or no such bucket."""


class ObjectTooLarge(StoreError):
    """The object is longer than its reader takes; the message says how much that is."""


class ObjectChanged(StoreError):
    """The object is no longer the one that was pinned by its ETag."""


class NoConditionalWrites(StoreError):
    """The store does not refuse to create an object that is there."""

    def __init__(self, uri: str) -> None:
        super().__init__(
            f"the store of {uri} has no conditional writes (If-None-Match on PutObject), so two runs could take the"
            " same claim or overwrite each other's records; use a store that has them, or a newer release of this one"
        )


@dataclass(frozen=True)
class ObjectInfo:
    """An object without its content."""

    key: str
    size: int
    etag: str
    modified: float
    """Seconds since the epoch."""


@dataclass(frozen=True)
class Page:
    """A part of a listing."""

    objects: list[ObjectInfo]
    """In the order of their keys; `etag` may be empty."""
    after: str | None = None
    """The key that the next page comes after; None: this was the last one."""


class ObjectStore(Protocol):
    """Where a model's batches, runs and versions are. Every operation is safe to repeat."""

    def get(self, key: str, *, most: int | None = None) -> bytes:
        """Content of an object. Raises ObjectNotFound, and ObjectTooLarge if it has more than `most` bytes."""

    def download(self, key: str, path: Path, *, etag: str | None = None) -> None:
        """Write an object to a file, whole or not at all. Raises ObjectNotFound, and ObjectChanged for another ETag."""

    def put(self, key: str, data: bytes, *, content_type: str = "application/json") -> None:
        """Create or replace an object."""

    def upload(self, key: str, path: Path) -> None:
        """Create or replace an object with a file's content."""

    def create(self, key: str, data: bytes, *, content_type: str = "application/json") -> bool:
        """Create an object if there is none; False, and nothing changed, if there is. Of two racing one gets True."""

    def stat(self, key: str) -> ObjectInfo | None:
        """What is known of an object, or None."""

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """All objects below a prefix, in the order of their keys."""

    def page(self, prefix: str, after: str = "") -> Page:
        """The objects below a prefix whose keys come after a key: as many as one request gives."""

    def folders(self, prefix: str) -> builtins.list[str]:
        """Names of the folders right below a prefix that ends in a slash."""

    def delete(self, key: str) -> None:
        """Remove an object; no error if there is none."""

    def uri(self, key: str) -> str:
        """Address of an object, for people."""


def require_conditional_writes(store: ObjectStore) -> bool:
    """Raise NoConditionalWrites for a store that creates an object twice.

    The first time this writes an object, and returns True. From then on a store that has them refuses that: one
    request, which changes nothing.
    """
    first, second = (uuid4().hex.encode() for _ in range(2))  # different, so that a lost answer is not taken for ours
    key = store_layout.CONDITIONAL_WRITES
    if not store.create(key, first):
        return False
    if store.create(key, second):
        raise NoConditionalWrites(store.uri(""))
    return True


@contextlib.contextmanager
def _temporary(folder: Path) -> Iterator[tuple[IO[bytes], Path]]:
    """An open file in a folder, and its path; removed in the end unless it was moved away."""
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".tmp-", delete=False) as file:
        try:
            yield file.file, Path(file.name)
        finally:
            Path(file.name).unlink(missing_ok=True)


_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)
"""What file systems without hard links answer: exFAT, many network folders, buckets that are mounted."""


def _appear(whole: Path, target: Path) -> bool:
    """Give a whole file its name at once, if nobody has it; False if somebody has."""
    try:
        os.link(whole, target)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        return _appear_under_lock(whole, target)
    return True


def _appear_under_lock(whole: Path, target: Path) -> bool:
    """The same where there are no hard links, among processes of this machine. A lock goes with its process."""
    with (target.parent / ".tmp-lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if target.exists():
            return False
        os.replace(whole, target)
    return True


class LocalStore:
    """A folder as a store: how `bluetune-trainer run -f` works without S3."""

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()

    def _path(self, key: str) -> Path:
        path = (self._root / key).resolve()
        if not path.is_relative_to(self._root):
            raise StoreError(f"key {key!r} leaves the store's folder {self._root}")
        return path

    def get(self, key: str, *, most: int | None = None) -> bytes:
        try:
            with self._path(key).open("rb") as file:
                data = file.read() if most is None else file.read(most + 1)
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            raise ObjectNotFound(f"{self.uri(key)} does not exist") from None
        if most is not None and len(data) > most:
            raise ObjectTooLarge(f"{self.uri(key)} is longer than the {most} bytes that such an object may have")
        return data

    def beginning(self, key: str, size: int) -> bytes:
        """The first bytes of an object, at most `size`. Raises ObjectNotFound."""
        try:
            with self._path(key).open("rb") as file:
                return file.read(size)
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            raise ObjectNotFound(f"{self.uri(key)} does not exist") from None

    def download(self, key: str, path: Path, *, etag: str | None = None) -> None:
        info = self.stat(key)
        if info is None:
            raise ObjectNotFound(f"{self.uri(key)} does not exist")
        if etag is not None and info.etag != etag:
            raise ObjectChanged(f"{self.uri(key)} changed since it was checked")
        path.parent.mkdir(parents=True, exist_ok=True)
        with _temporary(path.parent) as (file, temporary), self._path(key).open("rb") as source:
            shutil.copyfileobj(source, file)
            file.close()
            os.replace(temporary, path)

    def put(self, key: str, data: bytes, *, content_type: str = "application/json") -> None:
        with self._new(key) as (file, temporary):
            file.write(data)
            file.close()
            os.replace(temporary, self._path(key))

    def upload(self, key: str, path: Path) -> None:
        with path.open("rb") as source, self._new(key) as (file, temporary):
            shutil.copyfileobj(source, file)
            file.close()
            os.replace(temporary, self._path(key))

    def create(self, key: str, data: bytes, *, content_type: str = "application/json") -> bool:
        with self._new(key) as (file, temporary):
            file.write(data)
            file.close()
            return _appear(temporary, self._path(key))

    @contextlib.contextmanager
    def _new(self, key: str) -> Iterator[tuple[IO[bytes], Path]]:
        """A file beside an object, to become it. What the disk refuses is an error of the store."""
        try:
            target = self._path(key)
            target.parent.mkdir(parents=True, exist_ok=True)
            with _temporary(target.parent) as made:
                yield made
        except OSError as error:
            raise StoreError(f"cannot write {self.uri(key)}: {error.strerror or error}") from error

    def stat(self, key: str) -> ObjectInfo | None:
        path = self._path(key)
        if not path.is_file():
            return None
        return self._info(path)

    def _info(self, path: Path) -> ObjectInfo:
        status = path.stat()
        with path.open("rb") as file:
            etag = hashlib.file_digest(file, "md5").hexdigest()
        return ObjectInfo(path.relative_to(self._root).as_posix(), status.st_size, etag, status.st_mtime)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        for _, path in self._files(prefix):
            yield self._info(path)

    def page(self, prefix: str, after: str = "") -> Page:
        """All of them at once; no file is read for its etag."""
        found = []
        for key, path in self._files(prefix):
            if key > after:
                status = path.stat()
                found.append(ObjectInfo(key, status.st_size, "", status.st_mtime))
        return Page(found)

    def _files(self, prefix: str) -> builtins.list[tuple[str, Path]]:
        folder = self._path(prefix) if prefix.endswith("/") or not prefix else self._path(prefix).parent
        found = (p for p in folder.rglob("*") if p.is_file() and not p.name.startswith(".tmp-"))
        keys = ((p.relative_to(self._root).as_posix(), p) for p in found)
        return sorted((key, path) for key, path in keys if key.startswith(prefix))

    def folders(self, prefix: str) -> builtins.list[str]:
        folder = self._path(prefix)
        return sorted(p.name for p in folder.iterdir() if p.is_dir()) if folder.is_dir() else []

    def delete(self, key: str) -> None:
        self._path(key).unlink(missing_ok=True)

    def uri(self, key: str) -> str:
        return str(self._root / key)
