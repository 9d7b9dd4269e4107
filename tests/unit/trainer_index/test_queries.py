"""Clicked queries of a batch: a bounded share of it is read, and a batch that changes meanwhile ends nothing."""

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from bluetune_api.objectstore import LocalStore
from bluetune_api.records import MethodPlan
from bluetune_trainer.errors import Stopped
from bluetune_trainer.indexing import queries
from bluetune_trainer.indexing.queries import clicked_queries
from bluetune_trainer.plugin import TextFineTuningMethod


def session(number: int) -> dict[str, Any]:
    return {
        "session_id": str(number),
        "search_query": f"asked for {number}",
        "created_at": 1_700_000_000 + number,
        "search_results": [{"object_id": "a"}, {"object_id": "b"}],
        "events": [{"object_id": "b"}],
    }


def ubi_query(number: int) -> dict[str, Any]:
    return {"query_id": f"q{number:03d}", "user_query": f"asked for {number:03d}", "timestamp": 1_772_445_605_000}


def ubi_click(number: int) -> dict[str, Any]:
    about = {"object": {"object_id": "b"}, "position": {"ordinal": 1}}
    return {
        "query_id": f"q{number:03d}",
        "action_name": "click",
        "timestamp": 1_772_445_606_000,
        "event_attributes": about,
    }


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    (tmp_path / "store").mkdir()
    return LocalStore(tmp_path / "store")


def put(store: LocalStore, name: str, records: list[dict[str, Any]]) -> None:
    store.put(f"clickstream/b1/{name}", "".join(json.dumps(one) + "\n" for one in records).encode())


def found(store: LocalStore, tmp_path: Path, stop: threading.Event | None = None) -> list[str]:
    plugin, stop = TextFineTuningMethod(), stop or threading.Event()
    return clicked_queries(store, "b1", MethodPlan(), plugin, 200, workdir=tmp_path, stop=stop)


def test_of_queries_and_events_no_more_than_the_bound_is_read_and_some_of_both(
    store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(store, "events.jsonl", [ubi_click(n) for n in range(100)])
    put(store, "queries.jsonl", [ubi_query(n) for n in range(100)])
    assert len(found(store, tmp_path)) == 100
    read, own = [0], queries.stream

    def counted(*args: Any, **options: Any) -> Any:
        for record in own(*args, **options):
            read[0] += 1
            yield record

    monkeypatch.setattr(queries, "MAX_RECORDS", 40)
    monkeypatch.setattr(queries, "stream", counted)
    some = found(store, tmp_path)
    assert 5 <= len(some) <= 20
    assert some == [f"asked for {n:03d}" for n in range(len(some))]
    assert read[0] <= 44


class Changing:
    """A store whose second object is written anew, or removed, after the batch was listed."""

    def __init__(self, store: LocalStore, *, removed: bool) -> None:
        self._store, self._removed = store, removed

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def list(self, prefix: str) -> Any:
        listed = [*self._store.list(prefix)]
        if self._removed:
            self._store.delete("clickstream/b1/b.jsonl")
        else:
            put(self._store, "b.jsonl", [session(n) for n in range(50, 90)])
        return listed


@pytest.mark.parametrize("removed", [False, True])
def test_where_an_object_changes_after_the_listing_the_queries_before_it_are_all(
    store: LocalStore, tmp_path: Path, caplog: pytest.LogCaptureFixture, removed: bool
) -> None:
    put(store, "a.jsonl", [session(n) for n in range(30)])
    put(store, "b.jsonl", [session(n) for n in range(30, 60)])
    changing: Any = Changing(store, removed=removed)
    assert found(changing, tmp_path) == [f"asked for {n}" for n in range(30)]
    assert "the version's batch changed while it was read" in caplog.text


def test_a_stop_ends_the_reading_within_an_object(
    store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(store, "events.jsonl", [ubi_click(n) for n in range(300)])
    stop, own, read = threading.Event(), queries.stream, [0]

    def stopping(*args: Any, **options: Any) -> Any:
        for record in own(*args, **options):
            read[0] += 1
            if read[0] == 250:
                stop.set()
            yield record

    monkeypatch.setattr(queries, "stream", stopping)
    with pytest.raises(Stopped):
        found(store, tmp_path, stop)
    assert read[0] == 250
