"""Records of the runs that are looked at, read from their stores once for all viewers, and again while they change."""

import asyncio
import time
from collections import OrderedDict
from dataclasses import dataclass, field

from bluetune.adapters.run_store import RunStores
from bluetune.core.kinds import Object
from bluetune.core.page.runs import Records
from bluetune.core.tasks import ended

MAX_RUNS = 32
AGAIN_SECONDS = 10.0
"""For a run that goes on, and after a store that could not be read."""
FIRST_SECONDS = 1.5
"""How long a page waits for its first records."""


@dataclass
class _Kept:
    records: Records = field(default_factory=lambda: Records(looked=False))
    version: str = ""
    """The task's resourceVersion at the last look, if that was the last one that was needed."""
    at: float = float("-inf")
    reading: asyncio.Task[None] | None = None


class RecordsKept:
    """By run, those last looked at."""

    def __init__(self, stores: RunStores) -> None:
        self._stores = stores
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._turn = asyncio.Lock()
        """One store at a time: a store that is away keeps one thread waiting."""

    async def of(self, task: Object, model: Object | None) -> Records:
        """What is known by now. What is older than it may be is read meanwhile."""
        if model is None:
            return Records(why="The store is not known: the run's model is gone, or you may not list models.")
        kept = self._kept.setdefault(str(task["metadata"]["uid"]), _Kept())
        self._kept.move_to_end(str(task["metadata"]["uid"]))
        while len(self._kept) > MAX_RUNS:
            self._kept.popitem(last=False)
        current = kept.version == _version(task)
        if kept.reading is None and not current and time.monotonic() - kept.at >= AGAIN_SECONDS:
            kept.reading = asyncio.create_task(self._read(kept, task, model))
        if kept.reading is not None and not kept.records.looked:
            await asyncio.wait({kept.reading}, timeout=FIRST_SECONDS)
        return kept.records

    async def _read(self, kept: _Kept, task: Object, model: Object) -> None:
        try:
            async with self._turn:
                kept.records = await asyncio.to_thread(self._stores.records, task, model)
            if ended(task) and not kept.records.why:
                kept.version = _version(task)
        finally:
            kept.at, kept.reading = time.monotonic(), None


def _version(task: Object) -> str:
    return str(task["metadata"].get("resourceVersion") or "-")
