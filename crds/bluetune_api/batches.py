"""Which batches of clicks the store holds: folders at any depth, found by a listing and no request for each of them.

A batch is a folder below `clickstream/` that says that it is complete: by `_SUCCESS`, which Spark, Hadoop and Athena's
users write last, or by `_committed_*`, which Databricks writes. Of such folders within each other the outermost is the
batch. With `clickstream.settle` a folder with data and without a marker is complete, too, once nothing was added to it
for so long. A `_SUCCESS` right in `clickstream/`, where Spark writes partitions side by side, completes all that is
older than it. Whatever lies below a name that begins with `_` or `.` is no data.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass, field

from bluetune_api import store_layout
from bluetune_api.batch_window import CompleteBatch, is_batch_id, was_learned
from bluetune_api.objectstore import ObjectInfo, ObjectStore, Page, StoreError

_COMMITTED, _STARTED = re.compile(r"_committed_(\d+)"), re.compile(r"_started_(\d+)")
_DELTA_LOG = "_delta_log"
_HIDDEN = ("_", ".")
_LAST = "/~"
"""After a folder's name: what nearly all files in it come before. It lies within the folder, so that whatever a server
makes of a key that is not there, nothing beside the folder is skipped (SeaweedFS skips a folder of that name)."""
PAGE, MAX_PAGES = 1000, 2000
"""Objects in an answer of S3, and answers of a listing. Of a large batch that has its marker, one answer is read."""
NAMED, NAMED_CHARACTERS = 5, 120
"""Folders that a message names, and of how long a name it shows the beginning."""


class ListingTooLong(StoreError):
    """There is so much in `clickstream/` that nobody should wait for the end of its listing."""


@dataclass(frozen=True)
class PassedOver:
    """A folder with data that is no batch."""

    folder: str
    """Below `clickstream/`."""
    why: str
    """In a few words."""
    newest: float
    """When the last of it was written."""


@dataclass(frozen=True)
class Found:
    """What a listing showed."""

    complete: list[CompleteBatch]
    """In the order of their ids, without those that were to be left out."""
    passed_over: list[PassedOver]
    """The newest first."""
    loose: int = 0
    """Files right in `clickstream/`."""

    def in_words(self) -> str:
        """What was passed over, as the end of a sentence; empty if there is nothing."""
        told = []
        if self.passed_over:
            named = ", ".join(f"{one.folder[:NAMED_CHARACTERS]!r} ({one.why})" for one in self.passed_over[:NAMED])
            more = len(self.passed_over) - NAMED
            told.append(f"passed over: {named}" + (f" and {more} more" if more > 0 else ""))
        if self.loose:
            files = "1 file lies" if self.loose == 1 else f"{self.loose} files lie"
            told.append(f"{files} right in {store_layout.CLICKSTREAM}, where only folders are batches")
        return "; ".join(told)


@dataclass
class _Folder:
    files: int = 0
    """Number of data files right in the folder."""
    newest: float = 0.0
    """Time of the newest file right in the folder or hidden below it."""
    marker: float | None = None
    committed: dict[str, float] = field(default_factory=dict)
    started: set[str] = field(default_factory=set)
    delta: bool = False

    def completed(self) -> float | None:
        """When its marker says that it was complete."""
        if self.marker is not None:
            return self.marker
        if self.committed and self.started <= self.committed.keys():
            return max(self.committed.values())
        return None


class BatchSearch:
    """Finds batches in a listing that comes page by page.

    Args:
        learned: batches that are left out, with all below them.
        settle: seconds without news after which a folder needs no marker; None: it always does.
        now: the time, in seconds since the epoch.
    """

    def __init__(self, *, learned: Collection[str] = (), settle: float | None = None, now: float) -> None:
        self._learned = learned
        self._settle = settle
        self._now = now
        self._folders: dict[str, _Folder] = {}

    def take(self, page: Page) -> str | None:
        """Take the next page in. The key to list on after, past what needs no look; None at the end."""
        for info in page.objects:
            self._see(info)
        return None if page.after is None else self._past_known(page.after)

    def _see(self, info: ObjectInfo) -> None:
        *path, name = info.key.removeprefix(store_layout.CLICKSTREAM).split("/")
        hidden = next((n for n, part in enumerate(path) if part.startswith(_HIDDEN)), None)
        where = "/".join(path[:hidden])
        folder = self._folders.get(where)
        if folder is None:
            folder = self._folders[where] = _Folder()
        if hidden is None and name == store_layout.SUCCESS_MARKER:
            folder.marker = info.modified
            return
        folder.newest = max(folder.newest, info.modified)
        if hidden is not None:
            folder.delta = folder.delta or path[hidden] == _DELTA_LOG
        elif not name.startswith(_HIDDEN):
            folder.files += 1
        elif match := _COMMITTED.fullmatch(name):
            folder.committed[match[1]] = info.modified
        elif match := _STARTED.fullmatch(name):
            folder.started.add(match[1])

    def _past_known(self, after: str) -> str:
        """Where the folder about ends that the listing is in, if nothing more of it can matter; else the key itself."""
        path = after.removeprefix(store_layout.CLICKSTREAM).split("/")[:-1]
        for depth in range(1, len(path) + 1):
            name = "/".join(path[:depth])
            folder = self._folders.get(name)
            known = name in self._learned or (folder is not None and folder.marker is not None)
            hidden = path[depth - 1].startswith(_HIDDEN) and self._settle is None
            if known or hidden:
                return max(after, store_layout.CLICKSTREAM + name + _LAST)
        return after

    def found(self) -> Found:
        """What the pages showed, once all were taken in."""
        complete: list[CompleteBatch] = []
        passed_over: list[PassedOver] = []
        names = sorted((name for name in self._folders if name), key=lambda name: name.split("/"))
        number = 0
        while number < len(names):
            name, end = names[number], number + 1
            while end < len(names) and names[end].startswith(name + "/"):
                end += 1
            inner = [self._folders[one] for one in names[number:end]]
            folder = inner[0]
            if self._was_learned(name):
                number = end
                continue
            marked = folder.completed() is not None
            if not (marked or folder.files or folder.delta):
                number += 1
                continue
            newest = max(one.newest for one in inner)
            if not marked and not folder.delta and any(one.completed() is not None for one in inner):
                passed_over.append(PassedOver(name, "folders below it are batches", newest))
                number += 1
                continue
            judged = self._judge(name, inner, newest)
            if isinstance(judged, str):
                passed_over.append(PassedOver(name, judged, newest))
            else:
                complete.append(CompleteBatch(name, judged))
            number = end
        passed_over.sort(key=lambda one: (-one.newest, one.folder))
        complete.sort(key=lambda one: one.batch_id)
        return Found(complete, passed_over, self._folders[""].files if "" in self._folders else 0)

    def _judge(self, name: str, inner: list[_Folder], newest: float) -> float | str:
        """When a folder was complete, or why it is no batch.

        Args:
            name: the folder's.
            inner: the folder, and all below it.
            newest: when the last of these was written.
        """
        folder, root = inner[0], self._folders.get("") or _Folder()
        if not is_batch_id(name):
            return "its name cannot be a batch's"
        if root.delta or any(one.delta for one in inner):
            return "a Delta table: it has a _delta_log"
        completed = folder.completed()
        if completed is not None:
            return completed
        if any(one.started for one in inner):
            return "a write to it was begun and not committed"
        if root.marker is not None and newest <= root.marker:
            return newest
        if self._settle is None:
            return f"no {store_layout.SUCCESS_MARKER}"
        return newest if self._now - newest >= self._settle else "added to less than clickstream.settle ago"

    def _was_learned(self, name: str) -> bool:
        return was_learned(name, self._learned)

    def why_not(self, batch_id: str) -> str | None:
        """Why a folder, of which all pages were taken in, is no complete batch; None if it is one."""
        found = self.found()
        if any(one.batch_id == batch_id for one in found.complete):
            return None
        for one in found.passed_over:
            if one.folder == batch_id:
                return one.why
        if found.complete:
            named = ", ".join(repr(one.batch_id[:NAMED_CHARACTERS]) for one in found.complete[:NAMED])
            return f"complete batches lie below it: name one of them ({named})"
        return "no files lie in it"


def find_batches(
    store: ObjectStore, *, learned: Collection[str] = (), settle: float | None = None, now: float
) -> Found:
    """All batches that a store holds, as `BatchSearch` finds them.

    Raises:
        StoreError: the store does not tell; ListingTooLong if there are more than `MAX_PAGES`.
    """
    search, after = BatchSearch(learned=learned, settle=settle, now=now), ""
    for _ in range(MAX_PAGES):
        following = search.take(store.page(store_layout.CLICKSTREAM, after))
        if following is None:
            return search.found()
        after = following
    raise too_many(store.uri(store_layout.CLICKSTREAM))


def too_many(uri: str) -> ListingTooLong:
    """The error of a listing that is longer than `MAX_PAGES`."""
    return ListingTooLong(
        f"{uri} holds more than {MAX_PAGES * PAGE} objects in folders without {store_layout.SUCCESS_MARKER}; write"
        " that into each batch, move old ones away, or name the batch in spec.batchId"
    )


def why_incomplete(store: ObjectStore, batch_id: str, *, settle: float | None = None, now: float) -> str | None:
    """Why a batch is not complete, in a few words; None if it is. One request if it has its `_SUCCESS`.

    Raises:
        StoreError: the store does not tell; ListingTooLong if there are more than `MAX_PAGES`.
    """
    if store.stat(store_layout.batch_marker(batch_id)) is not None:
        return None
    search, after = BatchSearch(settle=settle, now=now), ""
    root = store.stat(store_layout.CLICKSTREAM + store_layout.SUCCESS_MARKER)
    search.take(Page([root] if root is not None else []))
    for _ in range(MAX_PAGES):
        following = search.take(store.page(store_layout.batch(batch_id), after))
        if following is None:
            return search.why_not(batch_id)
        after = following
    raise too_many(store.uri(store_layout.batch(batch_id)))
