"""What a model claims for itself alone: its part of the store, and its Deployment. Of two, the earlier one has it."""

from collections.abc import Iterable, Mapping
from typing import Any

from bluetune_operator.core.kinds import name_of, namespace_of, uid_of
from bluetune_operator.core.rollout import Failure

Model = Mapping[str, Any]


def claimed_by_another(model: Model, models: Iterable[Model]) -> Failure | None:
    """Which earlier model claims what this one claims, if one does. Models of all watched namespaces count.

    One of the same name does not: it is this one, or a former one that the cache still holds.
    """
    for other in sorted(models, key=_seniority):
        if _place(other) == _place(model) or _seniority(other) > _seniority(model):
            continue
        if _store(other) == _store(model):
            text = f"the store prefix {_store_text(model)} belongs to model {_called(other, model)}, which is older"
            return Failure("AlreadyClaimed", f"{text}; give this model a spec.store.prefix of its own")
        if _deployment(model) is not None and _deployment(other) == _deployment(model):
            name = model["spec"]["serving"]["deployment"]
            text = f"Deployment {name} belongs to model {_called(other, model)}, which is older"
            return Failure("AlreadyClaimed", f"{text}; name another Deployment in spec.serving.deployment")
    return None


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
