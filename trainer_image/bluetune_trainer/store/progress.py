"""An attempt's progress in the store: the newest state, at most once a second, never in the way of the training."""

import logging
import threading
import time
from dataclasses import dataclass, field

from bluetune_api import store_layout
from bluetune_api.objectstore import ObjectStore, StoreError
from bluetune_api.records import Progress
from bluetune_trainer.store.runs import encode

log = logging.getLogger(__name__)

SECONDS_BETWEEN_WRITES = 1.0
SECONDS_TO_CLOSE = 10.0

SHARES = {"Loading": (0, 4), "Baseline": (4, 8), "Searching": (8, 90), "Evaluating": (90, 95), "Publishing": (95, 100)}
"""Percent of the whole run at which a stage begins and ends."""


def whole_run(part: Progress) -> Progress:
    """Progress of the search as progress of the run: percent and seconds left also cover what comes after it.

    Args:
        part: `percent` and `eta_seconds` are of the search alone (Baseline and Searching).
    """
    begin, end = SHARES["Baseline"][0], SHARES["Searching"][1]
    percent = begin + part.percent * (end - begin) // 100
    eta = part.eta_seconds
    if eta is not None:
        remaining = max(100 - part.percent, 1)
        after = (eta / remaining * 100) * (100 - end) / (end - begin) if part.percent < 100 else 0
        eta = round(eta + after)
    return part.model_copy(update={"percent": min(percent, end), "eta_seconds": eta})


@dataclass
class ProgressWriter:
    """Writes progress.json from a thread of its own: a slow store costs no training time, and of many states between
    two writes only the last one counts. Losing one is no reason to end a run, so a failed write is logged, no more."""

    store: ObjectStore
    key: str
    _newest: Progress | None = None
    _closed: bool = False
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _thread: threading.Thread | None = None

    @classmethod
    def of_attempt(cls, store: ObjectStore, uid: str, pod_uid: str) -> "ProgressWriter":
        """Start the writer of one pod's attempt."""
        writer = cls(store, store_layout.progress(uid, pod_uid))
        writer._thread = threading.Thread(target=writer._write_all, name="progress", daemon=True)
        writer._thread.start()
        return writer

    def report(self, progress: Progress) -> None:
        """Say how far the run is; returns at once."""
        with self._changed:
            self._newest = progress
            self._changed.notify()

    def close(self) -> None:
        """Write the last state and end; waits for at most 10 s."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread:
            self._thread.join(SECONDS_TO_CLOSE)

    def _write_all(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._newest is not None or self._closed)
                progress, self._newest = self._newest, None
                closed = self._closed
            if progress is not None:
                try:
                    self.store.put(self.key, encode(progress))
                except StoreError as error:
                    log.warning("progress not written", extra={"error": str(error)})
            if closed:
                return
            with self._changed:
                self._changed.wait_for(lambda: self._closed, timeout=SECONDS_BETWEEN_WRITES)


def now() -> str:
    """The time as records have it: RFC 3339, UTC."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
