"""spec.retrain of a model: makes its tasks, follows them, and removes them again. Safe to kill anywhere.

It writes `status.retrain` and the condition `Retraining`, with the resourceVersion that it decided by; the rest of the
status is the model's reconciler's, and neither touches the other's part. A run stands in the status before its task is
made, and what a run has done with its batch is in the store before its end is in the status.
"""

import logging
import random
from dataclasses import dataclass, replace
from datetime import datetime

from bluetune_api.method import FineTuningMethod
from bluetune_api.model import EmbeddingModel, EmbeddingModelSpec, EmbeddingModelStatus
from bluetune_api.objectstore import StoreError
from bluetune_api.reasons import Reason
from bluetune_api.retrain import Retrain, RetrainRun, RetrainStatus
from bluetune_api.task import FineTuningTask
from bluetune_operator.adapters.store import StoreProblem, problem_of
from bluetune_operator.core.conditions import Status, condition, find, merge
from bluetune_operator.core.errors import ApiError, Conflict, ForeignObject, Leftover
from bluetune_operator.core.event_level import event_level
from bluetune_operator.core.kinds import (
    JOBS,
    METHODS,
    MODELS,
    NOTIFY,
    TASKS,
    Key,
    Object,
    is_deleting,
    name_of,
    namespace_of,
    uid_of,
)
from bluetune_operator.core.references import (
    Problem,
    method_name,
    parsed,
    resolve_method,
    resolve_model,
    spec_and_status,
    start_version,
)
from bluetune_operator.core.retrain.decide import (
    Ask,
    Decision,
    Due,
    Paused,
    Wait,
    begun,
    decide,
    settled,
    shown,
    task_name,
    with_run,
    with_uid,
    without_run,
)
from bluetune_operator.core.retrain.tasks import (
    adopted,
    asked_gpus,
    deleted,
    ended,
    holder_among,
    is_made,
    learned_batches,
    made_task,
    surplus,
    taken_batches,
)
from bluetune_operator.reconciler.base import Context
from bluetune_operator.reconciler.retrain.batches import RetrainBatches

logger = logging.getLogger(__name__)

LOOK_SECONDS = 60.0
"""How often a store is asked for new batches, or what is missing is looked for."""
LONGEST_SECONDS = 3600.0
"""Until the next look, however far the next run is."""
QUIET_SECONDS = 300.0
"""While a task is at work, whose end wakes this; for what gets lost."""
REFUSALS = frozenset({400, 403, 422})
BRAKES = frozenset({"BudgetSpent", "CoolingDown", "PausedAfterFailures", "PausedAfterRefusals", "Pinned", "Suspended"})
"""Reasons of `Retraining` by which a person holds runs back."""


@dataclass(frozen=True)
class _Subject:
    model: Object
    spec: EmbeddingModelSpec
    retrain: Retrain
    status: EmbeddingModelStatus
    now: datetime
    tasks: list[Object]
    """The tasks that spec.retrain made, as last seen."""
    busy: str | None
    """Another task, which holds the model."""


@dataclass(frozen=True)
class _Said:
    """What is to be written."""

    state: RetrainStatus
    status: Status
    reason: Reason
    message: str
    after: float | None


