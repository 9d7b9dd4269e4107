"""A task at work whose model is gone holds no GPU for a result that nobody can take."""

import pytest

from bluetune_operator.core.kinds import TASKS
from unit.operator_lock_model.apiserver import copied
from unit.operator_lock_model.one_task import active_pod, at_work, job, kubernetes_works, operator_works, said
from unit.operator_lock_model.system import System


def gone_since(system: System, moment: str) -> None:
    """The task has said for so long that its model is missing."""
    task = copied(system.world.server.get(TASKS, "a"))
    next(c for c in task["status"]["conditions"] if c["type"] == "Accepted")["lastTransitionTime"] = moment
    system.world.server.put("clock", TASKS, task)


@pytest.mark.parametrize("stage", ["check", "train"])
def test_its_job_is_suspended_after_a_minute_and_goes_on_when_the_model_is_back(stage: str) -> None:
    system = at_work(stage)
    system.apply(("world", "remove-model"))
    operator_works(system)
    assert said_by_task(system) == "ModelNotFound"
    assert not (job(system, f"a-{stage}") or {})["spec"]["suspend"]  # it may be replaced by GitOps
    gone_since(system, "2025-12-31T23:58:59Z")
    operator_works(system)
    kubernetes_works(system, succeed=False)
    assert said_by_task(system) == "ModelNotFound"
    assert (job(system, f"a-{stage}") or {})["spec"]["suspend"]
    assert active_pod(system) is None
    system.apply(("world", "restore-model"))
    for _ in range(10):
        operator_works(system)
        kubernetes_works(system, succeed=True)
    assert said(system)[0] == "Completed"


def test_a_task_can_be_suspended_while_its_model_is_gone() -> None:
    system = at_work("train")
    system.apply(("world", "remove-model"))
    system.apply(("world", "suspend", "a"))
    operator_works(system)
    assert (job(system, "a-train") or {})["spec"]["suspend"]


def said_by_task(system: System) -> str | None:
    task = system.world.server.get(TASKS, "a") or {}
    found: dict[str, str] = next((c for c in task["status"]["conditions"] if c["type"] == "Ready"), {})
    return str(found.get("reason"))
