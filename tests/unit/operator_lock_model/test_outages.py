"""The store is away or refuses while a task is at work: it says so, waits, and loses nothing."""

import pytest

from bluetune_api.objectstore import StoreDenied, StoreError, StoreUnreachable
from bluetune_operator.core.kinds import JOBS, MODELS, PODS, TASKS, Object, condition
from bluetune_operator.core.workloads import is_active_pod
from unit.operator_lock_model.apiserver import copied
from unit.operator_lock_model.system import System
from unit.operator_lock_model.world import MODEL

AWAY = StoreUnreachable("cannot read s3://bucket/m after 2 attempts: Connection refused")
DENIED = StoreDenied("cannot read s3://bucket/m: SignatureDoesNotMatch; check AWS_ACCESS_KEY_ID")


def operator_works(system: System) -> None:
    """The operator does all that it can without its clock, then looks once more at what it would look at later."""
    operator = system.operators[0]
    for _ in range(2):
        for _ in range(300):
            steps = system.work(operator)
            if not steps:
                break
            system.apply(steps[0])
        for step in [s for s in system.timers(operator) if s[2] != "Resync"]:
            if step in system.timers(operator):
                system.apply(step)
    for _ in range(300):
        if not (steps := system.work(operator)):
            return
        system.apply(steps[0])
    raise AssertionError("still busy")


def kubernetes_works(system: System, *, succeed: bool) -> None:
    """Jobs get pods, pods start, and end if they may."""
    for _ in range(100):
        moves = [m for m in system.world.kubernetes() if succeed or m[0] != "succeed"]
        if not moves:
            return
        system.apply(("world", *moves[0]))
    raise AssertionError("still busy")


def at_work(stage: str) -> System:
    """A task whose check or training runs in its pod."""
    system = System(1)
    system.world.add("a")
    for _ in range(20):
        operator_works(system)
        kubernetes_works(system, succeed=False)
        pod = active_pod(system)
        if pod is not None and pod["metadata"]["name"].startswith(f"a-{stage}"):
            operator_works(system)
            return system
        kubernetes_works(system, succeed=True)
    raise AssertionError(f"no {stage}")


def job(system: System, name: str) -> Object | None:
    return system.world.server.get(JOBS, name)


def said(system: System) -> tuple[str | None, str | None]:
    """What the task and its model say."""
    task, model = system.world.server.get(TASKS, "a"), system.world.server.get(MODELS, MODEL)
    assert task is not None
    assert model is not None
    return tuple((condition(each, "Ready") or {}).get("reason") for each in (task, model))  # type: ignore[return-value]


def active_pod(system: System) -> Object | None:
    return next((pod for pod in system.world.server.all(PODS) if is_active_pod(pod)), None)


def pod_ends_with(system: System, code: int) -> None:
    pod = active_pod(system)
    assert pod is not None
    pod = copied(pod)
    container = {"name": "trainer", "state": {"terminated": {"exitCode": code, "message": ""}}}
    pod["status"] = {"phase": "Failed", "containerStatuses": [container]}
    system.world.server.put("kubelet", PODS, pod)


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
