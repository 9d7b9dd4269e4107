"""When a cancelled task is over, and what it says then."""

from datetime import UTC, datetime
from typing import Any

import pytest

from bluetune_api.model import EmbeddingModelStatus
from bluetune_api.records import Trial
from bluetune_api.task import TrialSummary
from bluetune_operator.core.tasks.cancel import best_trial, cancel_message, cancel_verdict

NOW = datetime(2026, 1, 1, 0, 5, tzinfo=UTC)
OLD, NEW, DIGEST, TIME = "v000000000001", "v000000000002", "sha256:" + "0" * 64, "2026-01-01T00:00:00Z"


def pod(phase: str = "Running", ends: str | None = None) -> dict[str, Any]:
    return {"metadata": {"name": "p", **({"deletionTimestamp": ends} if ends else {})}, "status": {"phase": phase}}


def model(current: str = OLD, step: str | None = None, uid: str = "u") -> EmbeddingModelStatus:
    serves = {"version": current, "uri": "s3://b/v", "digest": DIGEST, "promotedAt": TIME}
    rollout = {"from": OLD, "to": NEW, "digest": DIGEST, "taskUid": uid, "step": step}
    times = {"startedAt": TIME, "stepStartedAt": TIME}
    return EmbeddingModelStatus.model_validate(
        {"current": serves} | ({"rollout": rollout | times} if step else {}),
    )


@pytest.mark.parametrize(
    ("asked", "status", "pods", "expected"),
    [
        pytest.param(False, None, [], "End", id="it never had a pod"),
        pytest.param(False, None, [pod()], "Stopping", id="its pod runs"),
        pytest.param(False, None, [pod(ends="2026-01-01T00:06:00Z")], "Stopping", id="its pod has its grace period"),
        pytest.param(False, None, [pod(ends="2026-01-01T00:04:30Z")], "Stopping", id="its pod is a little late"),
        pytest.param(False, None, [pod(ends="2026-01-01T00:03:00Z")], "End", id="its pod's node does not answer"),
        pytest.param(False, None, [pod("Failed"), pod("Succeeded")], "End", id="its pods have ended"),
        pytest.param(False, model(NEW), [], "End", id="somebody else promoted what it did not ask for"),
        pytest.param(True, model(NEW, "Done"), [], "TooLate", id="it was promoted a moment ago"),
        pytest.param(True, model(OLD, "Wait"), [], "GoingBack", id="its rollout is under way"),
        pytest.param(True, model(OLD, "Promote"), [], "GoingBack", id="its rollout may be promoted at any moment"),
        pytest.param(True, model(OLD, "RollingBack"), [], "GoingBack", id="its rollout goes back"),
        pytest.param(True, model(OLD, "Failed"), [], "End", id="its rollout went back"),
        pytest.param(True, model(OLD, "Wait", "other"), [], "End", id="another's rollout is under way"),
        pytest.param(True, model(OLD), [], "End", id="no rollout began"),
        pytest.param(True, None, [], "End", id="the model is gone"),
    ],
)
def test_verdicts(asked: bool, status: EmbeddingModelStatus | None, pods: list[Any], expected: str) -> None:
    assert cancel_verdict(task_uid="u", asked=asked, version=NEW, model=status, pods=pods, now=NOW) == expected


def test_the_best_trial_is_complete_of_the_highest_quality_and_of_equal_ones_the_first() -> None:
    def trial(number: int, quality: float | None, *, pruned: bool = False) -> Trial:
        status = "ok" if quality is not None else "fail"
        return Trial(trial=number, status=status, params={"lr": number}, quality=quality, pruned=pruned)

    pruned = trial(4, 0.8, pruned=True)
    found = best_trial([trial(0, None), trial(3, 0.5), trial(2, 0.7), trial(1, 0.7), trial(-1, 0.9), pruned])
    assert found == TrialSummary(trial=1, quality=0.7, params={"lr": 1})
    assert best_trial([trial(0, None)]) is None
    assert best_trial([pruned]) == TrialSummary(trial=4, quality=0.8, params={"lr": 4})


@pytest.mark.parametrize(
    ("trained", "best", "kept_at", "part"),
    [
        (False, None, None, "before the training began"),
        (True, None, "s3://b/m/runs/u/best/", "no trial had finished"),
        (True, None, None, "did not answer"),
        (
            True,
            TrialSummary(trial=3, quality=0.61234),
            "s3://b/m/runs/u/best/3/",
            "best finished trial (3, quality 0.6123) is kept at s3://b/m/runs/u/best/3/ and is not promoted",
        ),
    ],
)
def test_what_is_kept_is_said(trained: bool, best: TrialSummary | None, kept_at: str | None, part: str) -> None:
    assert part in cancel_message(trained=trained, best=best, kept_at=kept_at)
