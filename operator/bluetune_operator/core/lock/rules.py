"""Who may hold a model: the queue's order, what frees a lock, and when a lock cannot be trusted.

A Lease per model says who holds it. It never runs out by time: only the end of the holder's work frees it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from bluetune_operator.core.jobs.workloads import is_active_pod, is_finished_job
from bluetune_operator.core.kinds import (
    BLUETUNE,
    LEASES,
    MANAGED_BY,
    MODEL_LABEL,
    TASK_SEEN,
    TASK_UID_LABEL,
    Object,
    condition,
    condition_status,
    is_deleting,
    labels_of,
    lease_name,
    name_of,
    namespace_of,
    owner_reference,
    uid_of,
)
from bluetune_operator.core.unreadable_status import says_unreadable

LETS_PASS = frozenset(
    {
        "MethodNotFound",
        "MethodInvalid",
        "SpecInvalid",
        "BatchNotFound",
        "VersionNotFound",
        "ResumeRefused",
        "ResumeWaiting",
        "Duplicate",
    }
)
"""Reasons of Accepted=False that are the task's own trouble; what is wrong with the model or its store stops all."""


EXACT_POSITIONS = 10
"""Number of tasks near the head of a queue that are told each change of their place. Behind them places are told in
steps: a write for each task at each change would be a square of their number."""


