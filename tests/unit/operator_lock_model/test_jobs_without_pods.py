"""A task that holds the lock and gets no pod: its own timeout, others that suspend its Job, and Kueue."""

import pytest

from bluetune_operator.core.jobs.build import KUEUE_QUEUE
from bluetune_operator.core.jobs.resuming import RESUMED
from bluetune_operator.core.kinds import JOBS, LEASES, MODELS, PODS, TASKS, Object, condition, lease_name
from unit.operator_lock_model.apiserver import copied
from unit.operator_lock_model.one_task import active_pod, at_work, job, kubernetes_works, operator_works, said
from unit.operator_lock_model.system import System
from unit.operator_lock_model.test_outages import importing
from unit.operator_lock_model.world import MODEL


def waiting(stage: str, limit: int | None) -> System:
    """A task whose check or training has a Job and no pod."""
    system = at_work(stage)
    task = copied(system.world.server.get(TASKS, "a"))
    task["spec"]["pendingTimeoutSeconds"] = limit
    system.world.server.put("person", TASKS, task)
    pod = active_pod(system)
    assert pod is not None
    pod = copied(pod)
    pod["status"] = {
        "phase": "Pending",
        "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no GPU."}],
    }
    system.world.server.put("scheduler", PODS, pod)
    operator_works(system)
    return system


def since(system: System, moment: str | None) -> None:
    """The task has waited for its pod since then."""
    task = copied(system.world.server.get(TASKS, "a"))
    task["status"]["pendingSince"] = moment
    system.world.server.put("clock", TASKS, task)


def status(system: System) -> Object:
    return (system.world.server.get(TASKS, "a") or {})["status"]  # type: ignore[no-any-return]


def holder(system: System) -> str:
    lease = system.world.server.get(LEASES, lease_name(MODEL))
    return str(((lease or {}).get("spec") or {}).get("holderIdentity") or "")


@pytest.mark.parametrize("stage", ["check", "train"])
def test_a_task_that_gets_no_pod_in_time_fails_and_gives_the_lock_to_the_next(stage: str) -> None:
    system = waiting(stage, 60)
    assert said(system)[0] == "Unschedulable"
    assert status(system)["pendingSince"] == "2026-01-01T00:00:00Z"
    since(system, "2025-12-31T23:58:00Z")
    system.world.add("b")
    for _ in range(5):
        operator_works(system)
        kubernetes_works(system, succeed=True)
    assert said(system)[0] == "PendingTimeout"
    assert "no GPU" in status(system)["message"]
    assert "pendingSince" not in status(system)
    assert job(system, f"a-{stage}") is None
    assert holder(system) != "a"
    next_one = system.world.server.get(TASKS, "b") or {}
    assert next_one["status"]["phase"] != "Waiting"


def test_without_a_timeout_it_waits() -> None:
    system = waiting("train", None)
    since(system, "2020-01-01T00:00:00Z")
    operator_works(system)
    assert said(system)[0] == "Unschedulable"


def test_a_pod_that_runs_ends_the_wait() -> None:
    system = waiting("train", 60)
    pod = copied(active_pod(system))
    pod["status"] = {"phase": "Running"}
    system.world.server.put("kubelet", PODS, pod)
    operator_works(system)
    assert said(system)[0] == "Training"
    assert "pendingSince" not in status(system)


def test_the_training_has_a_wait_of_its_own() -> None:
    system = waiting("check", 60)
    since(system, "2025-12-31T23:59:10Z")
    for _ in range(10):  # its pod starts and ends between two looks
        kubernetes_works(system, succeed=True)
        operator_works(system)
        if job(system, "a-train") is not None:
            break
    assert status(system)["pendingSince"] == "2026-01-01T00:00:00Z"


def test_a_job_that_another_controller_suspends_is_not_fought_for() -> None:
    system = at_work("train")
    writes = 0
    for _ in range(20):
        found = copied(job(system, "a-train"))
        if not found["spec"]["suspend"]:
            writes += 1
        found["spec"]["suspend"] = True
        system.world.server.put("kueue", JOBS, found)
        operator_works(system)
    # its clock stands still here: the first time it was resumed is the last
    assert writes == 1
    assert said(system)[0] == "SuspendedByOthers"
    found = copied(job(system, "a-train"))
    found["metadata"]["annotations"][RESUMED] = "1 2025-12-31T23:00:00Z"  # that was long ago: once more
    system.world.server.put("clock", JOBS, found)
    operator_works(system)
    again = job(system, "a-train") or {}
    assert not again["spec"]["suspend"]
    assert again["metadata"]["annotations"][RESUMED].startswith("2 ")


def queued() -> System:
    """A task of a model with a queue; its check waits for Kueue."""
    system = System(1)
    model = copied(system.world.server.get(MODELS, MODEL))
    model["spec"]["queueName"] = "gpus"
    system.world.server.put("person", MODELS, model)
    system.world.add("a")
    operator_works(system)
    return system


def test_a_job_with_a_queue_is_left_to_kueue() -> None:
    system = queued()
    found = copied(job(system, "a-check"))
    assert found["metadata"]["labels"][KUEUE_QUEUE] == "gpus"
    assert found["spec"]["suspend"]
    assert said(system)[0] == "Queued"
    found["spec"]["suspend"] = False
    system.world.server.put("kueue", JOBS, found)
    kubernetes_works(system, succeed=False)
    operator_works(system)
    assert said(system)[0] == "Checking"


def test_a_job_that_its_queue_has_not_admitted_is_deleted_when_the_lock_is_lost() -> None:
    system = queued()
    lease = copied(system.world.server.get(LEASES, lease_name(MODEL)))
    lease["spec"]["holderIdentity"] = "ghost/ghost-uid"
    made = job(system, "a-check")
    # the operator has not heard of the Lease: as one does that slept
    system.world.server.put("person", LEASES, lease)
    operator = system.operators[0]
    for _ in range(30):
        steps = [s for s in system.work(operator) + system.timers(operator) if s[1] != "deliver"]
        if job(system, "a-check") is None or not steps:
            break
        system.apply(next((s for s in steps if s[2] == TASKS.name), steps[0]))
    assert made is not None
    assert job(system, "a-check") is None


@pytest.mark.parametrize(("queue", "reason"), [("gpus", "Queued"), (None, "SuspendedByOthers")])
def test_a_suspended_import_says_who_has_to_start_it(queue: str | None, reason: str) -> None:
    system = System(1)
    found = copied(importing(system))
    found["spec"]["suspend"] = True
    if queue is not None:
        found["metadata"]["labels"][KUEUE_QUEUE] = queue
    system.world.server.put("kueue", JOBS, found)
    kubernetes_works(system, succeed=False)
    for _ in range(3):
        operator_works(system)
    model = system.world.server.get(MODELS, MODEL)
    assert model is not None
    assert (condition(model, "Ready") or {})["reason"] == reason
    assert (job(system, f"{MODEL}-import") or {})["spec"]["suspend"]
