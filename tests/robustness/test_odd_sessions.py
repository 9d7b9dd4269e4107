"""Sessions and items at the edge: each passes the check as the concepts page says, and trains without a NaN."""

import json
import math
import threading
from pathlib import Path
from typing import Any

import pytest

from bluetune_api.objectstore import LocalStore
from bluetune_api.records import Plan, Result
from bluetune_trainer.cli.checking import run_check
from bluetune_trainer.errors import DataInvalid

OWNER = {"kind": "FineTuningTask", "name": "t", "namespace": "n", "uid": "u1"}
SETTINGS = {"minSessions": 1, "minCoverage": 0, "numEpochs": 1, "batchSize": 16, "precision": "FP32", "maxTokens": 32}
METHOD = {
    "items": {"textFields": ["title"]},
    "settings": SETTINGS,
    "initialParams": {"num_fixed_layers": {"choice": [0]}},
    "initialMaxEvals": 1,
}
TITLES = {
    "lamp": "red lamp",
    "boat": "blue boat",
    "long": "word " * 20_000,
    "spaces": "\u2003 \u200b \u2060",
    "emoji": "🚲🚲🚲 👩‍👩‍👧‍👦",
    "rtl": "מנורה אדומה \u202eabc",
    "unknown": "\U00012000\U00012001 \U0001f9ff",
    "same": "red lamp",
}


def session(number: int, shown: list[str], clicked: list[str], query: str | None = None) -> dict[str, Any]:
    return {
        "session_id": f"s{number}",
        "search_query": f"query {number}" if query is None else query,
        "created_at": 1_772_445_600,
        "search_results": [{"object_id": item} for item in shown],
        "events": [{"object_id": item} for item in clicked],
    }


def odd_sessions() -> list[dict[str, Any]]:
    """Every oddity over and over, so that each falls into training, validation and gate."""
    many = [f"more-{n}" for n in range(1000)]
    makers = (
        (["lamp", "boat", "same"], ["boat"]),
        (["lamp", "boat"], []),
        (["lamp", "boat", "rtl"], ["lamp", "boat", "rtl"]),
        (["lamp", "lamp", "boat"], ["lamp", "lamp"]),
        (["lamp"], ["lamp"]),
        ([], []),
        (["lamp", "boat"], ["nowhere"]),
        (["long", "spaces", "emoji", "unknown"], ["emoji", "unknown"]),
        (["lamp", "same"], ["same"]),
    )
    sessions = [session(n, *makers[n % len(makers)]) for n in range(180)]
    return [*sessions, session(180, many, [many[7]], "query 11"), session(181, many, many[:500], "query 0")]


def write(folder: Path, items: dict[str, str], sessions: list[dict[str, Any]]) -> LocalStore:
    store = LocalStore(folder)
    store.put(
        "items/i.jsonl", b"".join(json.dumps({"item_id": i, "title": t}).encode() + b"\n" for i, t in items.items())
    )
    store.put("clickstream/b/p.jsonl", b"".join(json.dumps(line).encode() + b"\n" for line in sessions))
    store.put("clickstream/b/_SUCCESS", b"")
    return store


def plan(kind: str, **fields: Any) -> Plan:
    location = {"endpoint": "minio:9000", "bucket": "models"}
    return Plan.model_validate(
        {"kind": kind, "owner": OWNER, "model": "m", "store": location, "batchId": "b", "method": METHOD, **fields}
    )


def catalogue() -> dict[str, str]:
    return TITLES | {f"more-{n}": f"title {n}" for n in range(1000)}


def test_odd_sessions_pass_the_check_and_are_counted(tmp_path: Path) -> None:
    report = run_check(write(tmp_path, catalogue(), odd_sessions()), plan("Check"), stop=threading.Event())
    assert report.sessions == 181
    assert report.broken_lines == 0
    assert report.sessions_with_clicks == 121
    assert "sessions of more than 50 clicks (clickstream.maxClicks), which were left out: 1" in report.notes
    assert report.unknown_items == []


