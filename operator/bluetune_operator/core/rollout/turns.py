"""Whose turn it is: how many rollouts run at a time, and in which order those that wait begin.

Each rollout starts new pods, and may run a reindex Job; what makes many models due at once (an edit of all of them, a
policy that takes variables out of Deployments) would load a cluster all at once. All is read from the models' statuses.
A rollout that goes back, and one that `rollbackTo` asks for, waits for nobody.
"""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any

from bluetune_api.model import Rollout
from bluetune_operator.core.kinds import condition, is_deleting, name_of, namespace_of
from bluetune_operator.core.rollout.choice import ACTIVE
from bluetune_operator.core.times import stamp
from bluetune_operator.core.unreadable_status import says_unreadable

Model = Mapping[str, Any]
Name = tuple[str, str]
"""Namespace and name of a model."""

FROZEN = frozenset({"InvalidSpec", "FormatTooNew", "VersionNotFound"})
"""Reasons of a model whose rollout may not move until a person has done something."""


def takes_a_turn(model: Model) -> bool:
    """Whether a model's rollout is at work. One that waits for pods of a Deployment at 0 replicas, perhaps for days,
    keeps nobody waiting."""
    rollout = _moving(model)
    return bool(rollout) and not rollout.get("queuedSince") and rollout.get("reason") != "ScaledToZero"


def _moving(model: Model) -> Mapping[str, Any]:
    """The model's rollout, if it is under way and can move by itself."""
    rollout: Mapping[str, Any] = (model.get("status") or {}).get("rollout") or {}
    frozen = (condition(model, "Ready") or {}).get("reason") in FROZEN or says_unreadable(model)
    return rollout if rollout.get("step") in ACTIVE and not frozen and not is_deleting(model) else {}


def queue_of(models: Iterable[Model]) -> list[Name]:
    """The models whose rollouts wait for their turn, the longest waiting first."""
    since = ((_moving(model).get("queuedSince"), namespace_of(model), name_of(model)) for model in models)
    return [(namespace, name) for _, namespace, name in sorted(each for each in since if each[0])]


def has_turn(model: Name, models: Collection[Model], starting: Collection[Name], most: int) -> bool:
    """Whether a model's rollout may start.

    Args:
        model: the one that asks; behind all that wait, if it does not wait yet.
        models: all of them.
        starting: models whose rollouts were let start, and whose statuses do not say so yet.
        most: rollouts at a time.
    """
    running = {(namespace_of(each), name_of(each)) for each in models if takes_a_turn(each)} | set(starting)
    waiting = [name for name in queue_of(models) if name not in running]
    place = waiting.index(model) if model in waiting else len(waiting)
    return len(running - {model}) + place < most


def queued(rollout: Rollout, most: int, now: datetime) -> Rollout:
    """The rollout that waits for its turn."""
    text = f"waits for its turn: {most} rollouts run at a time; the longest waiting starts when one of them ends"
    return rollout.model_copy(update={"queued_since": stamp(now), "reason": "RolloutQueued", "message": text})
