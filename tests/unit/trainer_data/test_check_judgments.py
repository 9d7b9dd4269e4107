"""Judgments that the gate could not use are told by the check, before anything is trained."""

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from bluetune_api.objectstore import LocalStore
from bluetune_api.records import Plan
from bluetune_trainer.cli.checking import run_check
from bluetune_trainer.errors import DataInvalid

ITEMS = [{"item_id": f"d{i}", "title": f"title {i}"} for i in range(4)]


def lines(records: list[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


def checked(folder: Path, judgments: list[dict[str, Any]] | None) -> None:
    store = LocalStore(folder)
    sessions = [
        {
            "session_id": f"s{n}",
            "search_query": f"query {n}",
            "created_at": 1_772_445_600,
            "search_results": [{"object_id": "d0"}, {"object_id": "d1"}],
            "events": [{"object_id": "d1"}],
        }
        for n in range(60)
    ]
    store.put("items/i.jsonl", lines(ITEMS))
    store.put("clickstream/b/p.jsonl", lines(sessions))
    store.put("clickstream/b/_SUCCESS", b"")
    if judgments is not None:
        store.put("judgments/j.jsonl", lines(judgments))
    plan = Plan.model_validate(
        {
            "kind": "Check",
            "owner": {"kind": "FineTuningTask", "name": "t", "namespace": "n", "uid": "u1"},
            "model": "m",
            "store": {"endpoint": "minio:9000", "bucket": "models"},
            "batchId": "b",
            "method": {"items": {"textFields": ["title"]}, "settings": {"minSessions": 1, "minCoverage": 0}},
            "gate": {"judgments": "judgments/j.jsonl"},
        }
    )
    run_check(store, plan, stop=threading.Event())


def test_judgments_of_items_in_the_catalogue_pass(tmp_path: Path) -> None:
    checked(tmp_path, [{"query": "q", "object_id": "d2", "grade": 1}])


@pytest.mark.parametrize(
    ("judgments", "words"),
    [
        (None, "serving.gate.judgments"),
        ([{"query": "q", "object_id": "gone", "grade": 1}], "holds no relevant item of the catalogue"),
        ([{"query": "q", "object_id": "d2", "grade": 0}], "holds no relevant item of the catalogue"),
        ([{"query": "", "object_id": "d2", "grade": 1}], "query: a text is expected"),
    ],
)
def test_judgments_that_cannot_judge_end_as_data_invalid(
    tmp_path: Path, judgments: list[dict[str, Any]] | None, words: str
) -> None:
    with pytest.raises(DataInvalid, match=r"serving\.gate\.judgments") as caught:
        checked(tmp_path, judgments)
    assert words in str(caught.value)
