"""How long a task that holds the lock has waited for a pod, and whether that is too long."""

from dataclasses import dataclass
from datetime import datetime

from bluetune_api.reasons import Reason
from bluetune_operator.core.times import seconds_since, stamp

NO_POD: frozenset[Reason] = frozenset(
    {
        "Starting",
        "Queued",
        "SuspendedByOthers",
        "JobRefused",
        "NameTaken",
        "PodRefused",
        "Unschedulable",
        "ImagePullBackOff",
        "ErrImageNeverPull",
        "InvalidImageName",
        "CreateContainerConfigError",
        "CreateContainerError",
        "RunContainerError",
        "ContainerCreating",
    }
)
"""Reasons of a task at work whose trainer does not run, because nobody gives it a pod, or the pod cannot start.

A task that its user has suspended is not among them, nor one that waits for its store. A pod that does not end is none
either: while it may still run, the end of its task would not free the lock.
"""


@dataclass(frozen=True)
class Pending:
    """The wait for a pod."""

    since: str | None
    """When it began, for the status; None while a pod runs, or none is wanted."""
    left: float | None = None
    """Seconds until it is too long; 0: it is. None: it never is."""


def pending(reason: Reason, since: str | None, limit: int | None, now: datetime) -> Pending:
    """Judge the wait.

    Args:
        reason: what the task is doing.
        since: when the wait began, from the status.
        limit: `spec.pendingTimeoutSeconds`.
        now: the time.
    """
    if reason not in NO_POD:
        return Pending(None)
    since = since or stamp(now)
    if limit is None:
        return Pending(since)
    return Pending(since, max(0.0, limit - seconds_since(since, now)))


def timeout_message(limit: int | None, doing: str) -> str:
    """What to say of a wait that was too long; `doing` is what was said while it lasted."""
    return (
        f"no pod could run for {limit} s (spec.pendingTimeoutSeconds), so the model's lock is given back. At the end:"
        f" {doing or 'nothing was said'}"
    )
