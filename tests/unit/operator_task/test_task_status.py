"""The draft of a status: conditions, the terminal pair, and what kstatus reads."""

from datetime import UTC, datetime, timedelta

import pytest

from bluetune_api.base import Condition
from bluetune_api.reasons import Reason
from bluetune_api.task import FineTuningTask, FineTuningTaskStatus, TaskProgress
from bluetune_operator.core.conditions import find
from bluetune_operator.core.tasks.status import Draft

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def task(status: FineTuningTaskStatus | None = None, generation: int = 3) -> FineTuningTask:
    return FineTuningTask.model_validate(
        {
            "apiVersion": "bluetune.dev/v1alpha1",
            "kind": "FineTuningTask",
            "metadata": {"name": "t", "generation": generation},
            "spec": {"modelRef": {"name": "m"}},
            "status": status.wire() if status else None,
        }
    )


def said(status: FineTuningTaskStatus, kind: str) -> Condition:
    found = find(status.conditions, kind)
    assert found is not None
    return found


def kstatus(status: FineTuningTaskStatus) -> tuple[str, str, str]:
    return tuple(said(status, kind).status for kind in ("Ready", "Reconciling", "Stalled"))  # type: ignore[return-value]


def test_at_work_is_reconciling() -> None:
    draft = Draft(task(), NOW)
    draft.now_doing("Running", "Training", "training")
    status = draft.finished()
    assert kstatus(status) == ("False", "True", "False")
    assert (said(status, "Ready").reason, status.message, status.observed_generation) == ("Training", "training", 3)


def test_what_a_person_must_mend_is_stalled() -> None:
    draft = Draft(task(), NOW)
    draft.now_doing("Pending", "SecretNotFound", "create it", stalled=True)
    assert kstatus(draft.finished()) == ("False", "False", "True")
    assert draft.news() == [("Warning", "SecretNotFound", "create it")]


def test_success_is_ready_and_failure_is_stalled() -> None:
    good, bad = Draft(task(), NOW), Draft(task(), NOW)
    good.succeed("Completed", "done")
    bad.fail("DataInvalid", "broken")
    assert kstatus(good.finished()) == ("True", "False", "False")
    assert kstatus(bad.finished()) == ("False", "False", "True")
    assert good.status.completion_time == bad.status.completion_time == "2026-01-01T00:00:00Z"


def test_the_end_is_for_ever() -> None:
    draft = Draft(task(), NOW)
    draft.succeed("Completed", "done")
    later = Draft(task(draft.finished(), generation=9), NOW + timedelta(days=1))
    assert later.ended
    # an edit is noted, or readers of kstatus would wait for ever
    assert later.finished().wire() == draft.status.wire() | {"observedGeneration": 9}
    assert later.news() == []


def test_the_same_again_changes_nothing_and_is_no_news() -> None:
    first = Draft(task(), NOW)
    first.say("LockAcquired", False, "Waiting", "task 'x' holds the model")
    first.now_doing("Waiting", "Waiting", "position 1")
    second = Draft(task(first.finished()), NOW + timedelta(minutes=5))
    second.say("LockAcquired", False, "Waiting", "task 'x' holds the model")
    second.now_doing("Waiting", "Waiting", "position 1")
    assert second.finished().wire() == first.status.wire()
    assert second.news() == []


@pytest.mark.parametrize("stalled", [False, True])
def test_a_failed_task_is_a_warning_though_its_pod_was_told_of_before_for_the_same_reason(stalled: bool) -> None:
    first = Draft(task(), NOW)
    first.now_doing("Running", "DataInvalid", "3 broken lines", stalled=stalled)
    second = Draft(task(first.finished()), NOW)
    second.fail("DataInvalid", "3 broken lines")
    second.finished()
    assert second.news() == [("Warning", "DataInvalid", "3 broken lines")]
    assert Draft(task(second.status), NOW).news() == []


def test_a_task_that_ended_has_no_time_left() -> None:
    progress = TaskProgress(percent=10, eta_seconds=300, summary="10%, 5m left", updated_at="2026-01-01T00:00:00Z")
    draft = Draft(task(FineTuningTaskStatus(progress=progress)), NOW)
    draft.fail("Cancelled", "cancelled by spec.cancel", phase="Cancelled")
    found = draft.finished().progress
    assert found is not None
    assert (found.percent, found.eta_seconds, found.summary) == (10, 0, "10%")


def test_what_the_user_asked_for_is_no_warning() -> None:
    draft = Draft(task(), NOW)
    draft.fail("Cancelled", "cancelled by spec.cancel", phase="Cancelled")
    draft.finished()
    assert draft.news() == [("Normal", "Cancelled", "cancelled by spec.cancel")]


@pytest.mark.parametrize(
    ("reason", "level"),
    [
        ("Unschedulable", "Warning"),
        ("PodRefused", "Warning"),
        ("ImagePullBackOff", "Warning"),
        ("StoreUnreachable", "Warning"),
        ("OOMKilled", "Warning"),
        ("ContainerCreating", "Normal"),
        ("Training", "Normal"),
        ("Terminating", "Normal"),
    ],
)
def test_what_a_person_may_have_to_mend_is_a_warning_while_the_task_waits(reason: Reason, level: str) -> None:
    draft = Draft(task(), NOW)
    draft.now_doing("Running", reason, "said")
    draft.finished()
    assert draft.news() == [(level, reason, "said")]


def test_a_long_message_is_cut_to_what_the_schema_takes() -> None:
    draft = Draft(task(), NOW)
    draft.fail("TrainerCrashed", "x" * 5000)
    FineTuningTaskStatus.model_validate(draft.finished().wire())


def test_a_listing_has_one_line_of_a_message_and_the_condition_all_of_it() -> None:
    text = "8 of 40 lines are broken:\n  line 1: no query\n  line 2: no query\n" + "  line 3: no results\n" * 30
    draft = Draft(task(), NOW)
    draft.fail("DataInvalid", text)
    status = draft.finished()
    assert status.message is not None
    assert status.message.startswith("8 of 40 lines are broken: line 1: no query line 2")
    assert "\n" not in status.message
    assert len(status.message) <= 320
    assert said(status, "Ready").message == text


def test_a_plan_that_is_no_longer_the_methods_is_told_once() -> None:
    first = Draft(task(), NOW)
    first.say("PlanCurrent", True, "AsBegun", "as they were")
    first.now_doing("Running", "Training", "training")
    second = Draft(task(first.finished()), NOW)
    second.say("PlanCurrent", False, "EditedSince", "FineTuningMethod 'text' was edited")
    second.now_doing("Running", "Training", "training")
    second.finished()
    assert second.news() == [("Normal", "EditedSince", "FineTuningMethod 'text' was edited")]
    third = Draft(task(second.finished()), NOW)
    third.say("PlanCurrent", False, "EditedSince", "FineTuningMethod 'text' was edited")
    third.now_doing("Running", "Training", "training")
    third.finished()
    assert third.news() == []


def test_a_reconcile_that_only_has_to_come_again_changes_nothing() -> None:
    first = Draft(task(), NOW)
    first.now_doing("Pending", "SecretNotFound", "create it", stalled=True)
    second = Draft(task(first.finished()), NOW + timedelta(minutes=5))
    assert second.finished().wire() == first.status.wire()
    assert Draft(task(), NOW).finished().message == ""
