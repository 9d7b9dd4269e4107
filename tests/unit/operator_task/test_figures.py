"""What metrics tell of tasks, models, rollouts and locks."""

from typing import Any

import pytest

from bluetune_api.model import EmbeddingModelStatus, Rollout
from bluetune_api.reasons_of_tasks import TASK_GROUPS
from bluetune_operator.adapters.cache import ObjectCache
from bluetune_operator.core.figures import (
    GATE_VERDICTS,
    RolloutEnd,
    TaskFigures,
    lock_progress,
    rollout_end,
    task_figures,
)
from bluetune_operator.core.kinds import MODELS, TASKS, Object
from bluetune_operator.handlers.metrics import Metrics
from bluetune_operator.handlers.queue import WorkQueue
from bluetune_operator.handlers.state_metrics import StateMetrics
from unit.operator_task.cached_objects import thing

MIDNIGHT = 1767225600.0
"""2026-01-01T00:00:00Z"""


def at(hour: int) -> str:
    return f"2026-01-01T{hour:02}:00:00Z"


def said(kind: str, status: str = "True", reason: str = "Whatever", hour: int = 0) -> dict[str, str]:
    return {"type": kind, "status": status, "reason": reason, "lastTransitionTime": at(hour)}


def task(*conditions: dict[str, str], name: str = "t", model: str = "m", **status: Any) -> Object:
    made = thing(name, spec={"modelRef": {"name": model}}, status={"conditions": list(conditions), **status})
    made["metadata"]["creationTimestamp"] = at(0)
    return made


WAITS = task(phase="Waiting")
HOLDS = task(said("LockAcquired"), phase="Running", startTime=at(1))
REQUESTED = said("Promoted", "Unknown", "RolloutRequested")
DEPLOYS = task(said("LockAcquired"), REQUESTED, phase="Deploying", startTime=at(1))


def ended(phase: str, *conditions: dict[str, str], **status: Any) -> Object:
    end = said("Succeeded" if phase == "Succeeded" else "Failed")
    return task(said("LockAcquired", "False"), *conditions, end, phase=phase, completionTime=at(4), **status)


@pytest.mark.parametrize(
    ("before", "after", "figures"),
    [
        (WAITS, WAITS, TaskFigures()),
        (WAITS, HOLDS, TaskFigures(queue_seconds=3600)),
        (HOLDS, HOLDS, TaskFigures()),
        (HOLDS, ended("Failed", startTime=at(1)), TaskFigures(run_seconds=10800, ended="Failed")),
        (ended("Failed", startTime=at(1)), ended("Failed", startTime=at(1)), TaskFigures()),
        (WAITS, ended("Refused"), TaskFigures(ended="Refused")),
        (HOLDS, DEPLOYS, TaskFigures(verdict="GatePassed")),
        (DEPLOYS, DEPLOYS, TaskFigures()),
        (
            DEPLOYS,
            ended("Succeeded", said("Promoted", "True", "Promoted"), startTime=at(1)),
            TaskFigures(run_seconds=10800, ended="Succeeded"),
        ),
        (
            HOLDS,
            ended("Succeeded", said("Promoted", "False", "GateGuarded"), startTime=at(1)),
            TaskFigures(run_seconds=10800, ended="Succeeded", verdict="GateGuarded"),
        ),
        (
            HOLDS,
            ended("Succeeded", said("Promoted", "False", "NotRequested"), startTime=at(1)),
            TaskFigures(run_seconds=10800, ended="Succeeded"),
        ),
        (
            WAITS,
            ended("Succeeded", said("Promoted", "False", "GateNotPassed"), duplicateOf="first"),
            TaskFigures(ended="Succeeded"),
        ),
    ],
)
def test_a_write_of_a_task_is_counted_for_what_it_brought(before: Object, after: Object, figures: TaskFigures) -> None:
    assert task_figures(before, after) == figures


