"""Which rollout should begin now, if any, and whether one that is under way may go on."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from bluetune_api.base import Metrics
from bluetune_api.model import CurrentVersion, EmbeddingModelStatus, Rollout, Serving
from bluetune_api.promote import Promote, PromoteStatus
from bluetune_operator.core.kinds import condition, condition_status, is_deleting, name_of, uid_of
from bluetune_operator.core.rollout.moves import Failure
from bluetune_operator.core.rollout.record import index_asked
from bluetune_operator.core.times import seconds_since, stamp
from bluetune_operator.core.unreadable_status import says_unreadable

Task = Mapping[str, Any]

HISTORY = 10
PIN_TRIES = 5
"""How often a version that rollbackTo names is tried: each try may put pods into service that do not serve it well.
The base and the current version are retried without an end: there is no alternative to them."""
FIRST_RETRY_SECONDS, LAST_RETRY_SECONDS = 30, 1800
FIGHT_SECONDS = 2.0 * LAST_RETRY_SECONDS
"""If the Deployment loses the current version within this time after it was told anew, somebody takes it out again and
again: it is told with exponential backoff, as after a failure."""
ACTIVE = ("Reindex", "Load", "Patch", "Wait", "Verify", "Promote", "RollingBack")


@dataclass(frozen=True)
class Target:
    """A version that exists, as it would be rolled out."""

    version: str
    digest: str
    task: str | None = None
    task_uid: str | None = None
    metrics: Metrics | None = None


@dataclass(frozen=True)
class Situation:
    """All that the choice depends on."""

    status: EmbeddingModelStatus
    serving: Serving
    generation: int
    """The model's."""
    now: datetime
    base: Target
    request: Target | None = None
    """What the task that holds the lock asks for."""
    pinned: Target | None = None
    """What rollbackTo names, once its manifest was read."""
    promote: Target | None = None
    """What `spec.serving.promote` asks for, if that is to be carried out now."""
    drifted: bool = False
    """Whether the Deployment exists and does not tell its pods to serve the current version."""


@dataclass(frozen=True)
class Choice:
    """A rollout to begin now (`rollout`), or the time to look again because of a failed one."""

    rollout: Rollout | None = None
    retry_after: float | None = None


def active(rollout: Rollout | None) -> bool:
    """Whether a rollout is under way."""
    return rollout is not None and rollout.step in ACTIVE


def choose(s: Situation) -> Choice:
    """The rollout to begin when none is under way. The caller has made sure that its Deployment can be patched.

    In this order: what rollbackTo pins; the base, while nothing is current; what a person promotes; what the holder of
    the lock asks for; the current version again, if the Deployment lost it or did not come up with it.
    """
    current, last = s.status.current.version if s.status.current else None, s.status.rollout
    if s.serving.rollback_to is not None:
        if s.pinned is not None and current != s.pinned.version and not given_up(last, s.pinned.version, s.generation):
            return _begin(s, s.pinned)
    elif s.promote is not None:
        return _begin(s, s.promote)
    elif s.request is not None and current != s.request.version and not _tried(last, s.request):
        return _begin(s, s.request)
    if s.status.current is None:
        return _begin(s, s.base) if s.serving.rollback_to is None else Choice()
    again = last is not None and last.step == "Failed" and last.to == current
    if s.drifted or again:
        return _begin(s, Target(s.status.current.version, s.status.current.digest))
    return Choice()


def given_up(last: Rollout | None, version: str, generation: int) -> bool:
    """Whether a version has failed so often that it waits for a change of the model."""
    return (
        last is not None
        and (last.step, last.to, last.generation) == ("Failed", version, generation)
        and (last.attempt or 1) >= PIN_TRIES
    )


def _tried(last: Rollout | None, request: Target) -> bool:
    """Whether the task had its rollout: it gets one only."""
    return last is not None and last.task_uid == request.task_uid


def request_of(tasks: Iterable[Task], holder_uid: str | None) -> Target | None:
    """What the task that holds the lock asks for in its status, if it does."""
    for task in tasks:
        if uid_of(task) == holder_uid and asks(task) and not says_unreadable(task):
            status = task["status"]
            version, digest = status.get("bestModelId"), status.get("digest")
            if not version or not digest:
                return None
            metrics = (status.get("metrics") or {}).get("candidate")
            return Target(version, digest, name_of(task), uid_of(task), metrics)
    return None


def compared_with_another(task: Task, current: CurrentVersion | None) -> bool:
    """Whether blue serves another version than the one that the task's gate compared with: so it may not go there."""
    compared: str | None = (task.get("status") or {}).get("liveVersion")
    return compared != (current.version if current is not None else None)


def asks(task: Task) -> bool:
    """Whether a task waits for its rollout."""
    spec = task["spec"]
    if is_deleting(task) or not spec.get("deployAsBlue") or spec.get("cancel"):
        return False
    return condition_status(task, "Published") == "True" and _promotion(task) == ("Unknown", "RolloutRequested")


