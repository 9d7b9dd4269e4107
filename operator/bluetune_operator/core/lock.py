"""Who may hold a model: the queue's order, what frees a lock, and when a lock cannot be trusted.

A Lease per model says who holds it. It never runs out by time: only the end of the holder's work frees it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from bluetune_operator.core.kinds import (
    BLUETUNE,
    LEASES,
    MANAGED_BY,
    MODEL_LABEL,
    TASK_UID_LABEL,
    Object,
    condition_status,
    is_deleting,
    labels_of,
    lease_name,
    name_of,
    namespace_of,
    owner_reference,
    uid_of,
)


@dataclass(frozen=True)
class Holder:
    """A task that holds a lock. The uid counts: a name can come back."""

    name: str
    uid: str

    def identity(self) -> str:
        """As the Lease's holderIdentity has it."""
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


def holder_for(task: Mapping[str, Any]) -> Holder:
    """The holder that a task would be."""
    return Holder(name_of(task), uid_of(task))


def held_lease(model: Object, holder: Holder | None, now: str, lease: Object | None = None) -> Object:
    """The Lease to create, or to replace `lease` with (its resourceVersion is kept, as the compare-and-swap)."""
    spec: Object = dict((lease or {}).get("spec") or {})
    spec["holderIdentity"] = holder.identity() if holder else ""
    if holder:
        spec["acquireTime"] = spec["renewTime"] = now
        spec["leaseTransitions"] = int(spec.get("leaseTransitions") or 0) + 1
    if lease is not None:
        return {**lease, "spec": spec}
    return {
        "apiVersion": LEASES.api_version,
        "kind": LEASES.name,
        "metadata": {
            "name": lease_name(name_of(model)),
            "namespace": namespace_of(model),
            "labels": {MANAGED_BY: BLUETUNE, MODEL_LABEL: name_of(model)},
            "ownerReferences": [owner_reference(model)],
        },
        "spec": spec,
    }


def queue_order(task: Mapping[str, Any]) -> tuple[int, str, str]:
    """Priority descending, then creation time, then uid: a total order that needs nothing else."""
    return (
        -int(task["spec"].get("priority") or 0),
        str(task["metadata"].get("creationTimestamp") or ""),
        uid_of(task),
    )


def waits(task: Mapping[str, Any]) -> bool:
    """Whether a task stands in its model's queue: accepted, and not ended, suspended, cancelled or deleted."""
    spec = task["spec"]
    if is_deleting(task) or has_ended(task) or spec.get("suspend") or spec.get("cancel"):
        return False
    return not _refers_to_nothing(task)


def _refers_to_nothing(task: Mapping[str, Any]) -> bool:
    """A task whose references were found broken lets the others pass until they are mended."""
    return condition_status(task, "Accepted") == "False"


def queue(tasks: Iterable[Object], holder: Holder | None) -> list[Object]:
    """The tasks that wait for the lock, next first."""
    return sorted((t for t in tasks if waits(t) and (holder is None or uid_of(t) != holder.uid)), key=queue_order)


def is_active_pod(pod: Mapping[str, Any]) -> bool:
    """Whether a pod may still run something: also one that is terminating."""
    return (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed")


def job_condition(job: Mapping[str, Any], kind: str) -> Mapping[str, Any] | None:
    """A Job's condition that is True, or None."""
    for condition in (job.get("status") or {}).get("conditions") or []:
        if condition["type"] == kind and condition["status"] == "True":
            found: Mapping[str, Any] = condition
            return found
    return None


def is_finished_job(job: Mapping[str, Any]) -> bool:
    """Complete or Failed. FailureTarget and SuccessCriteriaMet are only on the way there."""
    return job_condition(job, "Complete") is not None or job_condition(job, "Failed") is not None


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
    """Whether a task has its terminal condition. It is for ever."""
    return condition_status(task, "Succeeded") == "True" or condition_status(task, "Failed") == "True"


@dataclass(frozen=True)
class Ours:
    """The task holds the lock already."""


@dataclass(frozen=True)
class Take:
    """The task may take the lock: replace the Lease (or create it) with its resourceVersion as read."""

    freed_from: Holder | None = None
    """A former holder that is gone and left nothing running."""


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
    if holder and holder.uid == uid_of(task):
        return Ours()
    waiting = queue(tasks, holder)
    position = next((n for n, other in enumerate(waiting, 1) if uid_of(other) == uid_of(task)), len(waiting) + 1)
    by_uid = {uid_of(other): other for other in tasks}
    if holder is not None and holder.uid in by_uid:
        return Wait(position, holder.name, f"task {holder.name!r} holds the model")
    others = [(kind, child) for kind, child, uid in work if uid != uid_of(task)]
    if others:
        kind, child = others[0]
        blocked = holder.name if holder else None
        return Wait(position, blocked, f"{kind} {child!r} of another task has not ended yet")
    if position > 1:
        first = name_of(waiting[0])
        return Wait(position, first, f"task {first!r} is before this one in the queue")
    return Take(freed_from=holder)
