"""A FineTuningTask's reconcile: a checklist of steps over one draft of its status, written once."""

import logging

from bluetune_api.reasons import STORE_REASONS
from bluetune_api.task import FineTuningTask
from bluetune_operator.core.errors import ApiError
from bluetune_operator.core.figures import task_figures
from bluetune_operator.core.kinds import (
    LOCK,
    MODELS,
    NOTIFY,
    RETRAIN,
    TASKS,
    Key,
    Object,
    condition,
    is_deleting,
    namespace_of,
)
from bluetune_operator.core.lock.rules import has_ended, waits
from bluetune_operator.core.references import Problem, parsed, status_of
from bluetune_operator.core.tasks.status import Draft
from bluetune_operator.reconciler.base import Context
from bluetune_operator.reconciler.tasks.admission import lock, references, suspended_waiter
from bluetune_operator.reconciler.tasks.batch import choice
from bluetune_operator.reconciler.tasks.end import cancelled, ended, promote, publish
from bluetune_operator.reconciler.tasks.key import claim, duplicate
from bluetune_operator.reconciler.tasks.run import Run, Step
from bluetune_operator.reconciler.tasks.store import owned
from bluetune_operator.reconciler.tasks.work import check, train
from bluetune_operator.reconciler.unreadable import leave_as_it_is

logger = logging.getLogger(__name__)

STEPS: tuple[Step, ...] = (
    ended,
    cancelled,
    references,
    suspended_waiter,
    duplicate,
    lock,
    owned,
    claim,
    choice,
    check,
    train,
    publish,
    promote,
)


class TaskReconciler:
    """Brings tasks to their end. Holds no state."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def reconcile(self, namespace: str, name: str) -> float | None:
        """See `Reconciler`."""
        raw = self._context.cache.get(TASKS, namespace, name)
        if raw is None or is_deleting(raw):
            return None  # what it leaves behind is the lock's and the garbage collector's
        task = parsed(FineTuningTask, raw)
        if isinstance(task, Problem):
            return await self._invalid(raw, task) if task.reason == "SpecInvalid" else await self._unread(raw, task)
        draft = Draft(task, self._context.clock())
        run = Run(self._context, raw, task, draft, raw_model=self._context.cache.get(MODELS, namespace, _model(raw)))
        wait: float | None = None
        for step in STEPS:
            stay = await step(run)
            if stay is not None:
                wait = stay.seconds
                break
        written = await self._write(raw, draft)
        if written is None:
            return wait
        if run.raw_model is not None:  # else the model's series went with it
            self._context.observer.task_moved(namespace, _model(raw), task_figures(raw, written))
        ends = draft.ended and not has_ended(raw)
        if _for_the_store(written) != _for_the_store(raw):  # its model says so, too
            self._context.enqueue(Key(MODELS.name, namespace, _model(raw)), 0)
        if ends or waits(written) != waits(raw):  # its own write wakes nobody, and those behind it wait for the lock
            self._context.enqueue(Key(LOCK, namespace, _model(raw)), 0)
        for field, kind in (("retrain", RETRAIN), ("notify", NOTIFY)):
            if ends and run.raw_model is not None and field in run.raw_model["spec"]:
                self._context.enqueue(Key(kind, namespace, _model(raw)), 0)
        if ends:
            return 0.0  # the step `ended` has still to free its key and mind its time
        return wait

    async def _write(self, raw: Object, draft: Draft) -> Object | None:
        """Write the status if it changed, and return the task as written; tell what happened only after that."""
        before = raw.get("status") or {}
        after = draft.finished().wire()
        if after == before:
            return None
        written = await self._context.kube.replace_status(TASKS, raw, after)
        self._context.cache.put(TASKS, written)
        for level, reason, message in draft.news():
            logger.info(
                "%s: %s", reason, message, extra={"reason": reason, "phase": draft.status.phase, "model": _model(raw)}
            )
            await self._context.events.emit(raw, reason, message, level=level)
        return written

    async def _invalid(self, raw: Object, problem: Problem) -> float | None:
        """A task whose spec the types refuse, though the API server let it pass: say so, and keep the rest."""
        if has_ended(raw):
            return None
        draft = Draft(_bare(raw), self._context.clock())
        draft.say("Accepted", False, problem.reason, problem.message)
        phase = (draft.status.phase if draft.holds("LockAcquired") else None) or "Pending"
        draft.now_doing(phase, problem.reason, problem.message, stalled=True)
        try:
            await self._write(raw, draft)
        except ApiError as error:
            if error.status != 422:
                raise
            logger.error("status of a task that cannot be read was refused: %s", error.message)
        return None

    async def _unread(self, raw: Object, problem: Problem) -> float | None:
        """A task whose status a newer operator wrote: its Jobs go on, and what comes after them waits."""
        if has_ended(raw):
            return None
        wait = await leave_as_it_is(self._context, TASKS, raw, problem.message)
        self._context.enqueue(Key(LOCK, namespace_of(raw), _model(raw)), 0)  # one that only waited lets others pass
        return wait


def _for_the_store(raw: Object) -> bool:
    return (condition(raw, "Ready") or {}).get("reason") in STORE_REASONS


def _model(raw: Object) -> str:
    return str(raw["spec"]["modelRef"]["name"])


def _bare(raw: Object) -> FineTuningTask:
    """A task with the metadata and status of `raw`, and nothing that could be refused."""
    return FineTuningTask.model_validate(
        {
            "apiVersion": raw["apiVersion"],
            "kind": raw["kind"],
            "metadata": raw["metadata"],
            "spec": {"modelRef": {"name": _model(raw)}},
            "status": status_of(FineTuningTask, raw),
        }
    )


def refers_to_method(raw_task: Object, raw_model: Object | None, method: str) -> bool:
    """Whether a task follows a method, itself or through its model."""
    reference = raw_task["spec"].get("methodRef") or ((raw_model or {}).get("spec") or {}).get("methodRef") or {}
    return bool(reference.get("name") == method)
