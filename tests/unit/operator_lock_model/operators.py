"""An operator whose coroutines are run one request at a time, so that anything can happen in between.

The reconcilers, the cache and the informer are the real ones. The work queue is a set of keys, of which any may be
next: its delays and its order promise nothing that the lock may lean on.
"""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from bluetune_api.objectstore import StoreError
from bluetune_operator.adapters.cache import ObjectCache
from bluetune_operator.adapters.cluster import Cluster
from bluetune_operator.adapters.events import Events
from bluetune_operator.adapters.job_events import JobEvents
from bluetune_operator.adapters.store import StoreProblem, Stores
from bluetune_operator.core.config import Config
from bluetune_operator.core.errors import ApiError, ApiUnavailable
from bluetune_operator.core.kinds import LOCK, METHODS, MODELS, TASKS, Key, Object
from bluetune_operator.handlers.health import Health
from bluetune_operator.handlers.informer import WATCHED, Informer
from bluetune_operator.handlers.metrics import Metrics
from bluetune_operator.handlers.queue import WorkQueue
from bluetune_operator.reconciler.base import Context, Reconciler
from bluetune_operator.reconciler.lock import LockReconciler
from bluetune_operator.reconciler.method import MethodReconciler
from bluetune_operator.reconciler.models.reconcile import ModelReconciler
from bluetune_operator.reconciler.models.retention import RETENTION, RetentionReconciler
from bluetune_operator.reconciler.tasks.reconcile import TaskReconciler
from unit.operator_lock_model.apiserver import Answer, Kube, Request, copied
from unit.operator_lock_model.world import NOW, World

RESYNC = Key("Resync", "", "")
"""A full list, which runs beside the reconciles."""


class Defect(AssertionError):
    """The operator raised what it should not, or broke an invariant."""


class _KeptEvents(Events):
    """Nothing depends on Events; they are kept as (level, reason, message)."""

    def __init__(self, told: list[tuple[str, str, str]]) -> None:
        self._told = told

    async def emit(self, _about: Object, reason: str, message: str, *, level: Literal["Normal", "Warning"]) -> None:
        self._told.append((level, reason, message))


class _Cluster(Cluster):
    """Known without a request: the lock depends on nothing of it."""

    def __init__(self) -> None:
        pass

    async def uid(self) -> str | None:
        return "cluster"


class _Stores:
    def __init__(self, world: World) -> None:
        self._store = world.store

    async def open(self, *_: Any, **__: Any) -> Any:
        return self._store


@dataclass
class Running:
    """A coroutine that waits for the answer to a request."""

    coroutine: Coroutine[Request, Answer, float | None]
    request: Request
    began: int
    """Version of the API server when the coroutine began."""


