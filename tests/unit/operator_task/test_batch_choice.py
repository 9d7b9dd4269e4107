"""Which batch a run takes: never one it would learn the same from again, unless it is asked for."""

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from bluetune_api import store_layout
from bluetune_api.batch_window import Batches, BatchSelection, CompleteBatch, Window
from bluetune_api.batches import ListingTooLong
from bluetune_api.objectstore import Page, StoreUnreachable
from bluetune_api.records import TriedBatch
from bluetune_api.s3 import S3Store
from bluetune_operator.adapters import store as store_module
from bluetune_operator.adapters.cache import ObjectCache
from bluetune_operator.adapters.faults import CrashPoint
from bluetune_operator.adapters.store import AsyncStore, _Endpoint
from bluetune_operator.adapters.workers import Workers
from bluetune_operator.core.kinds import JOBS, METHODS, TASKS, Object, condition
from bluetune_operator.core.tasks.tried import BatchChoice, Recipe, choose_batch, choose_batches
from bluetune_operator.reconciler.tasks import batch as task_batch
from bluetune_operator.reconciler.tasks.run import Run
from unit.operator_lock_model.apiserver import copied
from unit.operator_lock_model.system import System
from unit.operator_lock_model.world import METHOD
from unit.operator_task.cached_objects import task

RECIPE = Recipe("v000000000001", "v000000000001", "method", "model", deploy=True)
A, B, C = (CompleteBatch(name, when) for name, when in (("a", 1.0), ("b", 2.0), ("c", 3.0)))


@pytest.mark.parametrize(
    ("tried", "lineage", "chosen"),
    [
        ([], [], "c"),
        (["c"], [], "b"),
        (["c", "b"], ["a"], None),
        (["a", "b", "c"], [], None),
        ([], ["a", "b", "c"], None),
    ],
)
def test_the_newest_batch_that_is_neither_learned_nor_tried_is_taken(
    tried: list[str], lineage: list[str], chosen: str | None
) -> None:
    answer = choose_batch([A, B, C], lineage, RECIPE, {RECIPE.digest(name) for name in tried})
    assert answer.batch_id == chosen
    newest = max(tried, default=None) if chosen is None else None
    assert answer.tried == ((newest, RECIPE.digest(newest)) if newest else None)


@pytest.mark.parametrize(
    "changed",
    [
        {"start_version": "v000000000002"},
        {"live_version": "v000000000002"},
        {"method_digest": "edited"},
        {"model_digest": "edited"},
    ],
)
def test_a_run_by_another_recipe_is_another_one(changed: dict[str, Any]) -> None:
    other = replace(RECIPE, **changed)
    assert choose_batch([A], [], other, {RECIPE.digest("a")}) == BatchChoice("a")


def test_all_new_batches_of_a_window_are_taken_unless_all_of_them_were_tried() -> None:
    asked, found = Batches(last=9), Window(["c", "b"], ["a"])
    assert choose_batches(found, asked, RECIPE, set()).batches == BatchSelection(learn=["c", "b"])
    assert choose_batches(found, asked, RECIPE, {RECIPE.digest("b")}).batches == BatchSelection(learn=["c", "b"])
    tried = {RECIPE.digest("b"), RECIPE.digest("c")}
    assert choose_batches(found, asked, RECIPE, tried) == BatchChoice(None, tried=("c", RECIPE.digest("c")))
    assert choose_batches(Window([], ["a"]), asked, RECIPE, tried) == BatchChoice(None)


def test_a_run_that_replays_is_another_one() -> None:
    replaying = replace(RECIPE, window=(0.3, None))
    assert (
        choose_batches(Window(["c"], []), Batches(last=1, replay=0.3), replaying, {RECIPE.digest("c")}).batch_id == "c"
    )


