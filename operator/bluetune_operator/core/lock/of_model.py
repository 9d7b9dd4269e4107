"""The model's view of its lock: who holds it, how many wait, and whether Lease and work agree."""

from collections.abc import Iterable
from datetime import datetime

from bluetune_api.model import LockView
from bluetune_operator.core.jobs.state import Trouble, stuck_pod
from bluetune_operator.core.jobs.workloads import is_active_pod, is_finished_job
from bluetune_operator.core.kinds import (
    TASK_LABEL,
    TASK_UID_LABEL,
    Object,
    is_deleting,
    labels_of,
    lease_name,
    name_of,
    uid_of,
)
from bluetune_operator.core.lock.rules import Holder, holder_of, queue, waits
from bluetune_operator.core.rollout.choice import ACTIVE, asks
from bluetune_operator.core.rollout.moves import Failure


def seen_by_model(task: Object) -> tuple[object, ...]:
    """All of a task that its model's status and rollout depend on: while this stays the same, it is no news for it."""
    return uid_of(task), waits(task), asks(task), is_deleting(task), bool(task["spec"].get("cancel"))


def is_settled(model: Object) -> bool:
    """Whether a model has its base, its spec was looked at, and no rollout is under way."""
    status = model.get("status") or {}
    looked_at = status.get("observedGeneration") == model["metadata"].get("generation")
    return bool(status.get("baseVersion")) and looked_at and (status.get("rollout") or {}).get("step") not in ACTIVE


def held_by(lease: Object | None) -> str | None:
    """uid of the Lease's holder; None if nobody holds it, or nobody of ours."""
    try:
        holder = holder_of(lease)
    except ValueError:
        return None
    return holder.uid if holder else None


def lock_view(
    model: str, lease: Object | None, tasks: Iterable[Object], jobs: Iterable[Object]
) -> tuple[LockView | None, int, Failure | None]:
    """Who holds the lock, how many wait, and why the lock cannot be trusted, if so.

    Args:
        model: its name.
        lease: the model's; None if there is none.
        tasks: the model's.
        jobs: the model's.
    """
    tasks = list(tasks)
    try:
        holder = holder_of(lease)
    except ValueError as error:
        text = f"Lease {lease_name(model)}: {error}; if no Job of the model runs, delete the Lease"
        return None, len(queue(tasks, None)), Failure("HolderUnknown", text)
    view = None
    if holder is not None and lease is not None:
        since = str(lease["spec"].get("acquireTime") or lease["metadata"].get("creationTimestamp") or "")
        view = LockView(holder=holder.name, holder_uid=holder.uid, since=_whole_seconds(since))
    return view, len(queue(tasks, holder)), _foreign_work(holder, tasks, jobs)


def pods_that_block(pods: Iterable[Object], now: datetime) -> list[Trouble]:
    """Pods of tasks that do not end: while one may still run, nobody else gets the lock."""
    of_tasks = (pod for pod in pods if TASK_UID_LABEL in labels_of(pod) and is_active_pod(pod))
    return [trouble for pod in of_tasks if (trouble := stuck_pod(pod, now)) is not None]


def _foreign_work(holder: Holder | None, tasks: list[Object], jobs: Iterable[Object]) -> Failure | None:
    """A Job that runs for a living task which does not hold the lock."""
    living = {uid_of(task) for task in tasks if not is_deleting(task)}
    for job in jobs:
        uid = labels_of(job).get(TASK_UID_LABEL)
        if uid is None or uid not in living or is_finished_job(job) or is_deleting(job):
            continue
        if holder is None or holder.uid != uid:
            task, held = labels_of(job).get(TASK_LABEL), holder.name if holder else "nobody"
            text = f"Job {name_of(job)} of task {task} runs, but {held} holds the lock; no other starts until it ends"
            return Failure("WorkWithoutLock", text)
    return None


def _whole_seconds(text: str) -> str:
    return text.partition(".")[0] + "Z" if "." in text else text
