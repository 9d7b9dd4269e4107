"""Watches by kopf's low-level handlers, and full lists; both fill the cache and the queue.

Kopf stores nothing in the objects this way: no finalizers, no annotations.
"""

import asyncio
import logging
import zlib
from collections.abc import Iterator
from itertools import chain, repeat
from typing import Any

import kopf

from bluetune_operator.adapters.cache import ObjectCache
from bluetune_operator.adapters.kube import KubeApi
from bluetune_operator.core.config import Config
from bluetune_operator.core.errors import ApiError
from bluetune_operator.core.kinds import (
    CHILD_SELECTOR,
    DEPLOYMENTS,
    JOBS,
    LEASES,
    METHODS,
    MODELS,
    PODS,
    TASKS,
    Key,
    Kind,
    Object,
    name_of,
    namespace_of,
    uid_of,
)
from bluetune_operator.core.lock.of_model import seen_by_model
from bluetune_operator.handlers.guard import NAME as GUARD_LEASE
from bluetune_operator.handlers.health import Health
from bluetune_operator.handlers.routing import keys_for, keys_to_look_at, models_serving
from bluetune_operator.reconciler.base import Enqueue

logger = logging.getLogger(__name__)

WATCHED: dict[Kind, str | None] = {
    MODELS: None,
    METHODS: None,
    TASKS: None,
    JOBS: CHILD_SELECTOR,
    PODS: CHILD_SELECTOR,
    LEASES: CHILD_SELECTOR,
    DEPLOYMENTS: None,
}
"""What is watched, by which label selector; foreign Jobs and pods never come over the wire."""


CALM_SECONDS = 0.3
"""A model only shows what its tasks do: it waits this long for more news, so that each costs it no reconcile."""
FIRST_SECONDS, REFUSED_SECONDS = (1.0, 1.0, 2.0, 3.0, 5.0, 8.0, 13.0), 30.0
"""How soon to watch again what was refused; less than after what time a change that a list showed must be seen."""
ANEW_SECONDS = 5.0
"""Watches that were cut begin anew at about the same time."""


class Informer:
    """Fills the cache and says which keys to reconcile."""

    def __init__(self, kube: KubeApi, cache: ObjectCache, config: Config, health: Health, add: Enqueue) -> None:
        self._kube = kube
        self._cache = cache
        self._config = config
        self._health = health
        self._add = add
        self._told: dict[Key, tuple[object, ...]] = {}
        """What the models know of their tasks."""
        self._streaming: set[Kind] = set()
        """Kinds whose watch has told of a change."""
        self._anew = asyncio.Event()
        self._lost: set[str] = set()

    def seen(self, kind: Kind, type_: str | None, thing: Object) -> None:
        """A watch event: ADDED, MODIFIED, DELETED, or None for an object of the first list."""
        self._health.watched(kind, thing)
        self._mind_anew(kind, type_)
        if kind == LEASES and name_of(thing) == GUARD_LEASE:
            self._health.canary_seen()
            return
        own = False
        if type_ == "DELETED":
            self._cache.remove(kind, thing)
        elif not self._keep(kind, thing):
            return
        elif not self._take_over(kind, thing):
            own = self._is_own_write(kind, thing)
            if not own:
                return
        concerns_model = kind != TASKS or self._is_news_for_model(type_, thing)
        for key in keys_for(kind, thing, self._cache):
            of_model = key.kind == MODELS.name
            if concerns_model if of_model else not own:
                only_shows = of_model and kind in (TASKS, LEASES)
                self._add(key, CALM_SECONDS if only_shows else 0.0, urgent=not only_shows)

    def _mind_anew(self, kind: Kind, type_: str | None) -> None:
        """A watch that lists again after it told of changes had missed some (410 Gone)."""
        if type_ is not None:
            self._streaming.add(kind)
        elif kind in self._streaming:
            self._streaming.clear()
            self._anew.set()

    async def until_list_is_due(self, period: float) -> None:
        """Wait `period` seconds; or less, as what was deleted while a watch was cut is only missing from its list."""
        try:
            async with asyncio.timeout(period):
                await self._anew.wait()
        except TimeoutError:
            return
        await asyncio.sleep(ANEW_SECONDS)
        self._anew.clear()

    def _take_over(self, kind: Kind, thing: Object) -> bool:
        """Keep an object; whether that is news: it was not kept, or by a live read of which nobody was told."""
        kept = self._cache.put(kind, thing)
        return self._cache.is_news(kind, thing) or kept

    def _is_own_write(self, kind: Kind, thing: Object) -> bool:
        """A Lease or a task's status as this operator wrote it: no news for the writer, but for the model.

        Its rollout begins and its view of the lock changes by what others write, and nothing else would wake it.
        """
        return kind in (TASKS, LEASES) and self._cache.same(kind, thing) is not None

    def _is_news_for_model(self, type_: str | None, task: Object) -> bool:
        """A task's status changes twenty times in a run; its model looks at little of it."""
        key, facts = Key(TASKS.name, namespace_of(task), name_of(task)), seen_by_model(task)
        if type_ == "DELETED":
            self._told.pop(key, None)
            return True
        if self._told.get(key) == facts:
            return False
        self._told[key] = facts
        return True

    @property
    def lost(self) -> frozenset[str]:
        """Watched namespaces that cannot be listed: deleted with their Role, or without it."""
        return frozenset(self._lost)

    async def resync(self) -> None:
        """List everything, take it over, and have reconciled what the watches missed, and later all that is under way.

        The first list is all news. A namespace of several that refuses is left out until it can be listed again: the
        others go on. Raises ApiError, ApiUnavailable.
        """
        refused: dict[str, ApiError] = {}
        for scope in self._config.scopes:
            try:
                for kind, selector in WATCHED.items():
                    await self._list(kind, selector, scope)
            except ApiError as error:
                if scope is None or error.status not in (403, 404):
                    raise
                refused[scope] = error
        if len(refused) == len(self._config.scopes):
            raise next(iter(refused.values()))
        self._leave_out(refused)
        self._health.synced()

    async def _list(self, kind: Kind, selector: str | None, scope: str | None) -> None:
        known, present = self._cache.uids(kind), set[str]()
        async for page in self._kube.pages(kind, scope, labels=selector):
            kept = [thing for thing in page if self._keep(kind, thing)]
            present.update(uid_of(thing) for thing in kept)
            self._listed(kind, kept)
        for thing in self._cache.remove_absent(kind, scope, present, known):
            logger.info("%s %s/%s vanished unseen", kind.name, namespace_of(thing), name_of(thing))
            if kind == TASKS:
                self._is_news_for_model("DELETED", thing)
            self._wake(kind, thing)
        await asyncio.sleep(0)

    def _leave_out(self, refused: dict[str, ApiError]) -> None:
        """Forget what a lost namespace holds: nothing there is reconciled in vain. Say what was lost, and found."""
        for namespace in self._lost - refused.keys():
            logger.info("namespace %s can be listed again, and is served", namespace)
        for namespace, error in refused.items():
            if namespace not in self._lost:
                logger.warning(
                    "namespace %s is not served any more: %s; the others go on. If it was deleted, take it out of"
                    " watchNamespaces; else run helm upgrade, which makes its Role again",
                    namespace,
                    error,
                )
            for kind in WATCHED:
                for thing in self._cache.drop(kind, namespace):
                    if kind == TASKS:
                        self._is_news_for_model("DELETED", thing)
                    self._wake(kind, thing)
        self._lost = set(refused)

    def _listed(self, kind: Kind, page: list[Object]) -> None:
        missed = [thing for thing in page if not self._cache.same(kind, thing)]
        self._health.listed(kind, missed)
        missed = [thing for thing in page if self._take_over(kind, thing)]
        for thing in missed:
            self._wake(kind, thing)
        for thing in page:
            for key in keys_to_look_at(kind, thing):
                self._add(key, self._config.resync_seconds * _share(key), urgent=False)

    def _wake(self, kind: Kind, thing: Object) -> None:
        for key in keys_for(kind, thing, self._cache):
            self._add(key, 0.0)

    def _keep(self, kind: Kind, thing: Object) -> bool:
        """Deployments are only kept if a model claims them."""
        return kind != DEPLOYMENTS or bool(models_serving(namespace_of(thing), name_of(thing), self._cache))