def test_a_version_that_nobody_asked_for_in_production_does_not_stop_a_run_that_asks() -> None:
    asks, asks_not = RECIPE, replace(RECIPE, deploy=False)
    assert choose_batch([A], [], asks, {asks_not.digest("a")}).batch_id == "a"
    assert choose_batch([A], [], asks_not, {asks.digest("a")}).batch_id is None
    assert choose_batch([A], [], None, {asks.digest("a")}).batch_id == "a"


class Pages:
    """A listing of so many pages, each of which takes its time; and what happens meanwhile."""

    def __init__(self, pages: int, seconds: float = 0.0, meanwhile: Callable[[], None] = lambda: None) -> None:
        self.left = pages
        self.seconds = seconds
        self.meanwhile = meanwhile

    def page(self, prefix: str, after: str) -> Page:
        self.left -= 1
        time.sleep(self.seconds)
        self.meanwhile()
        return Page([], f"{prefix}{self.left:05d}" if self.left else None)

    def uri(self, key: str) -> str:
        return f"s3://b/{key}"


def listed(pages: Pages, cache: ObjectCache) -> None:
    """List all of a store, as for a task that is in the cache."""

    async def scenario() -> None:
        workers = Workers("s", 1)
        store = AsyncStore(cast("S3Store", pages), workers, _Endpoint(asyncio.Semaphore(1)), CrashPoint(None), None)
        reconciled = SimpleNamespace(context=SimpleNamespace(cache=cache), namespace="n", name="t", uid="uid-t")
        try:
            await task_batch._list_all(
                cast("Run", reconciled), store, "clickstream/", lambda page: page.after, time.monotonic()
            )
        finally:
            workers.close()

    asyncio.run(scenario())


@pytest.fixture
def cache() -> ObjectCache:
    """With one task."""
    made = ObjectCache()
    made.put(TASKS, task("t"))
    return made


def test_a_store_that_answers_each_page_is_no_dead_one_however_many_there_are(
    cache: ObjectCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "CALL_SECONDS", 0.2)
    pages = Pages(20, seconds=0.02)
    listed(pages, cache)
    assert pages.left == 0
    with pytest.raises(StoreUnreachable, match="no answer within"):
        listed(Pages(2, seconds=0.4), cache)


@pytest.mark.parametrize("what", ["cancel", "delete", "create again"])
def test_a_listing_ends_between_two_pages_when_its_task_is_over(cache: ObjectCache, what: str) -> None:
    def over() -> None:
        cache.remove(TASKS, task("t"))
        if what != "delete":
            again = task("t", version=2, cancel=what == "cancel")
            again["metadata"]["uid"] = "uid-t" if what == "cancel" else "another"
            cache._gone.clear()
            cache.put(TASKS, again)

    pages = Pages(100, meanwhile=over)
    with pytest.raises(task_batch._LeftAlone):
        listed(pages, cache)
    assert pages.left == 99


def test_a_listing_that_takes_too_long_says_so_and_not_that_the_store_is_away(
    cache: ObjectCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(task_batch, "LISTING_SECONDS", 0.1)
    with pytest.raises(ListingTooLong, match=r"s3://b/clickstream/ was listed for .* name the batch in spec.batchId"):
        listed(Pages(100, seconds=0.03), cache)


def test_a_task_whose_batches_cannot_be_listed_ends_and_leaves_the_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task_batch, "MAX_PAGES", 0)
    system = System(1)
    failed = condition(run(system, "t"), "Failed")
    assert failed is not None
    assert failed["reason"] == "ListingTooLong"
    assert end(run(system, "named", batchId="b1"))[0] == "Completed"


def run(system: System, name: str, **spec: Any) -> Object:
    """Add a task that names no batch unless `spec` does, and let everything come to its end."""
    system.world.add(name, **{"batchId": None, **spec})
    system.run_dry(random.Random(0))
    task = system.world.server.get(TASKS, name)
    assert task is not None
    return task


def end(task: Object) -> tuple[str, str]:
    """Reason and message of a task that ended well."""
    found = condition(task, "Succeeded")
    assert found is not None, task["status"]
    return found["reason"], found["message"]


