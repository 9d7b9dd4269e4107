"""Places in a long queue: who is near its head knows its own, and the others cost no write at each change."""

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest

from bluetune_operator.adapters.cache import ObjectCache
from bluetune_operator.core.kinds import TASKS, Key
from bluetune_operator.core.lock.rules import shown_position
from bluetune_operator.reconciler.base import Context
from bluetune_operator.reconciler.lock import LockReconciler
from unit.operator_task.cached_objects import task


@pytest.mark.parametrize(
    ("position", "shown"),
    [(1, 1), (9, 9), (10, 10), (11, 20), (20, 20), (21, 30), (100, 100), (101, 200), (200, 200), (1001, 1100)],
)
def test_a_place_is_exact_near_the_head_and_never_less_than_it_is(position: int, shown: int) -> None:
    assert shown_position(position) == shown


def test_a_queue_of_a_thousand_costs_few_writes_a_task_until_it_is_empty() -> None:
    writes = sum(len({shown_position(position) for position in range(1, first + 1)}) for first in range(1, 1001))
    assert writes < 1000 * 30


def waiting(number: int, position: int) -> dict[str, Any]:
    made = task(f"t{number:03d}", version=number + 1)
    made["metadata"]["creationTimestamp"] = f"2026-01-01T00:{number // 60:02d}:{number % 60:02d}Z"
    made["status"]["queue"] = {"position": shown_position(position)}
    return made


def test_when_the_head_leaves_only_those_are_woken_who_have_something_new_to_say() -> None:
    cache, woken = ObjectCache(), list[str]()
    for number in range(1, 200):  # as they were while t000 was before them
        cache.put(TASKS, waiting(number, number + 1))

    def enqueue(key: Key, delay: float, *, urgent: bool = True) -> None:
        woken.append(key.name)

    context = SimpleNamespace(cache=cache, enqueue=enqueue, clock=lambda: datetime(2026, 1, 1, tzinfo=UTC))
    LockReconciler(cast("Context", context))._wake("n", "m", None)
    assert woken == [f"t{number:03d}" for number in (*range(1, 11), *range(20, 101, 10))]


def test_nothing_is_remembered_of_a_model_whose_tasks_are_gone() -> None:
    cache = ObjectCache()
    context = SimpleNamespace(
        cache=cache, enqueue=lambda *_, **__: None, clock=lambda: datetime(2026, 1, 1, tzinfo=UTC)
    )
    reconciler = LockReconciler(cast("Context", context))
    cache.put(TASKS, waiting(1, 1))
    reconciler._wake("n", "m", None)
    assert reconciler._seen
    cache.remove(TASKS, waiting(1, 1))
    reconciler._wake("n", "m", None)
    assert not reconciler._seen
