"""The cache keeps the newest, and a change wakes exactly those that it concerns."""

from typing import Any, cast

import pytest

from bluetune_operator.adapters.cache import ObjectCache
from bluetune_operator.adapters.kube import KubeApi
from bluetune_operator.core.config import Config
from bluetune_operator.core.kinds import DEPLOYMENTS, JOBS, LEASES, METHODS, MODELS, PODS, TASKS, Key, Kind
from bluetune_operator.handlers.health import Health
from bluetune_operator.handlers.informer import Informer
from bluetune_operator.handlers.routing import keys_for
from unit.operator_task.cached_objects import task, thing


def test_an_older_version_never_replaces_a_newer_one() -> None:
    cache = ObjectCache()
    assert cache.put(TASKS, task("t", version=10))
    assert not cache.put(TASKS, task("t", version=9))
    assert not cache.put(TASKS, task("t", version=10))
    assert cache.put(TASKS, task("t", version=11))


def test_what_was_deleted_does_not_come_back_with_a_late_answer() -> None:
    cache = ObjectCache()
    cache.put(TASKS, task("t", version=10))
    cache.remove(TASKS, task("t", version=12))
    assert not cache.put(TASKS, task("t", version=11))
    assert cache.get(TASKS, "n", "t") is None
    again = task("t", version=13)
    again["metadata"]["uid"] = "another"
    assert cache.put(TASKS, again)


def test_a_late_deletion_of_a_former_object_leaves_the_new_one_of_that_name() -> None:
    cache = ObjectCache()
    cache.put(JOBS, thing("j", 20, uid="new", labels={"bluetune.dev/task": "t"}))
    cache.remove(JOBS, thing("j", 15, uid="old"))
    assert [j["metadata"]["uid"] for j in cache.of_task(JOBS, "n", "t")] == ["new"]


def test_a_full_list_shows_what_vanished_unseen_but_does_not_judge_what_came_later() -> None:
    cache = ObjectCache()
    cache.put(TASKS, task("gone"))
    cache.put(TASKS, task("kept"))
    before = cache.uids(TASKS)
    cache.put(TASKS, task("newer"))
    vanished = cache.remove_absent(TASKS, "n", {"uid-kept"}, before)
    assert [t["metadata"]["name"] for t in vanished] == ["gone"]
    assert [t["metadata"]["name"] for t in cache.of_model(TASKS, "n", "m")] == ["kept", "newer"]


def test_what_a_list_shows_again_is_not_held_twice() -> None:
    cache = ObjectCache()
    cache.put(TASKS, task("t", version=10))
    assert cache.same(TASKS, task("t", version=10)) is cache.get(TASKS, "n", "t")
    assert cache.same(TASKS, task("t", version=11)) is None
    assert cache.same(TASKS, task("unknown")) is None


@pytest.fixture
def cache() -> ObjectCache:
    filled = ObjectCache()
    filled.put(MODELS, thing("m", spec={"methodRef": {"name": "text"}, "serving": {"deployment": "blue"}}))
    filled.put(MODELS, thing("other", spec={}))
    filled.put(TASKS, task("by-model"))
    filled.put(TASKS, task("by-itself", "other", methodRef={"name": "text"}))
    filled.put(TASKS, task("with-another", methodRef={"name": "audio"}))
    filled.put(TASKS, task("over", ended=True))
    return filled


TASK_CHILD = {"bluetune.dev/task": "t", "bluetune.dev/model": "m"}


