"""What the steps of a task's reconcile share."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Literal

from bluetune_api.method import FineTuningMethod
from bluetune_api.model import EmbeddingModel
from bluetune_api.task import FineTuningTask
from bluetune_operator.adapters.store import AsyncStore
from bluetune_operator.core.kinds import JOBS, Object, is_owned_by, name_of, namespace_of, uid_of
from bluetune_operator.core.references import Problem
from bluetune_operator.core.tasks.status import Draft
from bluetune_operator.reconciler.base import Context


@dataclass(frozen=True)
class Stay:
    """Go no further this time: write the status and look again after so many seconds (None: when an event comes)."""

    seconds: float | None = None


@dataclass
class Run:
    """One reconcile of one task. Earlier steps fill in what later ones need."""

    context: Context
    raw: Object
    """The task as read."""
    task: FineTuningTask
    draft: Draft
    raw_model: Object | None = None
    raw_method: Object | None = None
    method_problem: Problem | None = None
    """Why a run that began cannot create another Job."""
    _model: EmbeddingModel | None = field(default=None)
    _method: FineTuningMethod | None = field(default=None)
    _store: AsyncStore | None = field(default=None)

    @property
    def namespace(self) -> str:
        return namespace_of(self.raw)

    @property
    def name(self) -> str:
        return name_of(self.raw)

    @property
    def uid(self) -> str:
        return uid_of(self.raw)

    @property
    def model_name(self) -> str:
        return self.task.spec.model_ref.name

    @property
    def model(self) -> EmbeddingModel:
        """Set by the step `references`."""
        assert self._model is not None  # noqa: S101 - the order of the steps
        return self._model

    @property
    def method(self) -> FineTuningMethod:
        """Set by the step `references`, unless there is a `method_problem`."""
        assert self._method is not None  # noqa: S101 - the order of the steps
        return self._method

    @property
    def store(self) -> AsyncStore:
        """Set by the step `references`."""
        assert self._store is not None  # noqa: S101 - the order of the steps
        return self._store

    def found(self, model: EmbeddingModel, method: FineTuningMethod | None, store: AsyncStore) -> None:
        """The step `references` found all that the others need."""
        self._model, self._method, self._store = model, method, store

    def child(self, suffix: str) -> str:
        """Name of a child of the task."""
        return f"{self.name}-{suffix}"


JobName = Literal["check", "train"]
"""What a task's Jobs are for."""
JOB_NAMES: tuple[JobName, ...] = ("check", "train")


async def own_job(run: Run, stage: JobName) -> Object | None:
    """The task's Job of a stage. What the cache lacks is read live.

    A Job of that name which belongs to a former task, whose name came back, is none.
    """
    kube, cache, name = run.context.kube, run.context.cache, run.child(stage)
    found = known_job(run, stage)
    if found is None:
        found = await kube.get(JOBS, run.namespace, name)
        if found is not None:
            cache.put_ahead(JOBS, found)
    return found if found is not None and is_owned_by(found, run.uid) else None


def known_job(run: Run, stage: JobName) -> Object | None:
    """The task's Job of a stage as the cache has it. Enough to create one: that finds what the cache lacks."""
    found = run.context.cache.get(JOBS, run.namespace, run.child(stage))
    return found if found is not None and is_owned_by(found, run.uid) else None


Step = Callable[[Run], Awaitable[Stay | None]]
"""A step of the checklist: None is "go on"."""
