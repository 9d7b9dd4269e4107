"""What people search and click, written into the store in the form of OpenSearch's User Behavior Insights (UBI) 1.3.

A search is a row of `ubi_queries` with what it showed; a click is a row of `ubi_events`. Both are in one file.
All pods write parts into the same open batch, the newest `web-…` folder without a `_SUCCESS`; closing it is creating
that marker. Nothing needs a pod to live on: what it has not written yet is written when it is told to stop.
"""

import json
import logging
import threading
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from bluetune_api import store_layout
from bluetune_api.objectstore import ObjectStore

log = logging.getLogger("clicklog")

APPLICATION = "search-service"
PREFIX, STAMP = "web-", "%Y%m%dT%H%M%S.%fZ"
MAX_OPEN = 10_000
"""Sessions in memory; beyond that the oldest is written down early."""


@dataclass
class Session:
    """A search and its clicks, still going on."""

    session_id: str
    query: str
    results: tuple[str, ...]
    version: str
    created_at: datetime
    touched: float
    events: list[dict[str, Any]] = field(default_factory=list)

    def as_ubi(self) -> list[dict[str, Any]]:
        """The search, and after it its clicks."""
        query = {
            "application": APPLICATION,
            "query_id": self.session_id,
            "user_query": self.query,
            "query_response_id": self.session_id,
            "query_response_hit_ids": list(self.results),
            "query_attributes": {"model_version": self.version},
            "timestamp": _stamp(self.created_at),
        }
        return [query, *self.events]

    def click(self, object_id: str, at: datetime) -> None:
        """Note a click on a result."""
        self.events.append(
            {
                "application": APPLICATION,
                "action_name": "click",
                "query_id": self.session_id,
                "timestamp": _stamp(at),
                "event_attributes": {
                    "object": {"object_id": object_id, "object_id_field": "item_id"},
                    "position": {"ordinal": self.results.index(object_id) + 1},
                },
            }
        )


@dataclass(frozen=True)
class BatchState:
    """A batch of clicks as it is in the store."""

    batch_id: str | None
    """None: nothing was written since the last batch was closed."""
    sessions: int = 0
    clicked: int = 0
    """Sessions with a click."""
    closed: bool = False


class ClickLog:
    """The click log of one pod.

    Args:
        source: the pod's name; parts are named after it.
        idle_seconds: a session without a click for so long is over.
        min_clicked: fewest sessions with a click that a batch may be closed with.
        batch_minutes: a batch closes itself when it is that old; 0 is never.
    """

    def __init__(
        self,
        store: ObjectStore,
        *,
        source: str,
        idle_seconds: float,
        min_clicked: int,
        batch_minutes: float = 0.0,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store, self._source = store, source
        self._idle_seconds, self._batch_minutes = idle_seconds, batch_minutes
        self.min_clicked = min_clicked
        self._clock, self._monotonic = clock, monotonic
        self._open: OrderedDict[str, Session] = OrderedDict()
        self._lock = threading.Lock()
        self._writing = threading.Lock()

    def searched(self, query: str, results: Sequence[str], version: str) -> str:
        """Note what a search showed; returns the session's id."""
        session_id = str(uuid.uuid4())
        session = Session(session_id, query, tuple(results), version, self._clock(), self._monotonic())
        with self._lock:
            self._open[session_id] = session
        return session_id

    def clicked(self, session_id: str, object_id: str) -> bool:
        """Note a click; False if the session is over or never showed that object."""
        with self._lock:
            session = self._open.get(session_id)
            if session is None or object_id not in session.results:
                return False
            session.touched = self._monotonic()
            session.click(object_id, self._clock())
        return True

    def waiting(self) -> int:
        """Sessions that are not written yet."""
        with self._lock:
            return len(self._open)

    def flush(self, *, everything: bool = False) -> int:
        """Write the sessions that are over, or all, as a part of the open batch; returns how many.

        If the store refuses, they stay in memory for the next time and its error is raised.
        """
        with self._writing:
            over = self._over(everything)
            if not over:
                return 0
            rows = [row for session in over for row in session.as_ubi()]
            lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
            batch = self._open_batch() or PREFIX + self._clock().strftime(STAMP)
            part = f"{store_layout.batch(batch)}{self._source}-{uuid.uuid4().hex[:12]}.jsonl"
            self._store.put(part, lines.encode(), content_type="application/x-ndjson")
            with self._lock:
                for session in over:
                    self._open.pop(session.session_id, None)
            return len(over)

    def _over(self, everything: bool) -> list[Session]:
        now = self._monotonic()
        with self._lock:
            excess = len(self._open) - MAX_OPEN
            return [
                session
                for place, session in enumerate(self._open.values())
                if everything or place < excess or now - session.touched >= self._idle_seconds
            ]

    def state(self) -> BatchState:
        """The open batch."""
        batch = self._open_batch()
        if batch is None:
            return BatchState(None)
        parts = [info.key for info in self._store.list(store_layout.batch(batch)) if info.key.endswith(".jsonl")]
        rows = [json.loads(line) for part in parts for line in self._store.get(part).splitlines()]
        clicked = {row["query_id"] for row in rows if "action_name" in row}
        return BatchState(batch, sum("user_query" in row for row in rows), len(clicked))

    def close(self) -> BatchState:
        """Write everything down and mark the batch complete, if it has enough sessions with a click."""
        self.flush(everything=True)
        state = self.state()
        if state.batch_id is None or state.clicked < self.min_clicked:
            return state
        self._store.create(store_layout.batch_marker(state.batch_id), b"")
        log.info("closed batch %s: %d sessions, %d with a click", state.batch_id, state.sessions, state.clicked)
        return BatchState(state.batch_id, state.sessions, state.clicked, closed=True)

    def tick(self) -> None:
        """What is to be done now and then: write what is over, and close a batch that is old enough."""
        self.flush()
        if self._batch_minutes and (batch := self._open_batch()):
            begun = datetime.strptime(batch, PREFIX + STAMP).replace(tzinfo=UTC)
            if (self._clock() - begun).total_seconds() >= self._batch_minutes * 60:
                self.close()

    def _open_batch(self) -> str | None:
        batches = [name for name in self._store.folders(store_layout.CLICKSTREAM) if name.startswith(PREFIX)]
        newest = max(batches, default=None)
        if newest is None or self._store.stat(store_layout.batch_marker(newest)) is not None:
            return None
        return newest


def _stamp(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
