"""Whom a change concerns: from an object that came, changed or went, to the keys to reconcile."""

from collections.abc import Iterator

from bluetune_operator.adapters.cache import ObjectCache
from bluetune_operator.core.kinds import (
    DEPLOYMENTS,
    JOBS,
    LEASES,
    LOCK,
    METHODS,
    MODEL_LABEL,
    MODELS,
    NOTIFY,
    PODS,
    RETRAIN,
    TASK_LABEL,
    TASKS,
    Key,
    Kind,
    Object,
    condition,
    labels_of,
    name_of,
    namespace_of,
)
from bluetune_operator.core.lock.rules import has_ended, says_it_holds
from bluetune_operator.core.retrain.tasks import was_made
from bluetune_operator.reconciler.tasks.reconcile import refers_to_method


def keys_for(kind: Kind, thing: Object, cache: ObjectCache) -> set[Key]:
    """All keys that a change of `thing` concerns. The cache must know the change already."""
    return set(_keys(kind, thing, cache))


def _keys(kind: Kind, thing: Object, cache: ObjectCache) -> Iterator[Key]:
    namespace, name = namespace_of(thing), name_of(thing)
    if kind == TASKS:
        model = str(thing["spec"]["modelRef"]["name"])
        yield Key(TASKS.name, namespace, name)
        yield from _lock_and_model(namespace, model)
        if was_made(thing):
            yield Key(RETRAIN, namespace, model)
    elif kind == MODELS:
        yield from _lock_and_model(namespace, name)
        yield from _of_itself(thing)
        for task in cache.of_model(TASKS, namespace, name):
            if not has_ended(task):
                yield Key(TASKS.name, namespace, name_of(task))
    elif kind == METHODS:
        yield Key(METHODS.name, namespace, name)
        yield from _users_of_method(namespace, name, cache)
    elif kind in (JOBS, PODS):
        labels = labels_of(thing)
        model = labels.get(MODEL_LABEL, "")
        if TASK_LABEL in labels:
            yield Key(TASKS.name, namespace, labels[TASK_LABEL])
            if model:
                yield Key(LOCK, namespace, model)
        elif model:
            yield Key(MODELS.name, namespace, model)
    elif kind == LEASES:
        if lease_model := labels_of(thing).get(MODEL_LABEL):
            yield from _lock_and_model(namespace, lease_model)
    elif kind == DEPLOYMENTS:
        for served in models_serving(namespace, name, cache):
            yield Key(MODELS.name, namespace, name_of(served))


def keys_to_look_at(kind: Kind, thing: Object) -> Iterator[Key]:
    """What is looked at now and then without any news of `thing`, for an event that got lost in the operator itself.

    Tasks that wait are the lock's: it wakes the next one.
    """
    namespace, name = namespace_of(thing), name_of(thing)
    if kind == MODELS:
        yield from _lock_and_model(namespace, name)
        yield from _of_itself(thing)
    elif kind == METHODS or (kind == TASKS and says_it_holds(thing)):
        yield Key(kind.name, namespace, name)


def models_serving(namespace: str, deployment: str, cache: ObjectCache) -> list[Object]:
    """Models that claim a Deployment."""
    return [
        model
        for model in cache.all(MODELS)
        if namespace_of(model) == namespace and (model["spec"].get("serving") or {}).get("deployment") == deployment
    ]


def _of_itself(model: Object) -> Iterator[Key]:
    """spec.retrain and spec.notify, which a model has, or had and still speaks of."""
    namespace, name = namespace_of(model), name_of(model)
    if "retrain" in model["spec"] or condition(model, "Retraining") is not None:
        yield Key(RETRAIN, namespace, name)
    if "notify" in model["spec"] or "notify" in (model.get("status") or {}):
        yield Key(NOTIFY, namespace, name)


def _lock_and_model(namespace: str, model: str) -> Iterator[Key]:
    yield Key(LOCK, namespace, model)
    yield Key(MODELS.name, namespace, model)


def _users_of_method(namespace: str, method: str, cache: ObjectCache) -> Iterator[Key]:
    models = {name_of(m): m for m in cache.all(MODELS) if namespace_of(m) == namespace}
    for name, model in models.items():
        if (model["spec"].get("methodRef") or {}).get("name") == method:
            yield Key(MODELS.name, namespace, name)
    for task in cache.all(TASKS):
        if namespace_of(task) != namespace or has_ended(task):
            continue
        if refers_to_method(task, models.get(task["spec"]["modelRef"]["name"]), method):
            yield Key(TASKS.name, namespace, name_of(task))
