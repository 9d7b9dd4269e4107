"""A model's lock: freed when its holder's work is over, and the next in the queue woken."""

import logging

from bluetune_operator.adapters.leases import live_work, read_lease, write_holder
from bluetune_operator.core.kinds import LEASES, MODELS, PODS, TASKS, Key, Object, lease_name, name_of, uid_of
from bluetune_operator.core.lock.of_model import pods_that_block
from bluetune_operator.core.lock.rules import (
    EXACT_POSITIONS,
    Holder,
    has_ended,
    holder_of,
    may_free,
    queue,
    says_it_holds,
    shown_position,
    waits,
)
from bluetune_operator.reconciler.base import Context

logger = logging.getLogger(__name__)

AGAIN_SECONDS = 5.0
"""The end of a pod is an event; this is for what gets lost."""
MOVED_SECONDS = 1.0
"""Delay of tasks behind the first one, which only learn that they moved up: work goes first."""


class LockReconciler:
    """Reconciles the Lease of a model; `name` is the model's.

    What it remembers (the queue it last saw) only spares wake-ups: after a restart everything is woken once anyway.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._seen: dict[tuple[str, str], tuple[object, ...]] = {}
        self._blocked: dict[tuple[str, str], tuple[str, ...]] = {}

    async def reconcile(self, namespace: str, name: str) -> float | None:
        """See `Reconciler`."""
        cache = self._context.cache
        wait: float | None = None
        holder = _holder(cache.get(LEASES, namespace, lease_name(name)))
        if holder is not None:
            freed = await self._free(namespace, name, holder)
            if freed is True:
                holder = None
            elif freed is False:
                wait = AGAIN_SECONDS
        self._tell_model(namespace, name)
        self._wake(namespace, name, holder)
        return wait

    def _tell_model(self, namespace: str, model: str) -> None:
        """Wake the model when a pod is found not to end, or does end: no event tells that."""
        pods = self._context.cache.of_model(PODS, namespace, model)
        blocking = tuple(trouble.message for trouble in pods_that_block(pods, self._context.clock()))
        if blocking != self._blocked.get((namespace, model), ()):
            self._context.enqueue(Key(MODELS.name, namespace, model), 0)
        if blocking:
            self._blocked[namespace, model] = blocking
        else:
            self._blocked.pop((namespace, model), None)

    async def _free(self, namespace: str, model: str, holder: Holder) -> bool | None:
        """True: freed. False: the holder is over, but something of it still runs. None: the holder is at work."""
        cache, kube = self._context.cache, self._context.kube
        if not may_free(holder, cache.get(TASKS, namespace, holder.name), ()):
            return None
        lease = await read_lease(kube, namespace, model)
        if _holder(lease) != holder:
            if lease is not None:
                cache.put_ahead(LEASES, lease)
            return False
        task = await kube.get(TASKS, namespace, holder.name)
        if not may_free(holder, task, await live_work(kube, namespace, model)):
            return False
        raw_model = cache.get(MODELS, namespace, model)
        if raw_model is None:
            return None  # the Lease goes with its model
        await write_holder(kube, cache, raw_model, lease, None, self._context.clock())
        logger.info("lock of %s freed, held by %s until now", model, holder.name, extra={"model": model})
        return True

    def _wake(self, namespace: str, model: str, holder: Holder | None) -> None:
        """Wake who is next, and if the queue or its head has changed the others, and duplicates of tasks that ended."""
        tasks = self._context.cache.of_model(TASKS, namespace, model)
        if not tasks:
            self._seen.pop((namespace, model), None)
            return
        waiting = queue(tasks, holder)
        done = sorted(uid_of(task) for task in tasks if has_ended(task))
        seen = (holder, tuple(uid_of(task) for task in waiting), tuple(done))
        if self._seen.get((namespace, model)) == seen:
            for task in waiting[:1] if holder is None else ():
                self._context.enqueue(Key(TASKS.name, namespace, name_of(task)), 0)
            return
        self._seen[namespace, model] = seen
        for task in [*waiting[:1], *(t for t in tasks if _is_duplicate(t) or _is_named(t, holder))]:
            self._context.enqueue(Key(TASKS.name, namespace, name_of(task)), 0)
        for position, task in enumerate(waiting[1:], 2):
            if position > EXACT_POSITIONS and _position(task) == shown_position(position):
                continue  # it has nothing new to say
            self._context.enqueue(Key(TASKS.name, namespace, name_of(task)), MOVED_SECONDS, urgent=False)


def _holder(lease: Object | None) -> Holder | None:
    try:
        return holder_of(lease)
    except ValueError:
        return None  # the tasks that wait say LockInconsistent


def _position(task: Object) -> int | None:
    """The place in the queue that a task's status shows."""
    shown = ((task.get("status") or {}).get("queue") or {}).get("position")
    return int(shown) if shown is not None else None


def _is_named(task: Object, holder: Holder | None) -> bool:
    """Whether the Lease names a task that still waits: a person has edited it."""
    return holder is not None and uid_of(task) == holder.uid and waits(task) and not says_it_holds(task)


def _is_duplicate(task: Object) -> bool:
    return not has_ended(task) and bool((task.get("status") or {}).get("duplicateOf"))
