"""Turns of rollouts, as the cache shows them."""

from bluetune_operator.core.kinds import MODELS, Key, Object, name_of, namespace_of
from bluetune_operator.core.rollout.turns import has_turn, queue_of
from bluetune_operator.reconciler.base import Context


class RolloutTurns:
    """Lets rollouts start. It remembers those that it let start for as long as one reconcile takes to write it down."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._starting: set[tuple[str, str]] = set()

    def take(self, model: Object) -> bool:
        """Whether the model's rollout may start now; then `release` must follow when its status is written, or not."""
        key = namespace_of(model), name_of(model)
        most = self._context.config.max_rollouts
        granted = has_turn(key, self._context.cache.all(MODELS), self._starting, most)
        if granted:
            self._starting.add(key)
        return granted

    def release(self, namespace: str, name: str) -> None:
        """The reconcile is over: from now on the model's status says whether its rollout runs."""
        self._starting.discard((namespace, name))

    def wake_next(self) -> None:
        """A rollout has ended: have those look that may be next."""
        waiting = queue_of(self._context.cache.all(MODELS))
        for namespace, name in waiting[: self._context.config.max_rollouts]:
            self._context.enqueue(Key(MODELS.name, namespace, name), 0.0)
