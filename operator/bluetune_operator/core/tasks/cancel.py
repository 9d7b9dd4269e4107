"""Cancel: when the work of a cancelled task is over, and what is said then."""

from collections.abc import Iterable
from datetime import datetime
from typing import Literal

from bluetune_api.model import EmbeddingModelStatus
from bluetune_api.records import Trial
from bluetune_api.task import TrialSummary
from bluetune_operator.core.jobs.state import stuck_pod
from bluetune_operator.core.jobs.workloads import is_active_pod
from bluetune_operator.core.kinds import Object
from bluetune_operator.core.rollout.choice import active

CancelVerdict = Literal["TooLate", "GoingBack", "Stopping", "End"]
"""TooLate: blue serves the version already. GoingBack: its rollout is being undone. Stopping: pods save what they have.
End: nothing of the task moves any more."""


def cancel_verdict(
    *,
    task_uid: str,
    asked: bool,
    version: str | None,
    model: EmbeddingModelStatus | None,
    pods: Iterable[Object],
    now: datetime,
) -> CancelVerdict:
    """Decide whether a cancelled task has come to its end.

    Args:
        task_uid: of the task.
        asked: whether it asked for its rollout.
        version: what it published, if it did.
        model: the model's status, read live if `asked`; None if the model is gone.
        pods: the task's.
        now: the time.
    """
    if asked and model is not None:
        if model.current is not None and model.current.version == version:
            return "TooLate"
        if model.rollout is not None and model.rollout.task_uid == task_uid and active(model.rollout):
            return "GoingBack"
    return "Stopping" if any(_stops(pod, now) for pod in pods) else "End"


def _stops(pod: Object, now: datetime) -> bool:
    return is_active_pod(pod) and stuck_pod(pod, now) is None  # a node that does not answer is not waited for


def best_trial(trials: Iterable[Trial]) -> TrialSummary | None:
    """The best of those that have a quality: the one whose model the trainer keeps."""
    best = min((trial for trial in trials if trial.trial >= 0), key=Trial.rank, default=None)
    if best is None or best.quality is None:
        return None
    return TrialSummary(trial=best.trial, quality=best.quality, params=best.params)


def cancel_message(*, trained: bool, best: TrialSummary | None, kept_at: str | None) -> str:
    """What a cancelled task says.

    Args:
        trained: whether its training had begun.
        best: the best trial that finished.
        kept_at: where its model is; None if the store did not say.
    """
    if not trained:
        return "cancelled by spec.cancel before the training began"
    if kept_at is None:
        return "cancelled by spec.cancel; what its finished trials gave is kept in the store, which did not answer"
    if best is None:
        return "cancelled by spec.cancel; no trial had finished"
    return (
        f"cancelled by spec.cancel; the best finished trial ({best.trial}, quality {best.quality:.4f}) is kept at"
        f" {kept_at} and is not promoted"
    )
