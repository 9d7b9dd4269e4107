"""An attempt's progress in the store: the newest state, at most once a second, never in the way of the training."""

import logging
import threading
import time
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from bluetune_api import store_layout
from bluetune_api.base import ApiModel
from bluetune_api.objectstore import ObjectStore, StoreError
from bluetune_api.records import Progress
from bluetune_trainer.store.runs import encode

log = logging.getLogger(__name__)

SECONDS_BETWEEN_WRITES = 1.0
SECONDS_TO_CLOSE = 10.0
MIN_SHARE = 0.02
"""Minimum share of all folds that says how long the others take."""

SHARES = {"Loading": (0, 4), "Baseline": (4, 8), "Searching": (8, 90), "Evaluating": (90, 95), "Publishing": (95, 100)}
"""Percent of the whole run at which a stage begins and ends. Folds belong to the search's share: the search counts
their trainings as its own."""


def whole_run(part: Progress, elapsed: float) -> Progress:
    """Progress of the search as progress of the run: percent and seconds left also cover what comes after it.

    Args:
        part: `percent` and `eta_seconds` are of the search alone (Baseline and Searching), with the folds after it.
        elapsed: seconds since the attempt began.
    """
    begin, end = SHARES["Baseline"][0], SHARES["Searching"][1]
    percent = min(begin + part.percent * (end - begin) // 100, end)
    eta = None if part.eta_seconds is None else _with_the_rest(part.eta_seconds, elapsed)
    return part.model_copy(update={"percent": percent, "eta_seconds": eta})


@dataclass(frozen=True)
class FoldsBegan:
    """How things stood when folds were first heard of in this attempt."""

    progress: Progress
    share: float
    """Share of all folds that was done by then: an earlier attempt may have compared some."""
    elapsed: float
    """Seconds since the attempt began."""


def in_folds(began: FoldsBegan, share: float, elapsed: float) -> Progress:
    """Progress while folds are trained.

    How long they take is at first what the search said before the first one, and more and more what they took so far.

    Args:
        share: of all folds, that is done; below 1 where time is left.
        elapsed: seconds since the attempt began.
    """
    before, end = began.progress, SHARES["Searching"][1]
    spent, left = elapsed - began.elapsed, 1 - share
    done = (share - began.share) / (1 - began.share) if began.share < 1 else 1.0
    percent = before.percent + int(done * max(end - before.percent, 0))
    eta: float | None = None
    if before.eta_seconds is not None:
        foreseen = _without_the_rest(before.eta_seconds, began.elapsed)
        eta = left * ((1 - done) * foreseen + spent / max(1 - began.share, MIN_SHARE))
    elif share - began.share > MIN_SHARE:
        eta = left * spent / (share - began.share)
    told = None if eta is None else _with_the_rest(eta, elapsed)
    return before.model_copy(
        update={"stage": "Evaluating", "percent": percent, "eta_seconds": told, "trial": None, "epoch": None}
    )


def after_search(percent: int, elapsed: float) -> int | None:
    """Seconds left at a stage after the search, by what share of the run it begins at."""
    return round(elapsed * (100 - percent) / percent) if percent else None


def _with_the_rest(left: float, elapsed: float) -> int:
    """Seconds to the end of the run, from those to the end of search and folds."""
    end = SHARES["Searching"][1]
    return round(left + (elapsed + left) * (100 - end) / end)


def _without_the_rest(eta: float, elapsed: float) -> float:
    """The other way round."""
    end = SHARES["Searching"][1]
    return max(eta - (elapsed + eta) * (100 - end) / 100, 0.0)


R = TypeVar("R", bound=ApiModel)


@dataclass
class RecordWriter(Generic[R]):
    """Writes the newest state from a thread of its own: a slow store costs no training time, and of many states
    between two writes only the last one counts. Losing one is no reason to end a run, so a failed write is logged, no
    more."""

    store: ObjectStore
    key: str
    _newest: R | None = None
    _closed: bool = False
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to write."""
        self._thread = threading.Thread(target=self._write_all, name="progress", daemon=True)
        self._thread.start()

    def report(self, progress: R) -> None:
        """Say how far it is; returns at once."""
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


class ProgressWriter(RecordWriter[Progress]):
    """Writes progress.json."""

    @classmethod
    def of_attempt(cls, store: ObjectStore, uid: str, pod_uid: str) -> "ProgressWriter":
        """Start the writer of one pod's attempt."""
        writer = cls(store, store_layout.progress(uid, pod_uid))
        writer.start()
        return writer


def now() -> str:
    """The time as records have it: RFC 3339, UTC."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
