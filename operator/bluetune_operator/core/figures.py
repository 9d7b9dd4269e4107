"""What metrics tell of a task, a rollout and a lock."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from bluetune_api.model import EmbeddingModelStatus
from bluetune_operator.core.kinds import Object, condition
from bluetune_operator.core.lock.rules import has_ended, says_it_holds
from bluetune_operator.core.times import moment_of

GATE_VERDICTS = frozenset(
    {"GatePassed", "GateNotPassed", "GateUndecided", "GateGuarded", "GateNotMeasured", "GateStale"}
)
"""What the gate makes of a version, as the reason of a task's `Promoted` says it."""


@dataclass(frozen=True)
class TaskFigures:
    """What a write of a task's status brought."""

    queue_seconds: float | None = None
    """The task took the lock so long after its creation."""
    run_seconds: float | None = None
    """The task ended so long after it took the lock."""
    ended: str | None = None
    """The task ended in this phase."""
    verdict: str | None = None
    """The gate came to this verdict: one of `GATE_VERDICTS`."""


def task_figures(before: Object, after: Object) -> TaskFigures:
    """Compare a task before and after a write of its status."""
    old, new = before.get("status") or {}, after.get("status") or {}
    started, ends = new.get("startTime"), has_ended(after) and not has_ended(before)
    created = after["metadata"].get("creationTimestamp")
    return TaskFigures(
        queue_seconds=_between(created, started) if not old.get("startTime") else None,
        run_seconds=_between(started, new.get("completionTime")) if ends else None,
        ended=new.get("phase") if ends else None,
        verdict=_verdict(before, after),
    )


def _between(begin: str | None, end: str | None) -> float | None:
    if begin is None or end is None:
        return None
    return max(0.0, (moment_of(end) - moment_of(begin)).total_seconds())


def _verdict(before: Object, after: Object) -> str | None:
    if (after.get("status") or {}).get("duplicateOf"):
        return None  # the verdict is that of another task, which counted it
    said, fresh = condition(before, "Promoted"), condition(after, "Promoted")
    if fresh is None or (said is not None and said["reason"] == fresh["reason"]):
        return None
    word = "GatePassed" if fresh["reason"] == "RolloutRequested" else fresh["reason"]
    return word if word in GATE_VERDICTS else None


@dataclass(frozen=True)
class RolloutEnd:
    """How a rollout ended."""

    outcome: Literal["Done", "Failed"]
    reason: str
    """`RolledOut`, or why it failed."""


def rollout_end(old: EmbeddingModelStatus, new: EmbeddingModelStatus) -> RolloutEnd | None:
    """The end of a rollout that a write of a model's status brought, or None."""
    before, after = old.rollout, new.rollout
    if after is None or (after.step != "Done" and after.step != "Failed"):
        return None
    if before is not None and (before.started_at, before.step) == (after.started_at, after.step):
        return None
    return RolloutEnd(after.step, "RolledOut" if after.step == "Done" else after.reason or "RolloutFailed")


def lock_progress(task: Mapping[str, Any]) -> float | None:
    """When the task that holds its model's lock last moved, in Unix seconds: a condition changed, or progress came.

    None if the task does not hold the lock, or is being rolled out: a rollout has timeouts of its own.
    """
    status = task.get("status") or {}
    if not says_it_holds(task) or status.get("phase") == "Deploying":
        return None
    moments = [each.get("lastTransitionTime") for each in status.get("conditions") or ()]
    moments += [status.get("startTime"), (status.get("progress") or {}).get("updatedAt")]
    return max((moment_of(each).timestamp() for each in moments if each), default=None)
