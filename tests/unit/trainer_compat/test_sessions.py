"""Sessions as objects, and the sides that they are put on."""

import json
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from bluetune_api.task import FineTuningTask
from bluetune_trainer import (
    ClickstreamSessionConverter,
    DataLoader,
    DatasetFieldsNormalizer,
    DownloadedItem,
    FineTuningInput,
    FineTuningTaskRunRequest,
    ItemMeta,
    SessionEvent,
    SessionWithEvents,
    TextItemSetManager,
    TextQueryRetriever,
    TrainTestSplitter,
    prepare_data,
)
from bluetune_trainer.compat.columns import columns_of
from bluetune_trainer.compat.sessions import Clickstream, ClickstreamNotRead
from bluetune_trainer.data.splits import normalised
from bluetune_trainer.data.types import Catalogue, Sessions

CATALOGUE = Catalogue(["a", "b", "c"], ["A", "B", "C"], {"a": 0, "b": 1, "c": 2})
SESSIONS = Sessions(
    queries=["one", "two", "three"],
    items=np.array([0, 1, 2, 1, 0], np.int32),
    clicked=np.array([True, False, False, True, False]),
    offsets=np.array([0, 2, 4, 5], np.int64),
    created=np.array([10.0, 20.0, 30.0]),
)


def _read() -> Clickstream:
    stream = Clickstream()
    stream.read(SESSIONS, CATALOGUE)
    return stream


def test_a_clickstream_is_a_sequence_of_sessions() -> None:
    stream = _read()
    assert len(stream) == 3
    first = stream[0]
    assert isinstance(first, SessionWithEvents)
    assert (first.search_query, first.created_at) == ("one", 10.0)
    assert [result.object_id for result in first.search_results] == ["a", "b"]
    assert [event.object_id for event in first.events] == ["a"]
    assert [session.search_query for session in stream] == ["one", "two", "three"]
    assert stream[-1] == stream[2]
    with pytest.raises(IndexError):
        _ = stream[3]


def test_a_slice_of_a_clickstream_is_a_clickstream_that_knows_its_positions() -> None:
    part = _read()[::-1][:2]
    assert isinstance(part, Clickstream)
    assert list(part.positions()) == [2, 1]
    assert [session.search_query for session in part] == ["three", "two"]


@pytest.mark.parametrize("look", [len, list, lambda stream: stream[0], lambda stream: stream[:1]])
def test_a_clickstream_that_was_not_read_says_so(look: Any) -> None:
    with pytest.raises(ClickstreamNotRead):
        look(Clickstream())


def _logged(**changes: Any) -> dict[str, Any]:
    return {
        "session_id": "s",
        "search_query": "red lamp",
        "created_at": 5,
        "search_results": [{"object_id": "a", "rank": 0.9, "meta": {"file": "a.txt"}}, {"object_id": "b"}],
        "events": [{"event_id": "e", "object_id": "b", "event_type": "click", "created_at": 6}],
        **changes,
    }


def test_a_converter_makes_an_input_of_a_session() -> None:
    made = ClickstreamSessionConverter(item_type=ItemMeta).convert(_logged())
    assert made.input.query.text == "red lamp"
    assert (made.input.results, made.input.events, made.input.not_events) == (["a", "b"], ["b"], ["a"])
    assert made.input.ranks == {"a": 0.9, "b": None}
    assert not made.input.is_irrelevant
    assert [(meta.id, dict(meta).get("file")) for meta in made.items] == [("a", "a.txt"), ("b", None)]


def test_an_irrelevant_session_and_an_event_without_importance_have_no_clicks() -> None:
    convert = ClickstreamSessionConverter(item_type=ItemMeta).convert
    assert convert(_logged(is_irrelevant=True)).input.events == []
    unimportant = SessionEvent(object_id="b", meta={"importance": 0})
    assert convert(_logged(events=[unimportant.model_dump()])).input.is_irrelevant


def test_inputs_of_a_plugins_own_become_columns_without_what_the_catalogue_does_not_know() -> None:
    inputs = [
        FineTuningInput(query="one", results=["a", "x", "c"], events=["x", "c"]),
        FineTuningInput(query="two", results=["x"], events=["x"]),
    ]
    made = columns_of(inputs, ["one", "two"], CATALOGUE)
    assert (made.queries, made.items.tolist(), made.clicked.tolist()) == (["one"], [0, 2], [False, True])
    assert made.offsets.tolist() == [0, 2]


QUERIES = st.lists(st.text(alphabet="abAB ", max_size=3), max_size=60)


@given(QUERIES, st.floats(0.05, 0.95), st.booleans(), st.integers(0, 3))
def test_no_query_is_on_both_sides_and_the_ratio_is_kept(
    queries: list[str], ratio: float, shuffle: bool, state: int
) -> None:
    splitter = TrainTestSplitter(ratio, shuffle=shuffle, random_state=state)
    inputs = [FineTuningInput(query=query, results=["a"], events=[]) for query in queries]
    sides = splitter.split(inputs)
    train, test = ({normalised(entry.query) for entry in sides[side]} for side in ("train", "test"))
    assert not train & test
    assert len(sides["train"]) + len(sides["test"]) == len(inputs)
    different = len(train | test)
    assert len(test) == min(int(np.ceil(different * ratio)), max(different - 1, 0))


