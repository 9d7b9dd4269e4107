"""What a person is shown, from the objects as the API server has them."""

from typing import Any

import pytest

from bluetune.core import watch


def task(*true: str, **status: Any) -> dict[str, Any]:
    conditions = [{"type": kind, "status": "True", "reason": "R", "message": "m"} for kind in true]
    return {"status": {"conditions": conditions, **status}}


@pytest.mark.parametrize(
    ("seen", "stage"),
    [
        ({}, "waiting for the model's lock"),
        (task(), "waiting for the model's lock"),
        (task("LockAcquired"), "checking the clicks"),
        (task("LockAcquired", "DataValid"), "training"),
        (task("LockAcquired", "DataValid", "Trained", "Published"), "comparing with the live version"),
        (task("Published", rollout={"step": "Reindex"}), "rollout: encoding the catalogue with the new version"),
        (task("Published", rollout={"step": "Done"}), "rollout: asking for it"),
        (task("Succeeded", "Published"), "done"),
        (task("Failed"), "failed"),
    ],
)
def test_a_tasks_stage(seen: dict[str, Any], stage: str) -> None:
    assert watch.of_task(seen).stage == stage


def test_a_training_task_shows_progress_trials_and_the_best() -> None:
    best = {"trial": 1, "quality": 0.5, "params": {"items_lr": 5e-05, "num_fixed_layers": 3}}
    progress = {"percent": 40, "etaSeconds": 65, "trialsDone": 1, "trialsTotal": 3, "epoch": 2}
    view = watch.of_task(task("LockAcquired", "DataValid", progress=progress, best=best, topTrials=[best] * 9))
    assert (view.percent, view.eta_seconds, view.trials, view.epoch, view.best) == (40, 65, "1/3", 2, 0.5)
    assert view.best_params == "items_lr 5e-05, num_fixed_layers 3"
    assert len(view.top) == 5
    assert watch.line(view) == "training · trials 1/3 · 40% · best 0.5000"


def test_a_failure_says_why() -> None:
    failed = {"type": "Failed", "status": "True", "reason": "DataInvalid", "message": "3 lines are broken"}
    view = watch.of_task({"status": {"conditions": [failed]}})
    assert (view.done, view.failed, view.note) == (True, True, "DataInvalid: 3 lines are broken")


@pytest.mark.parametrize(
    ("status", "stage", "done", "failed"),
    [
        ({}, "importing the base", False, False),
        ({"rollout": {"step": "Wait"}}, "base: replacing the pods", False, False),
        ({"rollout": {"step": "Failed", "message": "no index"}}, "rolling out the base", False, True),
        ({"current": {"version": "v0"}}, "serving the base", True, False),
        ({"conditions": [{"type": "Stalled", "status": "True", "reason": "X"}]}, "importing the base", False, True),
    ],
)
def test_a_models_stage(status: dict[str, Any], stage: str, done: bool, failed: bool) -> None:
    view = watch.of_model({"status": status})
    assert (view.stage, view.done, view.failed) == (stage, done, failed)


def test_problems_are_the_conditions_that_are_not_as_they_should_be() -> None:
    conditions = [
        {"type": "Accepted", "status": "True", "reason": "Fine"},
        {"type": "DataValid", "status": "False", "reason": "Broken", "message": "line 3"},
        {"type": "Ready", "status": "False", "reason": "Broken", "message": "line 3"},
        {"type": "Stalled", "status": "False", "reason": "No"},
        {"type": "StoreUnsafe", "status": "False", "reason": "Safe"},
        {"type": "StatusUnreadable", "status": "False", "reason": "Read"},
        {"type": "Retraining", "status": "False", "reason": "Suspended"},
        {"type": "ServingUnsafe", "status": "True", "reason": "NoProbe"},
        {"type": "Reconciling", "status": "True", "reason": "Busy"},
    ]
    assert watch.problems({"conditions": conditions}) == "Broken: line 3; NoProbe"


def test_a_reason_is_that_of_the_condition() -> None:
    conditions = [{"type": "Promoted", "status": "False", "reason": "GateUndecided"}]
    assert watch.reason({"conditions": conditions}, "Promoted") == "GateUndecided"
    assert watch.reason({}, "Promoted") == ""


def test_times_are_minutes_and_seconds() -> None:
    assert [watch.clock(seconds) for seconds in (0, 59.9, 61, 3600)] == ["0:00", "0:59", "1:01", "60:00"]