def test_the_gates_verdicts_are_all_that_the_runbook_has() -> None:
    (group,) = [group for group in TASK_GROUPS if "GatePassed" in group.entries]
    assert {reason for reason in group.entries if reason.startswith("Gate")} == GATE_VERDICTS


def of_step(step: str, hour: int = 0, reason: str | None = None) -> EmbeddingModelStatus:
    version = {"to": "v" + "0" * 12, "digest": "sha256:" + "0" * 64}
    times = {"startedAt": at(hour), "stepStartedAt": at(5)}
    return EmbeddingModelStatus(rollout=Rollout.model_validate({**version, **times, "step": step, "reason": reason}))


@pytest.mark.parametrize(
    ("old", "new", "end"),
    [
        (EmbeddingModelStatus(), EmbeddingModelStatus(), None),
        (EmbeddingModelStatus(), of_step("Patch"), None),
        (of_step("Promote"), of_step("Done"), RolloutEnd("Done", "RolledOut")),
        (of_step("Done"), of_step("Done"), None),
        (of_step("Wait"), of_step("RollingBack", reason="VerifyFailed"), None),
        (of_step("RollingBack"), of_step("Failed", reason="VerifyFailed"), RolloutEnd("Failed", "VerifyFailed")),
        (of_step("Failed"), of_step("Failed", 1, "NameTaken"), RolloutEnd("Failed", "NameTaken")),
        (of_step("Failed"), of_step("Patch", 1), None),
    ],
)
def test_a_rollout_is_counted_once_when_it_ends(
    old: EmbeddingModelStatus, new: EmbeddingModelStatus, end: RolloutEnd | None
) -> None:
    assert rollout_end(old, new) == end


@pytest.mark.parametrize(
    ("holder", "hour"),
    [
        (WAITS, None),
        (HOLDS, 1),
        (task(said("LockAcquired", hour=1), said("DataValid", hour=2), phase="Running", startTime=at(1)), 2),
        (task(said("LockAcquired"), phase="Running", startTime=at(1), progress={"updatedAt": at(3)}), 3),
        (DEPLOYS, None),
        (ended("Failed", startTime=at(1)), None),
    ],
)
def test_a_lock_moves_with_its_holder_until_the_rollout(holder: Object, hour: int | None) -> None:
    assert lock_progress(holder) == (None if hour is None else MIDNIGHT + 3600 * hour)


def test_what_resources_say_is_shown_as_it_is_now() -> None:
    cache, metrics = ObjectCache(), Metrics(WorkQueue())
    metrics.registry.register(StateMetrics(cache))
    failed = ended("Failed", said("Ready", "False", "DataInvalid"))
    failed["metadata"] |= {"name": "f", "uid": "f"}
    model = thing("m", status={"conditions": [said("Stalled", "True", "StoreDenied")]})
    model["status"]["rollout"] = of_step("Failed", reason="VerifyFailed").wire()["rollout"]
    for each in (HOLDS, failed, thing("g", spec={"modelRef": {"name": "m"}})):
        cache.put(TASKS, each)
    cache.put(MODELS, model)
    cache.put(MODELS, thing("of a newer operator", status={"rollout": {"stage": "Beyond"}}))
    text = metrics.text().decode()
    of_model = 'model="m",namespace="n"'
    assert f'bluetune_tasks{{{of_model},phase="Running",reason=""}} 1.0' in text
    assert f'bluetune_tasks{{{of_model},phase="Failed",reason="DataInvalid"}} 1.0' in text
    assert f"bluetune_lock_progress_timestamp_seconds{{{of_model}}} 1.7672292e+09" in text
    assert f'bluetune_model_condition{{condition="Stalled",{of_model},reason="StoreDenied",status="True"}} 1.0' in text
    assert f'{of_model},reason="VerifyFailed",step="Failed"}} 1.7672436e+09' in text
    for kind, gone in ((MODELS, model), (TASKS, HOLDS), (TASKS, failed)):
        cache.remove(kind, gone)
    assert 'model="m"' not in metrics.text().decode()