class RetrainReconciler:
    """Reconciles spec.retrain."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._batches = RetrainBatches()

    async def reconcile(self, namespace: str, name: str) -> float | None:
        """See `Reconciler`."""
        model = self._context.cache.get(MODELS, namespace, name)
        if model is None or is_deleting(model) or "retrain" not in model["spec"]:
            self._batches.forget(namespace, name)
            if model is not None and not is_deleting(model):
                await self._no_longer(model)
            return None
        subject = self._subject(model)
        if subject is None:
            return None  # the model's reconciler says so
        before = find(subject.status.conditions, "Retraining")
        state = begun(subject.retrain, subject.status.retrain, subject.now, before.reason if before else None)
        try:
            said = await self._look(subject, state)
        except (StoreProblem, StoreError) as error:
            problem = problem_of(error)
            text = f"runs are postponed: {problem}"
            said = _Said(state, "Unknown", problem.reason, text, LOOK_SECONDS * random.uniform(0.8, 1.2))
        await self._write(subject, said)
        return said.after

    def _subject(self, model: Object) -> _Subject | None:
        read = spec_and_status(model)
        if read is None or read[0].retrain is None:
            return None
        spec, status = read
        assert spec.retrain is not None  # noqa: S101 - see above
        found = self._context.cache.of_model(TASKS, namespace_of(model), name_of(model))
        made = [task for task in found if is_made(task, model)]
        return _Subject(model, spec, spec.retrain, status, self._context.clock(), made, holder_among(found, model))

    async def _look(self, subject: _Subject, state: RetrainStatus) -> _Said:
        """The ends of runs, then the task of one that was decided on, then whether another one is due."""
        method = self._method(subject)
        gpus = asked_gpus(method) if isinstance(method, FineTuningMethod) else 0
        state = adopted(state, subject.tasks, gpus, subject.now)
        state = await self._settle(subject, state)
        await self._tidy(subject, state)
        to_make = next((run for run in state.runs or () if run.uid is None and run.outcome is None), None)
        if to_make is not None:
            return await self._make(subject, state, to_make)
        decision = decide(subject.retrain, state, subject.now, held=_held(subject), busy=subject.busy)
        if isinstance(decision, Ask):
            ready = resolve_model(_as_task(subject), subject.model)
            for problem in (ready, method):
                if isinstance(problem, Problem):
                    text = f"runs are postponed: {problem.message}"
                    return _Said(state, "Unknown", problem.reason, text, LOOK_SECONDS)
            assert isinstance(ready, EmbeddingModel)  # noqa: S101 - or it is the problem
            assert isinstance(method, FineTuningMethod)  # noqa: S101
            decision = await self._ask(subject, state, ready, method)
        if isinstance(decision, Due):
            return self._due(subject, state, decision, gpus)
        return _said(state, decision, subject)

    def _method(self, subject: _Subject) -> FineTuningMethod | Problem:
        model = parsed(EmbeddingModel, subject.model)
        if isinstance(model, Problem):
            return model
        task = _as_task(subject)
        name = method_name(task, model)
        raw = self._context.cache.get(METHODS, namespace_of(subject.model), name) if name is not None else None
        return resolve_method(task, model, raw)

    async def _ask(
        self, subject: _Subject, state: RetrainStatus, ready: EmbeddingModel, method: FineTuningMethod
    ) -> Decision:
        """Decide by what the store holds."""
        model, retrain = subject.model, subject.retrain
        start = start_version(_as_task(subject), ready)
        assert start is not None  # noqa: S101 - or the model would not be ready
        of_model = self._context.cache.of_model(TASKS, namespace_of(model), name_of(model))
        store = await self._context.stores.open(model)
        looked = await self._batches.look(
            model,
            store,
            start,
            method,
            believed=LOOK_SECONDS * 0.9,
            taken=taken_batches(of_model, model),
            min_sessions=retrain.min_sessions,
            now=subject.now.timestamp(),
        )
        decision = decide(retrain, state, subject.now, looked.open, held=_held(subject))
        if isinstance(decision, Due) and not await self._batches.still_open(model, store, decision.batch_id):
            raise Conflict(409, "Conflict", f"batch {decision.batch_id!r} was taken meanwhile")
        passed_over = looked.found.in_words()
        if isinstance(decision, Wait) and decision.reason == "WaitingForBatch" and passed_over:
            return replace(decision, message=f"{decision.message}; {passed_over}")
        return decision

    def _due(self, subject: _Subject, state: RetrainStatus, due: Due, gpus: int) -> _Said:
        """Written down now, and made by the next look."""
        model = subject.model
        name = task_name(name_of(model), uid_of(model), due.batch_id, subject.retrain.min_sessions)
        state = with_run(state, due, task=name, gpus=gpus, now=subject.now)
        waiting = decide(subject.retrain, state, subject.now)
        assert isinstance(waiting, Wait)  # noqa: S101 - a run is at work
        return _Said(shown(state, waiting, subject.now), "True", waiting.reason, waiting.message, 0.0)

    async def _make(self, subject: _Subject, state: RetrainStatus, run: RetrainRun) -> _Said:
        """Make the task of a run, once: its name follows from model and batch."""
        model, retrain = subject.model, subject.retrain
        found = await self._context.kube.get(TASKS, namespace_of(model), run.task)
        if found is None and retrain.suspend:
            return _said(without_run(state, run.task), decide(retrain, state, subject.now), subject)
        wanted = made_task(model, run.task, run.batch_id, retrain)
        try:
            task = found if found is not None and is_made(found, model) else None
            task = task or await self._context.kube.create_owned(TASKS, wanted, uid_of(model))
            if task["spec"].get("batchId") != run.batch_id:
                raise ForeignObject(f"FineTuningTask {run.task!r} exists and learns from another batch; delete it")
        except Leftover as error:
            return _Said(state, "True", "RunInProgress", str(error), 2.0)
        except ForeignObject as error:
            return _Said(state, "False", "NameTaken", str(error), LOOK_SECONDS)
        except Conflict:
            raise
        except ApiError as error:
            if error.status not in REFUSALS:
                raise
            text = f"the API server refused FineTuningTask {run.task}: {error.message}"
            return _Said(state, "False", "TaskRefused", text, LOOK_SECONDS)
        text = f"task {run.task} learns from batch {run.batch_id!r} ({run.trigger})"
        logger.info("%s", text, extra={"model": name_of(model)})
        if found is None:  # else an earlier life of the operator made it
            self._context.observer.retrain_run(namespace_of(model), name_of(model))
            await self._context.events.emit(model, "RetrainStarted", text, level="Normal")
        state = with_uid(state, run.task, uid_of(task))
        return _said(state, decide(retrain, state, subject.now), subject)

    async def _settle(self, subject: _Subject, state: RetrainStatus) -> RetrainStatus:
        """Take the ends of runs over: what they did with their batches is in the store before it is in the status."""
        for run in state.runs or ():
            if run.outcome is not None or run.uid is None:
                continue
            task = next((task for task in subject.tasks if name_of(task) == run.task), None)
            if task is None or uid_of(task) != run.uid:
                task = await self._context.kube.get(TASKS, namespace_of(subject.model), run.task)
            if task is None or uid_of(task) != run.uid:
                end, about = deleted(run, subject.now), {"metadata": {"name": run.task, "uid": run.uid}}
            else:
                job = self._context.cache.get(JOBS, namespace_of(task), f"{run.task}-train")
                found = ended(task, job)
                if found is None:
                    continue
                end, about = found, task
            store = await self._context.stores.open(subject.model)
            batches = learned_batches(about, run.batch_id)
            await self._batches.record(subject.model, store, batches=batches, task=about, outcome=end.outcome)
            state = settled(state, run.task, end)
        return state

    async def _tidy(self, subject: _Subject, state: RetrainStatus) -> None:
        """Remove tasks beyond spec.retrain.history, whose ends were written before this look."""
        written = (subject.status.retrain or RetrainStatus()).runs or ()
        at_work = frozenset(run.task for run in written if run.outcome is None) | {
            run.task for run in state.runs or () if run.outcome is None
        }
        for task in surplus(subject.tasks, subject.retrain.history, at_work):
            await self._context.kube.delete(TASKS, namespace_of(task), name_of(task), uid=uid_of(task))

    async def _no_longer(self, model: Object) -> None:
        """spec.retrain was removed: nothing is said any more. What ran counts if it is declared again."""
        status = model.get("status") or {}
        conditions = [c for c in status.get("conditions") or () if c["type"] != "Retraining"]
        if len(conditions) == len(status.get("conditions") or ()):
            return
        state = {
            key: value for key, value in (status.get("retrain") or {}).items() if key not in ("nextRunTime", "judged")
        }
        new = {**status, "conditions": conditions, **({"retrain": state} if state else {})}
        self._context.cache.put(MODELS, await self._context.kube.replace_status(MODELS, model, new))

    async def _write(self, subject: _Subject, said: _Said) -> None:
        model, old = subject.model, subject.status
        generation = model["metadata"].get("generation", 0)
        fresh = condition("Retraining", said.status, said.reason, said.message, generation=generation, now=subject.now)
        new = old.model_copy(update={"retrain": said.state, "conditions": merge(old.conditions, [fresh])})
        wire = new.wire()
        if wire == (model.get("status") or {}):
            return
        self._context.cache.put(MODELS, await self._context.kube.replace_status(MODELS, model, wire))
        before = find(old.conditions, "Retraining")
        changed = before is None or (before.status, before.reason) != (fresh.status, fresh.reason)
        if changed and fresh.reason in BRAKES:
            self._context.observer.retrain_held_back(namespace_of(model), name_of(model), fresh.reason)
        if changed and "notify" in model["spec"]:
            self._context.enqueue(Key(NOTIFY, namespace_of(model), name_of(model)), 0.0)
        if changed and fresh.status == "False":
            await self._context.events.emit(model, fresh.reason, fresh.message, level=event_level(fresh.reason))


def _said(state: RetrainStatus, decision: Decision, subject: _Subject) -> _Said:
    """What a decision against a run now comes to."""
    state = shown(state, decision, subject.now)
    if isinstance(decision, Paused):
        return _Said(state, "False", decision.reason, decision.message, None)
    assert isinstance(decision, Wait)  # noqa: S101 - the others are dealt with
    if decision.reason == "RunInProgress":
        after = QUIET_SECONDS
    else:
        longest = LONGEST_SECONDS if decision.reason != "WaitingForBatch" else LOOK_SECONDS * random.uniform(1.0, 1.2)
        left = (decision.until - subject.now).total_seconds() if decision.until is not None else longest
        after = min(max(left, 0.0) + 0.5, longest)
    return _Said(state, "True", decision.reason, decision.message, after)


def _held(subject: _Subject) -> Wait | None:
    """Why a run would be in vain: what it publishes could not go into production."""
    serving = subject.spec.serving
    if not subject.retrain.template.deploy_as_blue or serving is None or serving.rollback_to is None:
        return None
    text = f"serving.rollbackTo={serving.rollback_to} is set: no new version could go into production"
    return Wait("Pinned", text)


def _as_task(subject: _Subject) -> FineTuningTask:
    """A task as it would be made, for what is asked about tasks."""
    return FineTuningTask.model_validate(made_task(subject.model, f"{name_of(subject.model)}-x", "x", subject.retrain))