def _promotion(task: Task) -> tuple[str, str] | None:
    said = condition(task, "Promoted")
    return None if said is None else (str(said["status"]), str(said["reason"]))


def unread(rollout: Rollout | None, tasks: Iterable[Task]) -> bool:
    """Whether a rollout ended and its task has not yet taken note: its record must not be replaced before."""
    return (
        rollout is not None
        and not active(rollout)
        and rollout.task_uid is not None
        and any(uid_of(t) == rollout.task_uid and asks(t) for t in tasks)
    )


def is_about(record: PromoteStatus, promote: Promote | None) -> bool:
    """Whether what was recorded is about what is asked for, by its value."""
    return promote is not None and (record.version, record.replaces) == (promote.version, promote.replaces)


def lost_right(
    rollout: Rollout,
    tasks: Iterable[Task],
    holder_uid: str | None,
    serving: Serving | None,
    promote: PromoteStatus | None = None,
) -> Failure | None:
    """Why a rollout under way must not go on, if so; `promote` is what is recorded of spec.serving.promote."""
    pinned = serving.rollback_to if serving else None
    if pinned is not None and rollout.to != pinned:
        return Failure("Pinned", f"serving.rollbackTo={pinned} was set during the rollout")
    if rollout.task_uid is None:
        return _withdrawn(rollout, promote, serving)
    task = next((t for t in tasks if uid_of(t) == rollout.task_uid), None)
    if task is None or is_deleting(task):
        return Failure("TaskDeleted", f"task {rollout.task} was deleted during the rollout")
    if task["spec"].get("cancel"):
        return Failure("TaskCancelled", f"task {rollout.task} was cancelled during the rollout")
    if holder_uid != rollout.task_uid:
        return Failure("LockLost", f"task {rollout.task} no longer holds the model's lock")
    return None


def _withdrawn(rollout: Rollout, record: PromoteStatus | None, serving: Serving | None) -> Failure | None:
    if record is None or (record.outcome, record.version) != ("Started", rollout.to):
        return None
    if serving is None or is_about(record, serving.promote):
        return None
    return Failure("PromoteWithdrawn", "spec.serving.promote was removed or changed during the rollout")


def promoted(
    status: EmbeddingModelStatus, rollout: Rollout, uri: str, now: datetime
) -> tuple[CurrentVersion, list[CurrentVersion]]:
    """`current` and `history` after the rollout; no new history when the same version was rolled out again."""
    before, history = status.current, list(status.history or ())
    if before is not None and before.version == rollout.to:
        return before, history
    if before is not None:
        history.insert(0, before)
    same = next((h for h in history if h.version == rollout.to), None)
    current = CurrentVersion(
        version=rollout.to,
        uri=uri,
        digest=rollout.digest,
        task=rollout.task or (same.task if same else None),
        promoted_at=stamp(now),
        metrics=rollout.metrics or (same.metrics if same else None),
    )
    return current, history[:HISTORY]


def retry_delay(attempt: int) -> float:
    """Seconds between a failed rollout and the next try of the same version, after that many tries in a row."""
    return float(min(FIRST_RETRY_SECONDS * 2 ** (attempt - 1), LAST_RETRY_SECONDS))


def _told_anew(last: Rollout, now: datetime) -> bool:
    """Whether the last rollout brought the current version back into the Deployment, not long ago."""
    return last.step == "Done" and last.source == last.to and seconds_since(last.step_started_at, now) < FIGHT_SECONDS


def _first_step(s: Situation, *, again: bool) -> Literal["Reindex", "Patch"]:
    """Where a rollout begins. bluetune's own index is looked at each time: it may have been declared, or its target
    changed, since the version became current, and costs little where it is there."""
    if s.serving.index is not None:
        return "Reindex"
    return "Patch" if again or s.serving.reindex is None else "Reindex"


def _begin(s: Situation, target: Target) -> Choice:
    last, attempt = s.status.rollout, 1
    same = last is not None and last.to == target.version and last.task_uid == target.task_uid
    if last is not None and same and (last.step == "Failed" or _told_anew(last, s.now)):
        attempt = (last.attempt or 1) + 1
        wait = retry_delay(attempt - 1) - seconds_since(last.step_started_at, s.now)
        if wait > 0 and last.generation == s.generation:
            return Choice(retry_after=wait)
    current = s.status.current.version if s.status.current else None
    again = current == target.version and last is not None  # without any rollout before, there is no index yet
    source: dict[str, Any] = {"from": current}  # a word of Python's
    first = _first_step(s, again=again)
    return Choice(
        Rollout(
            **source,
            to=target.version,
            digest=target.digest,
            task_uid=target.task_uid,
            task=target.task,
            step=first,
            index=index_asked(s.serving) if first == "Patch" else None,
            started_at=stamp(s.now),
            step_started_at=stamp(s.now),
            message="the Deployment no longer serves the current version" if again else None,
            metrics=target.metrics,
            attempt=attempt,
            generation=s.generation,
        )
    )
