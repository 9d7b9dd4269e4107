"""Schedules after which somebody waited until the next full list, because what the operator itself did woke nobody."""

import asyncio
import random
from collections.abc import Callable

from bluetune_api import store_layout
from bluetune_api.records import KeyClaim
from bluetune_operator.core.kinds import JOBS, LOCK, TASKS, Key, condition_status
from unit.operator_lock_model.system import Step, System
from unit.operator_lock_model.world import MODEL, NAMESPACE


def goes_on_until(system: System, reached: Callable[[], bool]) -> None:
    """The operator and Kubernetes, always in the same order."""
    order = ("deliver", "go on", "begin")
    for _ in range(1000):
        if reached():
            return
        steps = system.work(system.operators[0]) or system.world_moves(system.world.kubernetes())
        system.apply(min(steps, key=lambda step: 9 if step[0] == "world" else order.index(step[1])))
    raise AssertionError("never came there")


def goes_on_until_it_takes_the_lock(system: System, name: str) -> None:
    """The task is about to write its Lease."""
    running, key = system.operators[0].running, Key(TASKS.name, NAMESPACE, name)
    goes_on_until(
        system,
        lambda: key in running and running[key].request.writes and "/leases" in running[key].request.path,
    )


def does_only(system: System, what: Callable[[Step], bool]) -> None:
    """The operator does what it can of one sort."""
    while steps := [step for step in system.work(system.operators[0]) if what(step)]:
        system.apply(steps[0])


def reconciles(system: System, kind: str, name: str) -> None:
    """One reconcile from its beginning to its end."""
    operator, key = system.operators[0], (kind, NAMESPACE, name)
    system.apply((operator.name, "begin", *key))
    while Key(*key) in operator.running:
        system.apply((operator.name, "go on", *key))


def is_awake(system: System, kind: str, name: str) -> bool:
    """Whether a key is to be reconciled now."""
    return Key(kind, NAMESPACE, name) in system.operators[0].ready


def succeeded(system: System, name: str) -> bool:
    return condition_status(system.world.server.get(TASKS, name) or {}, "Succeeded") == "True"


def test_a_task_deleted_while_its_lease_is_being_written_leaves_the_lock_to_the_next() -> None:
    system = System(1)
    for name in ("a", "b"):
        system.world.add(name)
    goes_on_until_it_takes_the_lock(system, "a")
    system.apply(("world", "delete", "a"))
    does_only(system, lambda step: step[1] == "deliver" or step[2] == LOCK)  # the lock has no holder yet
    system.settle(random.Random(1))
    assert succeeded(system, "b")


def test_a_task_whose_method_is_missing_wakes_the_one_behind_it_when_it_has_found_out() -> None:
    system = System(1)
    system.world.add("a", methodRef={"name": "missing"})
    system.world.add("b")
    does_only(system, lambda step: step[1] == "deliver")
    for kind, name in ((LOCK, MODEL), (TASKS.name, "b"), (TASKS.name, "a")):  # b waits for a
        reconciles(system, kind, name)
    assert is_awake(system, LOCK, MODEL)
    reconciles(system, LOCK, MODEL)
    assert is_awake(system, TASKS.name, "b")
    system.run_dry(random.Random(1))
    assert succeeded(system, "b")


def test_a_waiting_task_whom_a_person_writes_into_the_lease_begins() -> None:
    system = System(1)
    for name in ("a", "b"):
        system.world.add(name)
    goes_on_until(system, lambda: system.world.server.get(JOBS, "a-check") is not None)
    does_only(system, lambda step: True)
    uid = (system.world.server.get(TASKS, "b") or {})["metadata"]["uid"]
    system.apply(("world", "delete", "a"))
    system.apply(("world", "edit-lease", f"b/{uid}"))
    does_only(system, lambda step: step[1] == "deliver")
    reconciles(system, TASKS.name, "a")
    system.operators[0].ready.discard(Key(TASKS.name, NAMESPACE, "b"))
    reconciles(system, LOCK, MODEL)
    assert is_awake(system, TASKS.name, "b")
    system.settle(random.Random(1))
    assert succeeded(system, "b")


def test_a_task_that_finds_its_key_taken_once_it_has_the_lock_leaves_the_lock_to_who_has_the_key() -> None:
    system = System(1)
    system.world.add("a", idempotencyKey="k", suspend=True)
    system.world.add("b", idempotencyKey="k")
    goes_on_until_it_takes_the_lock(system, "b")
    claim = KeyClaim(task_uid=(system.world.server.get(TASKS, "a") or {})["metadata"]["uid"], task="a")
    asyncio.run(
        system.world.store.create(store_layout.idempotency_key("k"), claim.model_dump_json(by_alias=True).encode())
    )
    system.settle(random.Random(1))
    assert not succeeded(system, "b")
    system.apply(("world", "resume", "a"))
    system.settle(random.Random(1))
    assert succeeded(system, "a")
    assert succeeded(system, "b")
