"""What a reconciler is, and what all of them are given."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from bluetune_operator.adapters.cache import ObjectCache
from bluetune_operator.adapters.cluster import Cluster
from bluetune_operator.adapters.events import Events
from bluetune_operator.adapters.job_events import JobEvents
from bluetune_operator.adapters.kube import KubeApi
from bluetune_operator.adapters.store import Stores
from bluetune_operator.core.config import Config
from bluetune_operator.core.kinds import Key


class Observer(Protocol):
    """Told what is worth counting."""

    def phase(self, key: Key, phase: str | None) -> None:
        """A task is in this phase; None: it is gone."""

    def first_job(self, seconds: float) -> None:
        """A task's first Job was created this long after the task."""


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