def test_a_batch_is_not_tried_twice_from_the_same_version_by_the_same_method() -> None:
    system = System(1)
    first = run(system, "first")
    assert (end(first)[0], first["status"]["batchId"]) == ("Completed", "b1")
    reason, message = end(run(system, "again"))
    assert reason == "AlreadyTried"
    version = first["status"]["bestModelId"]
    assert f"the newest is 'b1' by task 'first', which published {version} (NotRequested)" in message
    assert "name the batch in spec.batchId to run it again" in message
    assert system.world.server.get(JOBS, "again-check") is None
    assert end(run(system, "forced", batchId="b1"))[0] == "Completed"


def test_a_new_batch_an_edited_method_and_overrides_are_tried() -> None:
    system = System(1)
    run(system, "first")
    system.world.store.kept["clickstream/dt=2/hour=05/_SUCCESS"] = b""
    task = run(system, "second")
    assert (end(task)[0], task["status"]["batchId"]) == ("Completed", "dt=2/hour=05")
    assert end(run(system, "third"))[0] == "AlreadyTried"
    task = run(system, "other", overrides={"initialMaxEvals": 3})
    assert (end(task)[0], task["status"]["batchId"]) == ("Completed", "dt=2/hour=05")
    method = copied(system.world.server.get(METHODS, METHOD))
    method["spec"]["initialMaxEvals"] = 9
    system.world.server.put("person", METHODS, method)
    assert end(run(system, "edited"))[0] == "Completed"


def test_a_record_that_cannot_be_read_still_counts() -> None:
    system = System(1)
    run(system, "first")
    store = system.world.store.kept
    (key,) = (key for key in store if key.startswith("keys/tried/"))
    assert TriedBatch.model_validate_json(store[key]).task == "first"
    store[key] = b"<html>"
    reason, message = end(run(system, "again"))
    assert reason == "AlreadyTried"
    assert "the newest is 'b1'. Write a new one" in message


def test_where_there_is_no_batch_folders_that_are_none_are_named() -> None:
    system = System(1)
    store = system.world.store.kept
    del store[store_layout.batch_marker("b1")]
    store |= {"clickstream/dt=1/part.jsonl": b"", "clickstream/table/_delta_log/0.json": b""}
    reason, message = end(run(system, "t"))
    assert reason == "NoNewBatch"
    assert "passed over: 'dt=1' (no _SUCCESS), 'table' (a Delta table: it has a _delta_log)" in message


def test_a_batch_settles_by_time_where_the_method_says_so() -> None:
    system = System(1)
    store = system.world.store.kept
    del store[store_layout.batch_marker("b1")]
    store["clickstream/2026/01/31/part"] = b""  # as old as 1970, in this store
    method = copied(system.world.server.get(METHODS, METHOD))
    method["spec"]["clickstream"] = {"settle": "2h"}
    system.world.server.put("person", METHODS, method)
    assert run(system, "t")["status"]["batchId"] == "2026/01/31"
    assert end(run(system, "named", batchId="2026/01/31"))[0] == "Completed"


def test_a_batch_that_is_named_and_not_complete_says_why() -> None:
    system = System(1)
    system.world.store.kept |= {"clickstream/open/p": b"", "clickstream/day/05/_SUCCESS": b""}
    system.world.add("open", batchId="open")
    system.world.add("day", batchId="day")
    system.run_dry(random.Random(0))
    said = {}
    for name in ("open", "day"):
        task = system.world.server.get(TASKS, name)
        assert task is not None
        accepted = condition(task, "Accepted")
        assert accepted is not None
        assert accepted["reason"] == "BatchNotFound"
        said[name] = accepted["message"]
    assert said["open"].endswith("clickstream/open/_SUCCESS does not exist; no _SUCCESS")
    assert "complete batches lie below it: name one of them ('day/05')" in said["day"]
