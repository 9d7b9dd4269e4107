"""A task's next status: what the steps of a reconcile say goes into a draft, which is written once, if it differs."""

from datetime import datetime
from typing import Any, Final

from bluetune_api.base import Condition
from bluetune_api.reasons import ConditionType, Phase, Reason, known_reason
from bluetune_api.task import FineTuningTask, FineTuningTaskStatus
from bluetune_operator.core.conditions import Status, condition, find, is_true, merge, one_line
from bluetune_operator.core.event_level import Level, event_level
from bluetune_operator.core.tasks.progress import without_time_left
from bluetune_operator.core.times import stamp
from bluetune_operator.core.unreadable_status import UNREADABLE

SUCCEEDED: Final = "Succeeded"
FAILED: Final = "Failed"


class Draft:
    """The status to be. Nothing here does I/O; `now` and the generation are stamped on every condition."""

    def __init__(self, task: FineTuningTask, now: datetime) -> None:
        self._generation = task.metadata.generation
        self._now = now
        self.old = task.status or FineTuningTaskStatus()
        self.status = self.old.model_copy()
        self._why: tuple[Reason, str] | None = None
        self._stalled = False

    @property
    def now(self) -> datetime:
        """When this reconcile began."""
        return self._now

    @property
    def doing(self) -> tuple[Reason, str] | None:
        """Reason and message of what is happening, if this reconcile has said so."""
        return self._why

    @property
    def ended(self) -> bool:
        """Whether the task has its terminal condition, old or new."""
        return is_true(self.status.conditions, SUCCEEDED) or is_true(self.status.conditions, FAILED)

    def set(self, **fields: Any) -> None:
        """Set fields of the status."""
        self.status = self.status.model_copy(update=fields)

    def say(self, kind: ConditionType, status: bool | Status, reason: Reason, message: str = "") -> None:
        """Set a condition."""
        fresh = condition(kind, status, reason, message, generation=self._generation, now=self._now)
        self.set(conditions=merge(self.status.conditions, [fresh]))

    def holds(self, kind: str) -> bool:
        """Whether a condition is True."""
        return is_true(self.status.conditions, kind)

    def reason_of(self, kind: str) -> str | None:
        """Reason of a condition, or None if it was never set."""
        found = find(self.status.conditions, kind)
        return found.reason if found else None

    def now_doing(self, phase: Phase, reason: Reason, message: str, *, stalled: bool = False) -> None:
        """What is happening; `stalled` is for what a person has to mend."""
        self.set(phase=phase)
        self._why = (reason, message)
        self._stalled = stalled

    def succeed(self, reason: Reason, message: str) -> None:
        """End well."""
        self.say(SUCCEEDED, True, reason, message)
        self._end("Succeeded", reason, message)

    def fail(self, reason: Reason, message: str, *, phase: Phase = "Failed") -> None:
        """End badly, or as Refused or Cancelled."""
        self.say(FAILED, True, reason, message)
        self._end(phase, reason, message)

    def _end(self, phase: Phase, reason: Reason, message: str) -> None:
        self.set(phase=phase, queue=None, pending_since=None, completion_time=stamp(self._now))
        if self.status.progress is not None:
            self.set(progress=without_time_left(self.status.progress))
        if find(self.status.conditions, "LockAcquired") is not None:
            self.say("LockAcquired", False, "Ended", "the lock is released when no pod of the task is left")
        self._why = (reason, message)

    def finished(self) -> FineTuningTaskStatus:
        """The status with what follows from the rest: Ready, Reconciling, Stalled, message, observedGeneration.

        A task that had ended before this reconcile stays as it was; only that an edit of it was seen is noted, or
        readers of kstatus would wait without an end.
        """
        if is_true(self.old.conditions, SUCCEEDED) or is_true(self.old.conditions, FAILED):
            self.status = self.old.model_copy(update={"observed_generation": self._generation})
            return self.status
        if self.holds(UNREADABLE):
            self.say(UNREADABLE, False, "StatusReadable")
        reason, message = self._why or self._as_before()
        ready, failed = self.holds(SUCCEEDED), self.holds(FAILED)
        stalled = failed or self._stalled
        moving = not ready and not stalled
        self.say("Ready", ready, reason, message)
        self.say("Reconciling", moving, reason if moving else "Settled", message if moving else "")
        self.say("Stalled", stalled, reason if stalled else "NotStalled", message if stalled else "")
        self.set(message=one_line(message), observed_generation=self._generation)
        return self.status

    def _as_before(self) -> tuple[Reason, str]:
        """A reconcile that only has to come again soon says nothing new."""
        ready = find(self.old.conditions, "Ready")
        self._stalled = is_true(self.old.conditions, "Stalled")
        return (known_reason(ready.reason) or "Pending", ready.message) if ready is not None else ("Pending", "")

    def news(self) -> list[tuple[Level, str, str]]:
        """(level, reason, message) of what changed that a person should hear of, after the write."""
        told: list[tuple[Level, str, str]] = []
        ready, plan = find(self.status.conditions, "Ready"), self._changed("PlanCurrent")
        # a pod that failed is told of before its Job fails, for the same reason: the end is news all the same
        worse = self._became_true(FAILED) or self._became_true("Stalled")
        if ready is not None and (worse or self._changed("Ready")):
            level = event_level(ready.reason, stalled=is_true(self.status.conditions, "Stalled"))
            told.append((level, ready.reason, ready.message or ready.reason))
        if plan is not None and plan.status == "False":
            told.append(("Normal", plan.reason, plan.message))
        return told

    def _became_true(self, kind: str) -> bool:
        return is_true(self.status.conditions, kind) and not is_true(self.old.conditions, kind)

    def _changed(self, kind: str) -> Condition | None:
        """A condition whose status or reason is another than before."""
        before, after = find(self.old.conditions, kind), find(self.status.conditions, kind)
        if after is None or (before is not None and (before.status, before.reason) == (after.status, after.reason)):
            return None
        return after