def shown_position(position: int) -> int:
    """A place in the queue as the status has it: exact up to ten, then up to the next ten, then the next hundred."""
    step = 1 if position <= EXACT_POSITIONS else 10 if position <= 100 else 100
    return -(-position // step) * step


@dataclass(frozen=True)
class Holder:
    """A task that holds a lock. The uid counts: a name can come back."""

    name: str
    uid: str

    def identity(self) -> str:
        """The holder in the form of the Lease's holderIdentity."""
        return f"{self.name}/{self.uid}"


def holder_of(lease: Mapping[str, Any] | None) -> Holder | None:
    """Who holds the Lease; None if nobody does. Raises ValueError for a holder that bluetune did not write."""
    identity = ((lease or {}).get("spec") or {}).get("holderIdentity") or ""
    if not identity:
        return None
    name, separator, uid = identity.partition("/")
    if not separator or not name or not uid:
        raise ValueError(f"holderIdentity {identity!r} is not <task>/<uid>")
    return Holder(name, uid)


def is_held(lease: Mapping[str, Any]) -> bool:
    """Whether anybody holds a Lease."""
    return bool((lease.get("spec") or {}).get("holderIdentity"))


def holder_for(task: Mapping[str, Any]) -> Holder:
    """The holder that a task would be."""
    return Holder(name_of(task), uid_of(task))


def held_lease(model: Object, task: Object | None, now: str, lease: Object | None = None) -> Object:
    """The Lease that `task` (None: nobody) holds: to create, or to replace `lease` with.

    Its resourceVersion is kept, as the compare-and-swap. The task's is written down: see `taken_as_it_is`.
    """
    holder = holder_for(task) if task else None
    seen = {TASK_SEEN: task["metadata"]["resourceVersion"] if task else ""}
    spec: Object = dict((lease or {}).get("spec") or {})
    spec["holderIdentity"] = holder.identity() if holder else ""
    if holder:
        spec["acquireTime"] = spec["renewTime"] = now
        spec["leaseTransitions"] = int(spec.get("leaseTransitions") or 0) + 1
    if lease is not None:
        metadata = lease["metadata"]
        annotations = {**(metadata.get("annotations") or {}), **seen}
        return {**lease, "metadata": {**metadata, "annotations": annotations}, "spec": spec}
    return {
        "apiVersion": LEASES.api_version,
        "kind": LEASES.name,
        "metadata": {
            "name": lease_name(name_of(model)),
            "namespace": namespace_of(model),
            "labels": {MANAGED_BY: BLUETUNE, MODEL_LABEL: name_of(model)},
            "annotations": seen,
            "ownerReferences": [owner_reference(model)],
        },
        "spec": spec,
    }


def taken_as_it_is(lease: Object | None, task: Object) -> bool:
    """Whether the Lease was written for a task that has not changed since.

    To free a Lease, an operator reads the Lease, then its task, then replaces the Lease by its resourceVersion. While
    the task has the resourceVersion that the Lease records, no operator can have read this Lease and then found a task
    without a right to it. Otherwise the Lease must be written again: its new resourceVersion makes the compare-and-swap
    of an operator that read the old one fail.
    """
    annotations = ((lease or {}).get("metadata") or {}).get("annotations") or {}
    return bool(annotations.get(TASK_SEEN) == task["metadata"]["resourceVersion"])


def queue_order(task: Mapping[str, Any]) -> tuple[int, str, str]:
    """Priority descending, then creation time, then uid: a total order that needs nothing else."""
    return (
        -int(task["spec"].get("priority") or 0),
        str(task["metadata"].get("creationTimestamp") or ""),
        uid_of(task),
    )


def waits(task: Mapping[str, Any]) -> bool:
    """Whether a task stands in its model's queue: accepted, and not ended, suspended, cancelled or deleted.

    One whose status cannot be read would never take the lock, so it lets the others pass.
    """
    spec = task["spec"]
    if is_deleting(task) or has_ended(task) or spec.get("suspend") or spec.get("cancel"):
        return False
    return not _refers_to_nothing(task) and not says_unreadable(task)


def _refers_to_nothing(task: Mapping[str, Any]) -> bool:
    """A task whose own references were found broken lets the others pass until they are mended."""
    accepted = condition(task, "Accepted")
    return accepted is not None and accepted["status"] == "False" and accepted["reason"] in LETS_PASS


def queue(tasks: Iterable[Object], holder: Holder | None) -> list[Object]:
    """The tasks that wait for the lock, next first."""
    return sorted((t for t in tasks if waits(t) and (holder is None or uid_of(t) != holder.uid)), key=queue_order)


def unfinished_work(jobs: Iterable[Object], pods: Iterable[Object]) -> list[tuple[str, str, str]]:
    """(kind, name, task uid) of Jobs that are not finished and pods that are not gone, of any task."""
    found = [
        ("Job", name_of(j), labels_of(j)[TASK_UID_LABEL])
        for j in jobs
        if TASK_UID_LABEL in labels_of(j) and not is_finished_job(j)
    ]
    found += [
        ("Pod", name_of(p), labels_of(p)[TASK_UID_LABEL])
        for p in pods
        if TASK_UID_LABEL in labels_of(p) and is_active_pod(p)
    ]
    return found


def has_ended(task: Mapping[str, Any]) -> bool:
    """Whether a task has its terminal condition, which never changes."""
    return condition_status(task, "Succeeded") == "True" or condition_status(task, "Failed") == "True"


def says_it_holds(task: Mapping[str, Any]) -> bool:
    """Whether a task's status says that it took the lock and has not ended."""
    return condition_status(task, "LockAcquired") == "True" and not has_ended(task)


@dataclass(frozen=True)
class Ours:
    """The task holds the lock already."""


@dataclass(frozen=True)
class Take:
    """The task may take the lock: replace the Lease (or create it) with its resourceVersion as read."""


@dataclass(frozen=True)
class Wait:
    """Another task goes first."""

    position: int
    blocked_by: str | None
    message: str


@dataclass(frozen=True)
class Inconsistent:
    """Lease and tasks disagree: nothing is started until a person has looked."""

    message: str


Verdict = Ours | Take | Wait | Inconsistent


def may_take(
    task: Object, lease: Object | None, tasks: Iterable[Object], work: Iterable[tuple[str, str, str]]
) -> Verdict:
    """Decide whether `task` may take its model's lock.

    Args:
        task: the one that asks; it is in the queue.
        lease: the model's Lease, read live; None if there is none.
        tasks: all tasks of the model.
        work: `unfinished_work` of live lists.
    """
    tasks, work = list(tasks), list(work)
    name = lease_name(task["spec"]["modelRef"]["name"])
    try:
        holder = holder_of(lease)
    except ValueError as error:
        return Inconsistent(f"Lease {name!r}: {error}; if no Job of the model runs, delete the Lease")
    others = [(kind, child) for kind, child, uid in work if uid != uid_of(task)]
    if holder and holder.uid == uid_of(task):
        if not others:
            return Ours()
        kind, child = others[0]
        return Inconsistent(
            f"Lease {name!r} names this task, but {kind} {child!r} of another runs; this one begins when that has ended"
        )
    waiting = [other for other in queue(tasks, holder) if uid_of(other) != uid_of(task)]
    # counted, not looked up: until its status says so, one that enters the queue is not in it
    position = 1 + sum(queue_order(other) < queue_order(task) for other in waiting)
    if holder is not None:  # also one that is gone: `may_free` decides about that
        return Wait(position, holder.name, f"task {holder.name!r} holds the model")
    if others:
        kind, child = others[0]
        return Wait(position, None, f"{kind} {child!r} of another task has not ended yet")
    claimant = next((t for t in tasks if uid_of(t) != uid_of(task) and says_it_holds(t)), None)
    if claimant is not None:  # its Lease was removed or edited by hand: it takes it again
        return Wait(position, name_of(claimant), f"task {name_of(claimant)!r} took the lock and has not ended")
    if position > 1:
        first = name_of(waiting[0])
        return Wait(position, first, f"task {first!r} is before this one in the queue")
    return Take()


def regains(task: Object, lease: Object | None, work: Iterable[tuple[str, str, str]]) -> Verdict:
    """Decide about a task whose status says that it holds the lock, while the Lease does not name it.

    A Lease that is free or was removed is taken again, if nothing of another task runs; one that names another task is
    a contradiction that only a person can resolve.
    """
    name = lease_name(task["spec"]["modelRef"]["name"])
    try:
        holder = holder_of(lease)
    except ValueError as error:
        return Inconsistent(f"Lease {name!r}: {error}; if no Job of the model runs, delete the Lease")
    if holder is not None and holder.uid == uid_of(task):
        return Ours()
    if holder is not None:
        return Inconsistent(
            f"this task took the lock, but Lease {name!r} names {holder.name!r}; nothing is started until only one of"
            " the two is left: cancel or delete the other"
        )
    others = [(kind, child) for kind, child, uid in work if uid != uid_of(task)]
    if others:
        kind, child = others[0]
        return Inconsistent(
            f"this task took the lock, but Lease {name!r} is free and {kind} {child!r} of another runs; if that one"
            " waits too, cancel or delete one of the two"
        )
    return Take()


def may_free(holder: Holder, task: Object | None, work: Iterable[tuple[str, str, str]]) -> bool:
    """Whether a holder's lock may be freed: its task ended, with the result in its status, or is gone, and nothing of
    it runs; or it has left the queue before its status said that it holds the lock.

    The last is what is left when an operator died right after it took the Lease, and the task was suspended meanwhile.

    Args:
        holder: from the Lease.
        task: the task of that name, read live; None if there is none.
        work: `unfinished_work` of live lists.
    """
    if any(uid == holder.uid for _, _, uid in work):
        return False
    if task is None or uid_of(task) != holder.uid or has_ended(task):
        return True
    return not waits(task) and not says_it_holds(task)