@pytest.mark.parametrize("query", ["", " ", "\t\n", "\u2003", None, 7])
def test_a_session_without_a_query_is_broken(tmp_path: Path, query: Any) -> None:
    lines = [*odd_sessions(), {**session(999, ["lamp"], ["lamp"]), "search_query": query}]
    report = run_check(write(tmp_path, catalogue(), lines), plan("Check"), stop=threading.Event())
    assert report.broken_lines == 1
    assert report.offences[0].problem.startswith("search_query: a text is expected")


@pytest.mark.parametrize("title", ["", " ", "\t\n\u2003", None])
def test_an_item_without_text_is_broken(tmp_path: Path, title: Any) -> None:
    store = write(tmp_path, catalogue() | {"blank": title}, odd_sessions())
    report = run_check(store, plan("Check"), stop=threading.Event())
    assert [offence.problem for offence in report.offences] == ["item 'blank': no text in 'title'"]


def test_sessions_without_any_click_are_too_few(tmp_path: Path) -> None:
    store = write(tmp_path, catalogue(), [session(n, ["lamp", "boat"], []) for n in range(50)])
    with pytest.raises(DataInvalid, match="0 of 50 sessions have a click on a known item"):
        run_check(store, plan("Check"), stop=threading.Event())


UNINFORMATIVE: dict[str, tuple[list[dict[str, Any]], str]] = {
    "a catalogue of one item": ([session(n, ["lamp"], ["lamp"]) for n in range(60)], "None of 60 sessions"),
    "everything shown is clicked": (
        [session(n, ["lamp", "boat"], ["lamp", "boat"]) for n in range(60)],
        "120 of 120 results of sessions with a click are clicked",
    ),
}


@pytest.mark.parametrize("world", UNINFORMATIVE)
def test_clicks_that_no_model_could_be_judged_by_are_refused(tmp_path: Path, world: str) -> None:
    lines, says = UNINFORMATIVE[world]
    with pytest.raises(DataInvalid, match=says):
        run_check(write(tmp_path, catalogue(), lines), plan("Check"), stop=threading.Event())


WORLDS: dict[str, tuple[dict[str, str], list[dict[str, Any]]]] = {
    "all items have the same text": (
        dict.fromkeys("abc", "red lamp"),
        [session(n, ["a", "b", "c"], ["b"]) for n in range(60)],
    ),
    "every oddity in one batch": (catalogue(), odd_sessions()),
}


def _trained(tmp_path: Path, minilm: Path, world: str) -> tuple[LocalStore, Result]:
    from bluetune_trainer.cli.importing import run_import
    from bluetune_trainer.cli.training import run_train
    from trainer.learning_world import write_tiny_encoder

    base = write_tiny_encoder(tmp_path / "base", minilm, layers=2)
    store = write(tmp_path / "store", *WORLDS[world])
    owner = {**OWNER, "kind": "EmbeddingModel", "uid": "import"}
    first = run_import(
        store, plan("Import", baseUri=str(base), owner=owner), lambda _location: store, stop=threading.Event()
    )
    started = plan("Train", startVersion=first.version)
    return store, run_train(store, started, stop=threading.Event(), report=lambda _progress: None)


@pytest.mark.timeout(900)
def test_items_that_all_have_one_text_are_refused_because_no_model_can_tell_them_apart(
    tmp_path: Path, minilm: Path
) -> None:
    with pytest.raises(DataInvalid, match="every model would rank them perfectly"):
        _trained(tmp_path, minilm, "all items have the same text")


@pytest.mark.timeout(900)
def test_they_train_to_a_version_without_a_nan(tmp_path: Path, minilm: Path) -> None:
    try:
        store, result = _trained(tmp_path, minilm, "every oddity in one batch")
    except Exception as error:
        pytest.fail(f"{type(error).__name__}: {error}")
    assert result.trials_failed == 0
    assert all(math.isfinite(value) for value in [*result.baseline.values(), *result.candidate.values()])
    trials = [json.loads(store.get(info.key)) for info in store.list("runs/u1/trials/")]
    assert all(math.isfinite(point["valLoss"]) for trial in trials for point in trial["history"])
    assert store.stat(f"versions/{result.version}/manifest.json") is not None
