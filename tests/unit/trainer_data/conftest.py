"""A folder as the store, and what fills it."""

import json
from pathlib import Path
from typing import Any

import pytest

from bluetune_api.objectstore import LocalStore


class Folder(LocalStore):
    """A local store that writes test data."""

    def write(self, key: str, *records: Any) -> None:
        """JSON lines; text and bytes as they are."""
        self.put(key, b"".join(as_line(record) for record in records))


def as_line(record: Any) -> bytes:
    if isinstance(record, bytes):
        return record + b"\n"
    return (record if isinstance(record, str) else json.dumps(record)).encode() + b"\n"


def session(number: int = 0, query: str = "red lamp", **changes: Any) -> dict[str, Any]:
    """A good session: three results, the second clicked."""
    record = {
        "session_id": f"s{number}",
        "search_query": query,
        "created_at": "2026-03-02T10:00:00Z",
        "search_results": [{"object_id": "a"}, {"object_id": "b"}, {"object_id": "c"}],
        "events": [{"event_id": "e", "object_id": "b", "event_type": "click", "created_at": "2026-03-02T10:00:05Z"}],
    }
    record.update(changes)
    return {key: value for key, value in record.items() if value is not ...}


@pytest.fixture
def store(tmp_path: Path) -> Folder:
    """An empty store."""
    (tmp_path / "store").mkdir()
    return Folder(tmp_path / "store")


@pytest.fixture
def good_store(store: Folder) -> Folder:
    """A catalogue of three items, and a complete batch of 60 sessions over 60 queries."""
    store.write("items/items.jsonl", *({"item_id": i, "title": f"title {i}", "description": "words"} for i in "abc"))
    store.write("clickstream/b1/part.jsonl", *(session(n, f"query {n}") for n in range(60)))
    store.put("clickstream/b1/_SUCCESS", b"")
    return store