@pytest.mark.parametrize(
    ("kind", "changed", "expected"),
    [
        (TASKS, task("x"), {"FineTuningTask/x", "Lock/m", "EmbeddingModel/m"}),
        (
            MODELS,
            thing("m", spec={}),
            {"EmbeddingModel/m", "Lock/m", "FineTuningTask/by-model", "FineTuningTask/with-another"},
        ),
        (
            METHODS,
            thing("text", spec={}),
            {"FineTuningMethod/text", "EmbeddingModel/m", "FineTuningTask/by-model", "FineTuningTask/by-itself"},
        ),
        (
            MODELS,
            thing("m", spec={"retrain": {}}),
            {"EmbeddingModel/m", "Lock/m", "Retrain/m", "FineTuningTask/by-model", "FineTuningTask/with-another"},
        ),
        (
            MODELS,
            thing("m", spec={"notify": []}),
            {"EmbeddingModel/m", "Lock/m", "Notify/m", "FineTuningTask/by-model", "FineTuningTask/with-another"},
        ),
        (
            TASKS,
            task("x") | thing("x", labels={"bluetune.dev/made-by": "retrain"}),
            {"FineTuningTask/x", "Lock/m", "EmbeddingModel/m", "Retrain/m"},
        ),
        (PODS, thing("p", labels=TASK_CHILD), {"FineTuningTask/t", "Lock/m"}),
        (JOBS, thing("m-import", labels={"bluetune.dev/model": "m"}), {"EmbeddingModel/m"}),
        (LEASES, thing("bluetune-m", labels={"bluetune.dev/model": "m"}), {"Lock/m", "EmbeddingModel/m"}),
        (LEASES, thing("bluetune.operator"), set()),
        (DEPLOYMENTS, thing("blue"), {"EmbeddingModel/m"}),
        (DEPLOYMENTS, thing("green"), set()),
    ],
)
def test_who_is_woken(cache: ObjectCache, kind: Kind, changed: dict[str, Any], expected: set[str]) -> None:
    assert {f"{key.kind}/{key.name}" for key in keys_for(kind, changed, cache)} == expected


@pytest.mark.parametrize("listed", [False, True], ids=["by its watch event", "by a full list"])
def test_what_a_live_read_showed_is_still_news_once(listed: bool) -> None:
    cache, woken = ObjectCache(), list[Key]()
    informer = Informer(cast("KubeApi", None), cache, Config(), Health(180.0), lambda key, _, **__: woken.append(key))

    def told(changed: dict[str, Any]) -> list[Key]:
        woken.clear()
        if listed:
            informer._listed(TASKS, [changed])
        else:
            informer.seen(TASKS, "MODIFIED", changed)
        return [key for key in woken if key.kind == "Lock"]

    assert told(task("t", version=10))
    cache.put_ahead(TASKS, task("t", version=12, cancel=True))
    assert told(task("t", version=12, cancel=True))
    assert not told(task("t", version=12, cancel=True))
    cache.put_ahead(TASKS, task("t", version=13, cancel=True))
    cache.put(TASKS, task("t", version=14, cancel=True))  # a write of its own on top of it
    assert told(task("t", version=14, cancel=True))
    cache.put(TASKS, task("t", version=15, cancel=True))
    assert not told(task("t", version=15, cancel=True))


def test_a_model_hears_only_what_it_looks_at_of_its_tasks(cache: ObjectCache) -> None:
    added: list[str] = []

    def add(key: Key, delay: float, *, urgent: bool = True) -> None:
        added.append(f"{key.kind}/{key.name}")

    informer = Informer(cast("KubeApi", None), cache, Config(), Health(180.0), add)

    def heard(type_: str | None, version: int, **more: Any) -> bool:
        added.clear()
        changed = task("x", **more)
        changed["metadata"]["resourceVersion"] = str(version)
        informer.seen(TASKS, type_, changed)
        assert "FineTuningTask/x" in added
        return "EmbeddingModel/m" in added

    assert heard("ADDED", 100)
    assert not heard("MODIFIED", 101, priority=3)
    assert heard("MODIFIED", 102, cancel=True)
    assert not heard("MODIFIED", 103, cancel=True, priority=4)
    assert heard("DELETED", 104, cancel=True)
    again = task("x")
    again["metadata"].update(uid="another", resourceVersion="105")
    informer.seen(TASKS, "ADDED", again)
    assert "EmbeddingModel/m" in added