def test_a_split_depends_on_its_state_alone_or_takes_the_last_queries() -> None:
    queries = [f"query {i}" for i in range(100)]
    test = TrainTestSplitter().on_test_side(queries)
    assert test == TrainTestSplitter().on_test_side(queries)
    assert test[::-1] == TrainTestSplitter().on_test_side(queries[::-1])
    assert test != TrainTestSplitter(random_state=1).on_test_side(queries)
    assert TrainTestSplitter(shuffle=False).on_test_side(queries) == [False] * 80 + [True] * 20


@pytest.mark.parametrize("ratio", [0.0, 1.0, -0.5])
def test_a_ratio_outside_of_0_and_1_is_refused(ratio: float) -> None:
    with pytest.raises(ValueError, match="test_size_ratio"):
        TrainTestSplitter(ratio)


class _Loader(DataLoader):
    def load(self, items_data: list[Any]) -> list[DownloadedItem]:
        return [DownloadedItem(id=m.id, data=f"text of {m.id}", meta=m) for m in items_data if m.id != "gone"]


def test_prepared_data_can_be_looked_at() -> None:
    sessions = [
        _logged(search_query=f"query {i}", search_results=[{"object_id": f"{i}"}, {"object_id": "gone"}])
        for i in range(10)
    ]
    data = prepare_data(
        sessions,
        ClickstreamSessionConverter(item_type=ItemMeta),
        TrainTestSplitter(),
        TextQueryRetriever(),
        _Loader(),
        TextItemSetManager(DatasetFieldsNormalizer("item", "item_id")),
    )
    assert {side: len(entries) for side, entries in data.clickstream.items()} == {"train": 8, "test": 2}
    assert len(data.items["train"]) == 8
    assert data.items["test"] == {e.results[0]: [f"text of {e.results[0]}"] for e in data.clickstream["test"]}


def test_no_sessions_are_refused() -> None:
    with pytest.raises(ValueError, match="there are no sessions"):
        prepare_data([], None, None, None, None, None)  # type: ignore[arg-type]


def test_a_request_is_a_task() -> None:
    request = FineTuningTaskRunRequest(
        embedding_model_id="shop",
        batch_id="monday",
        idempotency_key="key",
        deploy_as_blue=True,
        wait_on_conflict=True,
        metadata={"why": "test", "tries": 3},
    )
    manifest = request.manifest(namespace="models")
    task = FineTuningTask.model_validate(manifest)
    assert task.metadata.namespace == "models"
    assert task.spec.model_dump(exclude_defaults=True) == {
        "model_ref": {"name": "shop"},
        "batch_id": "monday",
        "idempotency_key": "key",
        "deploy_as_blue": True,
        "metadata": {"why": "test", "tries": "3"},
    }
    assert request.manifest() == request.manifest()
    assert request.manifest("mine")["metadata"] == {"name": "mine"}


def test_a_request_without_a_key_leaves_the_name_to_the_cluster() -> None:
    manifest = FineTuningTaskRunRequest(embedding_model_id="m" * 60).manifest()
    assert manifest["metadata"] == {"generateName": "m" * 40 + "-"}
    assert manifest["spec"] == {"modelRef": {"name": "m" * 60}}


def test_a_request_that_no_task_can_be_is_refused_with_its_field() -> None:
    with pytest.raises(ValidationError, match="batchId"):
        FineTuningTaskRunRequest(embedding_model_id="shop", batch_id="../x").manifest()


def _kubectl(folder: Path, script: str) -> None:
    path = folder / "kubectl"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IEXEC)


def test_a_request_is_submitted_with_kubectl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _kubectl(tmp_path, f'echo "$@" >{tmp_path}/arguments; cat >{tmp_path}/given; echo finetuningtask.bluetune.dev/x')
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    request = FineTuningTaskRunRequest(embedding_model_id="shop", idempotency_key="key")
    assert request.submit() == "finetuningtask.bluetune.dev/x"
    assert json.loads((tmp_path / "given").read_text()) == request.manifest()
    assert (tmp_path / "arguments").read_text().split() == ["apply", "-o", "name", "-f", "-"]


def test_a_refusal_of_kubectl_is_said_and_so_is_that_there_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _kubectl(tmp_path, "echo 'forbidden: who are you' >&2; exit 1")
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    request = FineTuningTaskRunRequest(embedding_model_id="shop")
    with pytest.raises(RuntimeError, match="kubectl create: forbidden: who are you"):
        request.submit()
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(RuntimeError, match="kubectl is not installed here"):
        request.submit()
