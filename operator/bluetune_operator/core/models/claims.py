"""What a model claims for itself alone: its part of the store, and its Deployment.

Who holds it keeps it: an edit of another model, or an earlier creation time, dispossesses nobody. A store is held by
owner.json (`store_owner.py`), a Deployment by the status of the model that serves it; where that was lost, by the model
whose store the Deployment serves. What nobody holds yet goes to the model that was created first.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from bluetune_api import store_layout
from bluetune_operator.core.kinds import name_of, namespace_of, uid_of
from bluetune_operator.core.rollout.moves import Failure
from bluetune_operator.core.rollout.serving_patch import served_uri

Model = Mapping[str, Any]


def claimed_by_another(model: Model, models: Iterable[Model], deployment: Model | None = None) -> Failure | None:
    """Which other model has what this one claims, as far as their resources and the Deployment tell.

    Models of all watched namespaces count. One of the same name does not: it is this one, or a former one that the
    cache still holds. A model whose base is published has held its store: whether it still does, owner.json says alone.
    """
    others = list(models)
    if not _has_base(model) and (failure := store_claimed_by_another(model, others)) is not None:
        return failure
    if (place := _deployment(model)) is None:
        return None

    def order(each: Model) -> int:
        return 0 if holds_deployment(each) else 1 if _is_served(each, deployment) else 2

    other = _rival(model, others, lambda m: _deployment(m) == place, order)
    if other is None:
        return None
    text = f"Deployment {place[1]} belongs to model {_called(other, model)}, {_WHY[order(other)]}"
    return Failure("AlreadyClaimed", f"{text}; name another Deployment in spec.serving.deployment")


def store_claimed_by_another(model: Model, models: Iterable[Model]) -> Failure | None:
    """Which other model has this one's prefix, before owner.json says so."""

    def order(each: Model) -> int:
        return 0 if _has_base(each) else 2

    other = _rival(model, models, lambda m: _store(m) == _store(model), order)
    if other is None:
        return None
    text = f"the store prefix {_store_text(model)} belongs to model {_called(other, model)}, {_WHY[order(other)]}"
    return Failure("AlreadyClaimed", f"{text}; make a new model with a spec.store.prefix of its own")


def holds_deployment(model: Model) -> bool:
    """Whether a model has claimed the Deployment that it names."""
    place = _deployment(model)
    return place is not None and (model.get("status") or {}).get("deployment") == place[1]


_WHY = ("which has claimed it before", "whose version it serves", "which is older")


def _rival(
    model: Model, models: Iterable[Model], claims: Callable[[Model], bool], order: Callable[[Model], int]
) -> Model | None:
    """The model that goes before this one, of those that claim the same: by `order`, then by age."""

    def rank(each: Model) -> tuple[int, str, str]:
        return (order(each), *_seniority(each))

    others = (other for other in models if _place(other) != _place(model) and claims(other))
    first = min(others, key=rank, default=None)
    return first if first is not None and rank(first) < rank(model) else None


def _is_served(model: Model, deployment: Model | None) -> bool:
    """Whether the Deployment serves a version out of this model's store."""
    uri = served_uri(deployment, model["spec"]["serving"]["container"])
    _, bucket, prefix = _store(model)
    folder = "/".join(part for part in ("s3:/", bucket, prefix, store_layout.VERSIONS) if part)
    return uri is not None and uri.startswith(folder)


def _has_base(model: Model) -> bool:
    return bool((model.get("status") or {}).get("baseVersion"))


def _seniority(model: Model) -> tuple[str, str]:
    return str(model["metadata"].get("creationTimestamp", "")), uid_of(model)


def _place(model: Model) -> tuple[str, str]:
    return namespace_of(model), name_of(model)


def _store(model: Model) -> tuple[str, str, str]:
    store = model["spec"]["store"]
    return store["endpoint"], store["bucket"], store.get("prefix", "")


def _store_text(model: Model) -> str:
    endpoint, bucket, prefix = _store(model)
    return f"s3://{bucket}/{prefix} at {endpoint}"


def _deployment(model: Model) -> tuple[str, str] | None:
    serving = model["spec"].get("serving")
    return (namespace_of(model), serving["deployment"]) if serving else None


def _called(other: Model, model: Model) -> str:
    same = namespace_of(other) == namespace_of(model)
    return repr(name_of(other)) if same else repr(f"{namespace_of(other)}/{name_of(other)}")