@dataclass
class Operator:
    """One operator process."""

    name: str
    world: World
    alive: bool = True
    ready: set[Key] = field(default_factory=set)
    """Keys to reconcile now."""
    later: set[Key] = field(default_factory=set)
    """Keys whose time will come."""
    running: dict[Key, Running] = field(default_factory=dict)
    began: int = 0
    """When the coroutine began whose turn it is."""
    orphans: list[Request] = field(default_factory=list)
    """Requests that it no longer waits for, and that may still arrive: of a process that died, or timed out."""

    told: list[tuple[str, str, str]] = field(default_factory=list)
    """Its Events."""

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        """A new life: an empty cache, a full list, watches from there on."""
        self.alive = True
        self.ready.clear()
        self.later.clear()
        kube, cache = Kube(), ObjectCache()
        self.metrics = Metrics(WorkQueue())
        config = Config()
        context = Context(
            kube=kube,
            cache=cache,
            stores=cast("Stores", _Stores(self.world)),
            events=_KeptEvents(self.told),
            job_events=JobEvents(kube),
            cluster=_Cluster(),
            config=config,
            enqueue=self._enqueue,
            clock=lambda: NOW,
            observer=self.metrics,
        )
        self.cache = cache
        self._reconcilers: dict[str, Reconciler] = {
            TASKS.name: TaskReconciler(context),
            MODELS.name: ModelReconciler(context),
            METHODS.name: MethodReconciler(context),
            LOCK: LockReconciler(context),
            RETENTION: RetentionReconciler(context),
        }
        self._informer = Informer(kube, cache, config, Health(180.0), self._enqueue)
        self._read = {kind: len(self.world.server.watched[kind.plural]) for kind in WATCHED}
        self.begin(RESYNC)
        while RESYNC in self.running:
            self.go_on(RESYNC)

    def crash(self) -> None:
        """It dies; what it had sent may still arrive."""
        self.alive = False
        for running in self.running.values():
            running.coroutine.close()
            if running.request.writes:
                self.orphans.append(running.request)
        self.running.clear()

    # What it can do next

    def unread(self) -> list[str]:
        """Kinds of which a watch event waits."""
        return [k.plural for k in WATCHED if self._read[k] < len(self.world.server.watched[k.plural])]

    def deliver(self, plural: str) -> None:
        """The next watch event of a kind."""
        kind = next(k for k in WATCHED if k.plural == plural)
        event = self.world.server.watched[plural][self._read[kind]]
        self._read[kind] += 1
        selector = WATCHED[kind]
        if selector is None or (event.thing["metadata"].get("labels") or {}).get(selector.split("=")[0]):
            thing = copied(event.thing) | {"apiVersion": kind.api_version, "kind": kind.name}
            self._informer.seen(kind, event.type, thing)

    def begin(self, key: Key) -> None:
        """Begin a reconcile: up to its first request."""
        self.ready.discard(key)
        self.later.discard(key)
        self.began = self.world.server.version
        coroutine: Coroutine[Request, Answer, float | None]
        if key == RESYNC:
            coroutine = cast("Coroutine[Request, Answer, None]", self._informer.resync())
        else:
            coroutine = cast(
                "Coroutine[Request, Answer, float | None]",
                self._reconcilers[key.kind].reconcile(key.namespace, key.name),
            )
        self._advance(key, coroutine, lambda: coroutine.send(cast("Answer", None)))

    def go_on(self, key: Key) -> None:
        """Carry out the request that a reconcile waits for, and go on to its next one."""
        running = self.running.pop(key)
        self.began = running.began
        answer = self.world.server.handle(self.name, running.request)
        self._advance(key, running.coroutine, lambda: running.coroutine.send(answer))

    def lose(self, key: Key, *, arrives: bool) -> None:
        """The request's answer never comes; it has been carried out, or may be carried out later."""
        running = self.running.pop(key)
        self.began = running.began
        if arrives:
            self.world.server.handle(self.name, running.request)
        elif running.request.writes:
            self.orphans.append(running.request)
        self._advance(key, running.coroutine, lambda: running.coroutine.throw(ApiUnavailable("no answer")))

    def arrive(self) -> None:
        """A request that nobody waits for arrives."""
        self.began = 0
        self.world.server.handle(self.name, self.orphans.pop(0))

    def _advance(
        self, key: Key, coroutine: Coroutine[Request, Answer, float | None], push: Callable[[], Request | None]
    ) -> None:
        try:
            request = push()
            while request is None:  # asyncio.sleep(0)
                request = coroutine.send(cast("Answer", None))
        except StopIteration as end:
            self._ended(key, end.value)
        except (ApiError, ApiUnavailable, StoreError, StoreProblem):
            if key != RESYNC:
                self.later.add(key)
        except Exception as error:
            raise Defect(f"{self.name}, {key}: {error!r}") from error
        else:
            self.running[key] = Running(coroutine, request, self.began)

    def _ended(self, key: Key, wait: float | None) -> None:
        if key != RESYNC and wait is not None:
            self._enqueue(key, wait)

    def _enqueue(self, key: Key, delay: float, *, urgent: bool = True) -> None:
        (self.later if delay > 0 else self.ready).add(key)
        if delay <= 0:
            self.later.discard(key)
