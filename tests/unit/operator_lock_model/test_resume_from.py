"""A task with `resumeFrom` goes on where another one stopped, through the reconciler itself."""

from typing import Any

import pytest

from bluetune_api import store_layout
from bluetune_api.records import Plan
from bluetune_operator.core.jobs.build import plan_of
from bluetune_operator.core.kinds import CONFIG_MAPS, METHODS, TASKS, Object, condition
from bluetune_operator.core.lock.rules import has_ended
from unit.operator_lock_model.apiserver import copied
from unit.operator_lock_model.one_task import at_work, kubernetes_works, operator_works
from unit.operator_lock_model.store import BATCH
from unit.operator_lock_model.system import System
from unit.operator_lock_model.world import METHOD

LATER = "b2"


def task(system: System, name: str) -> Object:
    found = system.world.server.get(TASKS, name)
    assert found is not None
    return found


def ready(system: System, name: str) -> tuple[str, str]:
    said = condition(task(system, name), "Ready") or {}
    return said.get("reason", ""), said.get("message", "")


def training(keeps_plan: bool = True) -> System:
    """Task `a` trains; its trainer has written its plan down. A newer batch than its own is there."""
    system = at_work("train")
    if keeps_plan:
        plan = plan_of(system.world.server.get(CONFIG_MAPS, "a-train") or {})
        system.world.store.kept[store_layout.plan(plan.owner.uid)] = plan.model_dump_json(by_alias=True).encode()
    system.world.store.kept[store_layout.batch_marker(LATER)] = b""
    return system


def works(system: System) -> None:
    for _ in range(12):
        operator_works(system)
        kubernetes_works(system, succeed=True)


def cancelled(keeps_plan: bool = True) -> System:
    system = training(keeps_plan)
    system.apply(("world", "cancel", "a"))
    for _ in range(4):
        operator_works(system)
        kubernetes_works(system, succeed=False)
    assert has_ended(task(system, "a"))
    return system


@pytest.mark.parametrize("deleted", [False, True])
def test_a_task_takes_the_choices_of_the_one_that_it_goes_on_from_also_if_that_is_deleted_meanwhile(
    deleted: bool,
) -> None:
    system = cancelled()
    uid = task(system, "a")["metadata"]["uid"]
    system.world.add("b", resumeFrom="a", batchId=None)
    operator_works(system)
    if deleted:
        system.apply(("world", "delete", "a"))
    works(system)
    status = task(system, "b")["status"]
    assert ready(system, "b")[0] == "Completed"
    assert (status["batchId"], status["resumedFrom"]) == (BATCH, {"task": "a", "uid": uid})
    plan: Plan = plan_of(system.world.server.get(CONFIG_MAPS, "b-train") or {})
    assert plan.resume_from is not None
    assert plan.resume_from.uid == uid
    assert plan.owner.uid == task(system, "b")["metadata"]["uid"]


def test_a_task_waits_for_the_end_of_the_one_that_it_goes_on_from() -> None:
    system = training()
    system.world.add("b", resumeFrom="a")
    operator_works(system)
    assert ready(system, "b")[0] == "ResumeWaiting"
    assert (condition(task(system, "b"), "Stalled") or {})["status"] == "False"
    system.apply(("world", "cancel", "a"))
    works(system)
    assert ready(system, "b")[0] == "Completed"


@pytest.mark.parametrize(
    ("keeps_plan", "spec", "said"),
    [
        (True, {"resumeFrom": "x"}, "there is no FineTuningTask of that name"),
        (True, {"resumeFrom": "b"}, "that is the task itself"),
        (False, {"resumeFrom": "a"}, "it left nothing to go on from, s3://bucket/m/runs/a-uid"),
        (True, {"resumeFrom": "a", "batchId": LATER}, 'batchId was "b1" and is now "b2"'),
        (
            True,
            {"resumeFrom": "a", "overrides": {"settings": {"numEpochs": 7}}},
            "method.settings.numEpochs was absent and is now 7",
        ),
    ],
)
def test_a_task_that_cannot_go_on_from_another_says_why_and_lets_others_pass(
    keeps_plan: bool, spec: dict[str, Any], said: str
) -> None:
    system = cancelled(keeps_plan)
    system.world.add("b", **spec)
    system.world.add("c")
    works(system)
    reason, message = ready(system, "b")
    assert reason == "ResumeRefused"
    assert said.split(", s3")[0] in message
    assert ready(system, "c")[0] == "Completed"


@pytest.mark.parametrize("what", ["state", "method"])
def test_a_task_whose_earlier_run_changed_while_it_waited_for_the_lock_ends(what: str) -> None:
    system = cancelled()
    uid = task(system, "a")["metadata"]["uid"]
    system.world.add("c", priority=5)
    operator_works(system)
    system.world.add("b", resumeFrom="a")
    operator_works(system)
    assert ready(system, "b")[0] == "Waiting"
    if what == "state":
        del system.world.store.kept[store_layout.plan(uid)]
    else:
        method = copied(system.world.server.get(METHODS, METHOD))
        method["spec"]["settings"] = {"numEpochs": 7}
        system.world.server.put("people", METHODS, method)
    works(system)
    assert ready(system, "c")[0] == "Completed"
    failed = condition(task(system, "b"), "Failed") or {}
    assert failed.get("reason") == "ResumeRefused"
    assert ("does not exist any more" if what == "state" else "numEpochs was absent and is now 7") in failed["message"]
