"""Whether a task may go on from another one."""

from typing import Any

import pytest

from bluetune_api.records import Plan
from bluetune_api.task import EarlierRun, FineTuningTask, FineTuningTaskStatus
from bluetune_operator.core.tasks.jobs import check_plan
from bluetune_operator.core.tasks.resume import chosen_as_before, earlier_problem, plan_problem, runs_of
from unit.operator_task.test_jobs import parts

_, _, MODEL, METHOD = parts()

START, OTHER = "v000000000001", "v000000000002"


def task(**spec: Any) -> FineTuningTask:
    return FineTuningTask.model_validate(
        {
            "apiVersion": "bluetune.dev/v1alpha1",
            "kind": "FineTuningTask",
            "metadata": {"name": "b", "namespace": "n", "uid": "u2"},
            "spec": {"modelRef": {"name": MODEL.metadata.name}, "resumeFrom": "a", **spec},
        }
    )


def earlier(end: str | None = "Failed", *, model: str = MODEL.metadata.name, uid: str = "u1", **status: Any) -> Any:
    conditions = [] if end is None else [{"type": end, "status": "True", "reason": "R", "message": "m"}]
    return {
        "metadata": {"name": "a", "uid": uid},
        "spec": {"modelRef": {"name": model}},
        "status": {"conditions": conditions, **status},
    }


@pytest.mark.parametrize(
    ("found", "reason", "said"),
    [
        (earlier(), None, ""),
        (None, "ResumeRefused", "resumeFrom 'a': there is no FineTuningTask of that name in this namespace; correct"),
        (earlier(None, uid="u2"), "ResumeRefused", "that is the task itself"),
        (
            earlier(model="ads"),
            "ResumeRefused",
            f"its spec.modelRef is 'ads', and this task's is '{MODEL.metadata.name}'",
        ),
        (earlier("Succeeded"), "ResumeRefused", "it succeeded"),
        (earlier(None), "ResumeWaiting", "has not ended; this task waits for its end"),
    ],
)
def test_a_task_goes_on_from_one_of_its_model_that_has_ended_without_success(
    found: Any, reason: str | None, said: str
) -> None:
    problem = earlier_problem(task(), found)
    assert (problem.reason if problem else None) == reason
    assert said in (problem.message if problem else "")


def test_the_trials_of_a_task_that_never_trained_are_where_it_was_to_go_on_from() -> None:
    own, before = EarlierRun(task="a", uid="u1"), EarlierRun(task="z", uid="u0")
    assert runs_of(earlier()) == [own]
    assert runs_of(earlier(resumedFrom=before.wire())) == [own, before]


def plan_of_earlier(**changes: Any) -> Plan:
    status = FineTuningTaskStatus(batch_id="monday", start_version=START, live_version=START)
    made = check_plan(task(), status, MODEL, METHOD)
    return Plan.model_validate({**made.wire(), "kind": "Train", **changes})


SEVERAL = {"learn": ["monday", "sunday"], "replay": ["may"], "replayShare": 0.3, "halfLife": "30d"}
AS_ASKED = {"last": 2, "replay": 0.3, "halfLife": "30d"}


@pytest.mark.parametrize(
    ("spec", "plan", "said"),
    [
        ({}, {}, None),
        ({"batchId": "monday", "startFrom": START}, {}, None),
        ({"batchId": "tuesday"}, {}, 'batchId was "monday" and is now "tuesday"'),
        ({"startFrom": OTHER}, {}, f'startVersion was "{START}" and is now "{OTHER}"'),
        ({"overrides": {"settings": {"numEpochs": 9}}}, {}, "method.settings.numEpochs was"),
        ({"batches": {"last": 2}}, {}, "it had one batch, and spec.batches is set"),
        ({}, {"batches": SEVERAL}, "it had 2 batches, and spec.batches is absent"),
        ({"batches": AS_ASKED}, {"batches": SEVERAL}, None),
        ({"batches": {**AS_ASKED, "last": 9}}, {"batches": SEVERAL}, None),  # which they are was chosen then
        ({"batches": {**AS_ASKED, "halfLife": "1d"}}, {"batches": SEVERAL}, "batches.halfLife was 30d and is now 1d"),
        ({"batches": {"last": 2, "halfLife": "30d"}}, {"batches": SEVERAL}, "batches.replay was 0.3 and is now absent"),
    ],
)
def test_its_trials_are_this_tasks_only_if_the_plan_is_the_same(
    spec: dict[str, Any], plan: dict[str, Any], said: str | None
) -> None:
    made = task(**spec)
    problem = plan_problem(made, FineTuningTaskStatus(), MODEL, METHOD, plan_of_earlier(**plan))
    if said is None:
        assert problem is None
    else:
        assert problem is not None
        assert problem.reason == "ResumeRefused"
        assert said in problem.message


def test_batch_and_start_version_are_taken_from_the_earlier_run() -> None:
    found = chosen_as_before(task(), FineTuningTaskStatus(), plan_of_earlier(batches=SEVERAL))
    assert (found.batch_id, found.start_version) == ("monday", START)
    assert found.batches is not None
    assert found.batches.learn == ["monday", "sunday"]
