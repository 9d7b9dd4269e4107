"""The click log: searches and clicks in the store as UBI has them, one open batch for all pods, closed when it pays."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from search_service.clicklog import BatchState, ClickLog

from bluetune_api.objectstore import LocalStore, StoreUnreachable
from bluetune_trainer.data.event_types import EventTypes
from bluetune_trainer.data.tally import SessionTally
from bluetune_trainer.data.ubi import is_ubi, sessions


class Clock:
    """A time that moves when it is told to."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def wall(self) -> datetime:
        return self.now

    def monotonic(self) -> float:
        return self.now.timestamp()

    def passes(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path)


def log_of(store: LocalStore, clock: Clock, pod: str = "pod-a", **more: Any) -> ClickLog:
    options = {"idle_seconds": 60.0, "min_clicked": 1, **more}
    return ClickLog(store, source=pod, clock=clock.wall, monotonic=clock.monotonic, **options)


def rows(store: LocalStore) -> list[dict[str, Any]]:
    parts = [info.key for info in store.list("clickstream/") if info.key.endswith(".jsonl")]
    return [json.loads(line) for part in parts for line in store.get(part).splitlines()]


def test_a_search_and_its_click_are_logged_as_ubi_has_them(store: LocalStore, clock: Clock) -> None:
    log = log_of(store, clock)
    query_id = log.searched("dark matter", ["d1", "d2"], "v1")
    clock.passes(5)
    assert log.clicked(query_id, "d2")
    log.flush(everything=True)
    query, event = rows(store)
    assert query == {
        "application": "search-service",
        "query_id": query_id,
        "user_query": "dark matter",
        "query_response_id": query_id,
        "query_response_hit_ids": ["d1", "d2"],
        "query_attributes": {"model_version": "v1"},
        "timestamp": "2026-01-01T00:00:00.000Z",
    }
    assert event == {
        "application": "search-service",
        "action_name": "click",
        "query_id": query_id,
        "timestamp": "2026-01-01T00:00:05.000Z",
        "event_attributes": {
            "object": {"object_id": "d2", "object_id_field": "item_id"},
            "position": {"ordinal": 2},
        },
    }


def test_the_trainer_reads_what_is_logged(store: LocalStore, clock: Clock) -> None:
    log = log_of(store, clock)
    assert log.clicked(log.searched("dark matter", ["d1", "d2"], "v1"), "d2")
    log.searched("light", ["d2"], "v1")
    log.flush(everything=True)
    known = {"d1": 0, "d2": 1}
    lines = [("part", number, row) for number, row in enumerate(rows(store), 1)]
    assert is_ubi(lines[0][2])
    read = [record for _, _, record in sessions(lines, known, EventTypes(), SessionTally())]
    assert [session["search_query"] for session in read] == ["dark matter", "light"]
    assert [len(session["events"]) for session in read] == [1, 0]


def test_what_was_never_shown_cannot_be_clicked(store: LocalStore, clock: Clock) -> None:
    log = log_of(store, clock)
    session_id = log.searched("q", ["d1"], "v1")
    assert not log.clicked(session_id, "d2")
    assert not log.clicked("unknown", "d1")


def test_only_sessions_that_are_over_are_written(store: LocalStore, clock: Clock) -> None:
    log = log_of(store, clock)
    log.searched("old", ["d1"], "v1")
    clock.passes(40)
    young = log.searched("young", ["d1"], "v1")
    clock.passes(40)
    assert log.flush() == 1
    assert [s["user_query"] for s in rows(store)] == ["old"]
    log.clicked(young, "d1")
    clock.passes(40)
    assert log.flush() == 0  # the click kept it going
    clock.passes(40)
    assert log.flush() == 1


def test_pods_write_into_the_same_batch_until_it_is_closed(store: LocalStore, clock: Clock) -> None:
    first, second = log_of(store, clock, "pod-a"), log_of(store, clock, "pod-b")
    first.clicked(first.searched("a", ["d1"], "v1"), "d1")
    first.flush(everything=True)
    clock.passes(10)
    second.searched("b", ["d1"], "v1")
    second.flush(everything=True)
    assert len(store.folders("clickstream/")) == 1
    assert first.state().sessions == 2
    closed = second.close()
    assert (closed.closed, closed.sessions, closed.clicked) == (True, 2, 1)
    assert store.stat(f"clickstream/{closed.batch_id}/_SUCCESS") is not None
    clock.passes(10)
    first.searched("c", ["d1"], "v1")
    first.flush(everything=True)
    assert len(store.folders("clickstream/")) == 2


def test_a_batch_with_too_few_clicks_stays_open(store: LocalStore, clock: Clock) -> None:
    log = log_of(store, clock, min_clicked=2)
    log.clicked(log.searched("a", ["d1"], "v1"), "d1")
    state = log.close()
    assert (state.closed, state.clicked) == (False, 1)
    assert log.state() == state


def test_nothing_to_close_is_no_error(store: LocalStore, clock: Clock) -> None:
    assert log_of(store, clock).close() == BatchState(None)


def test_a_batch_closes_itself_when_it_is_old_enough(store: LocalStore, clock: Clock) -> None:
    log = log_of(store, clock, batch_minutes=30)
    log.clicked(log.searched("a", ["d1"], "v1"), "d1")
    clock.passes(61)
    log.tick()
    assert log.state().batch_id is not None
    clock.passes(30 * 60)
    log.tick()
    assert log.state().batch_id is None


def test_a_store_that_is_away_loses_no_session(
    store: LocalStore, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = log_of(store, clock)
    log.searched("a", ["d1"], "v1")

    def away(*_: object, **__: object) -> None:
        raise StoreUnreachable("no answer")

    with monkeypatch.context() as broken:
        broken.setattr(store, "put", away)
        with pytest.raises(StoreUnreachable):
            log.flush(everything=True)
    assert log.waiting() == 1
    assert log.flush(everything=True) == 1
    assert len(rows(store)) == 1