def _share(key: Key) -> float:
    """Where in the time between two full lists a key is looked at, from 0 to 1: always there, and not all at once."""
    return zlib.crc32(repr(key).encode()) / 2**32


def registry_for(informer: Informer) -> kopf.OperatorRegistry:
    """kopf's handlers: one for each kind, which only passes the event on."""
    registry = kopf.OperatorRegistry()
    kopf.on.login(registry=registry, id="service-account")(_login)
    for kind in WATCHED:
        kopf.on.event(kind.group, kind.version, kind.plural, registry=registry, id=kind.plural)(
            _handler(informer, kind)
        )
    return registry


def _handler(informer: Informer, kind: Kind) -> Any:
    async def on_event(event: Any, **_: Any) -> None:
        informer.seen(kind, event["type"], dict(event["object"]))

    return on_event


def _login(**kwargs: Any) -> Any:
    return kopf.login_with_service_account(**kwargs) or kopf.login_with_kubeconfig(**kwargs)


class _NoEssence(kopf.DiffBaseStorage):
    """Keep no copy of each object: no handler compares old and new, and the copies took half of the processor time."""

    def build(self, *, body: Any, extra_fields: Any = None) -> Any:
        """Nothing."""
        return kopf.BodyEssence({})

    def fetch(self, *, body: Any) -> Any:
        """Nothing was stored."""
        return None

    def store(self, *, body: Any, patch: Any, essence: Any) -> None:
        """Store nothing."""


class _Patient:
    """Backoffs without an end: where several namespaces are watched, one that refuses must not end the others' watches.

    What is wrong with the API server itself ends the process all the same: the Lease is lost, or the full lists and the
    watch of it fail, which the liveness probe sees.
    """

    def __iter__(self) -> Iterator[float]:
        return chain(FIRST_SECONDS, repeat(REFUSED_SECONDS))


def settings(config: Config) -> kopf.OperatorSettings:
    """How kopf watches."""
    chosen = kopf.OperatorSettings()
    if config.namespaces:
        chosen.networking.error_backoffs = _Patient()
    chosen.peering.standalone = True
    chosen.posting.enabled = False
    chosen.posting.loggers = False
    chosen.persistence.diffbase_storage = _NoEssence()
    chosen.scanning.disabled = (
        True  # the CRDs come with the chart, and watching CRDs or namespaces would need more RBAC
    )
    chosen.watching.server_timeout = 300
    chosen.watching.client_timeout = 310
    chosen.watching.connect_timeout = 30
    chosen.watching.chunk_size = 250
    chosen.queueing.idle_timeout = 0.2  # its task and queue for each object live this long after an event
    chosen.networking.request_timeout = 30
    chosen.networking.connect_timeout = 30
    chosen.process.ultimate_exiting_timeout = 60
    for kind, selector in WATCHED.items():
        if selector is not None:
            chosen.watching.label_selectors[kind.group, kind.version, kind.plural] = selector
    return chosen
