"""What a reconciler is, and what all of them are given."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

from bluetune_operator.adapters.cache import ObjectCache
from bluetune_operator.adapters.cluster import Cluster
from bluetune_operator.adapters.events import Events
from bluetune_operator.adapters.job_events import JobEvents
from bluetune_operator.adapters.kube import KubeApi
from bluetune_operator.adapters.store import Stores
from bluetune_operator.core.config import Config
from bluetune_operator.core.figures import RolloutEnd, TaskFigures
from bluetune_operator.core.kinds import Key

NoticeOutcome = Literal["Delivered", "NotTaken", "Lost"]
"""A webhook took it; did not, and it is sent again; it is given up."""


class Observer(Protocol):
    """Told what is worth counting."""

    def first_job(self, seconds: float) -> None:
        """A task's first Job was created this long after the task."""

    def retrain_run(self, namespace: str, model: str) -> None:
        """spec.retrain of a model made a task."""

    def retrain_held_back(self, namespace: str, model: str, reason: str) -> None:
        """A brake of spec.retrain began to hold runs back: the reason of `Retraining`."""

    def notice(self, namespace: str, model: str, outcome: NoticeOutcome, number: int = 1) -> None:
        """So many notices of spec.notify came to this."""

    def task_moved(self, namespace: str, model: str, figures: TaskFigures) -> None:
        """A write of the status of a model's task brought this."""

    def rollout_ended(self, namespace: str, model: str, end: RolloutEnd) -> None:
        """A rollout of a model ended."""

    def model_gone(self, namespace: str, model: str) -> None:
        """A model was deleted: nothing more is counted of it."""


class Enqueue(Protocol):
    """Has a key reconciled after so many seconds (0: at once); not urgent is what only shows something."""

    def __call__(self, key: Key, delay: float, *, urgent: bool = True) -> None: ...


@dataclass(frozen=True)
class Context:
    """What reconcilers work with."""

    kube: KubeApi
    cache: ObjectCache
    stores: Stores
    events: Events
    job_events: JobEvents
    cluster: Cluster
    config: Config
    enqueue: Enqueue
    clock: Callable[[], datetime]
    """The time, in UTC."""
    observer: Observer


class Reconciler(Protocol):
    """Brings one object closer to what it should be. Level-based: only what is counts, never which event came."""

    async def reconcile(self, namespace: str, name: str) -> float | None:
        """Reconcile the object, which may be gone.

        Returns:
            Seconds until the next look; None if an event will come.

        Raises:
            Conflict, ApiUnavailable, StoreError: try again later, with backoff.
        """
