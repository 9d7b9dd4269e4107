"""The store is away or refuses while a task is at work: it says so, waits, and loses nothing."""

import pytest

from bluetune_api.objectstore import StoreDenied, StoreError, StoreUnreachable
from bluetune_operator.core.kinds import JOBS, MODELS, Object
from unit.operator_lock_model.apiserver import copied
from unit.operator_lock_model.one_task import (
    active_pod,
    at_work,
    job,
    kubernetes_works,
    operator_works,
    pod_ends_with,
    said,
)
from unit.operator_lock_model.system import System
from unit.operator_lock_model.world import MODEL

AWAY = StoreUnreachable("cannot read s3://bucket/m after 2 attempts: Connection refused")
DENIED = StoreDenied("cannot read s3://bucket/m: SignatureDoesNotMatch; check AWS_ACCESS_KEY_ID")


@pytest.mark.parametrize("stage", ["check", "train"])
@pytest.mark.parametrize(("problem", "reason"), [(AWAY, "StoreUnreachable"), (DENIED, "StoreDenied")])
def test_a_job_waits_for_its_store_and_goes_on_when_it_is_back(stage: str, problem: StoreError, reason: str) -> None:
    system = at_work(stage)
    system.world.store.away = problem
    operator_works(system)  # while the pod still runs
    assert said(system) == (reason, reason)
    assert not (job(system, f"a-{stage}") or {})["spec"]["suspend"]
    for _ in range(5):  # however often it happens, with maxRetries 1
        pod_ends_with(system, 13)
        operator_works(system)
        assert said(system) == (reason, reason)
        assert (job(system, f"a-{stage}") or {})["spec"]["suspend"]
        kubernetes_works(system, succeed=False)
        assert active_pod(system) is None
        system.world.store.away = None
        operator_works(system)
        kubernetes_works(system, succeed=False)
        operator_works(system)
        assert said(system) == ({"check": "Checking", "train": "Training"}[stage], "Published")
        system.world.store.away = problem
    system.world.store.away = None
    for _ in range(20):
        kubernetes_works(system, succeed=True)
        operator_works(system)
    assert said(system)[0] == "Completed"


def test_a_suspended_task_stays_suspended_when_its_store_is_back() -> None:
    system = at_work("train")
    system.world.store.away = AWAY
    pod_ends_with(system, 13)
    system.apply(("world", "suspend", "a"))
    operator_works(system)
    system.world.store.away = None
    operator_works(system)
    assert (job(system, "a-train") or {})["spec"]["suspend"]
    system.apply(("world", "resume", "a"))
    operator_works(system)
    assert not (job(system, "a-train") or {})["spec"]["suspend"]


def test_a_crash_is_not_waited_for() -> None:
    system = at_work("train")
    pod_ends_with(system, 1)
    operator_works(system)
    assert not (job(system, "a-train") or {})["spec"]["suspend"]


def importing(system: System) -> Object:
    """The model has not been imported yet; its Job's pod runs."""
    world = system.world
    system.world.server.remove("person", MODELS, MODEL)
    first = copied(world._first_model)
    del first["status"]
    world.server.create("person", MODELS, first)
    for _ in range(5):
        operator_works(system)
        kubernetes_works(system, succeed=False)
    found = job(system, f"{MODEL}-import")
    assert found is not None
    return found


def test_an_import_waits_for_its_store_and_goes_on_when_it_is_back() -> None:
    system = System(1)
    importing(system)
    system.world.store.away = DENIED
    pod_ends_with(system, 13)
    operator_works(system)
    assert (job(system, f"{MODEL}-import") or {})["spec"]["suspend"]
    kubernetes_works(system, succeed=False)
    assert active_pod(system) is None
    system.world.store.away = None
    operator_works(system)
    kubernetes_works(system, succeed=False)
    assert active_pod(system) is not None


def test_an_import_that_somebody_else_suspended_stays_so() -> None:
    system = System(1)
    suspended = copied(importing(system))
    suspended["spec"]["suspend"] = True
    system.world.server.put("person", JOBS, suspended)
    operator_works(system)
    assert (job(system, f"{MODEL}-import") or {})["spec"]["suspend"]
