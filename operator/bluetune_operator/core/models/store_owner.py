"""Whose a store is: what owner.json says, and what a model may do about it.

A model that stands in owner.json keeps the store, whatever others declare. Only two take it over: a model of the same
namespace and name in the same cluster, which is the former one made again, and one whose annotation names the owner.
"""

from collections.abc import Mapping
from typing import Any, Literal

from bluetune_api.reading import FormatTooNew, RecordInvalid, read_record
from bluetune_api.store_identity import TAKE_OVER_ANNOTATION, StoreOwner
from bluetune_operator.core.kinds import name_of, namespace_of, uid_of
from bluetune_operator.core.rollout.moves import Failure
from bluetune_operator.core.untrusted import clean

Step = Literal["Claim", "Ours", "Complete", "TakeOver"]
"""Create owner.json; go on; add the cluster, which could not be told before; replace owner.json."""

SHOWN_CHARACTERS = 200


def owner_from(model: Mapping[str, Any], cluster: str | None) -> StoreOwner:
    """What owner.json says of a store that belongs to this model."""
    return StoreOwner(cluster=cluster, namespace=namespace_of(model), name=name_of(model), uid=uid_of(model))


def take_over_from(model: Mapping[str, Any]) -> str | None:
    """The owner that the model's annotation names."""
    named: str | None = (model["metadata"].get("annotations") or {}).get(TAKE_OVER_ANNOTATION)
    return named


def owner_step(found: bytes | None, ours: StoreOwner, named: str | None, where: str) -> Step | Failure:
    """What to do before the model may use the store.

    Args:
        found: content of owner.json; None if there is none.
        ours: the owner that this model would be.
        named: the owner that its annotation names.
        where: address of owner.json, for the message.
    """
    if found is None:
        return "Claim"
    owner = parsed_owner(found, where)
    if isinstance(owner, Failure):
        return owner
    if owner.uid == ours.uid:
        return "Complete" if owner.cluster is None and ours.cluster is not None else "Ours"
    same_name = (owner.namespace, owner.name) == (ours.namespace, ours.name)
    if same_name and owner.cluster is not None and owner.cluster == ours.cluster:
        return "TakeOver"
    if named == owner.reference():
        return "TakeOver"
    return _refusal(owner, ours, named, where)


def parsed_owner(data: bytes, where: str) -> StoreOwner | Failure:
    """owner.json as a record, or why it says nothing."""
    try:
        return read_record(StoreOwner, data, "operator")
    except FormatTooNew as error:
        return Failure("FormatTooNew", f"{where} cannot be read: {error}; nothing is written there")
    except RecordInvalid as error:
        text = f"{where} cannot be read: {error}"
        return Failure(
            "AlreadyClaimed",
            f"{clean(text, SHOWN_CHARACTERS)}; nothing is written there. If no other model uses the prefix, remove the"
            " object",
        )


def not_held(found: bytes | None, model: Mapping[str, Any], where: str) -> Failure | None:
    """Why nothing may be written or deleted below the prefix now; None if owner.json names this model."""
    if found is None:
        return Failure("ModelNotReady", f"{where} does not exist yet; the model is about to claim its store")
    owner = parsed_owner(found, where)
    if isinstance(owner, Failure):
        return owner
    if owner.uid == uid_of(model):
        return None
    if (owner.namespace, owner.name) == (namespace_of(model), name_of(model)):
        return Failure("ModelNotReady", f"the model was made again, and does not stand in {where} yet")
    return _refusal(owner, owner_from(model, None), take_over_from(model), where)


def _refusal(owner: StoreOwner, ours: StoreOwner, named: str | None, where: str) -> Failure:
    cluster = f" of cluster {owner.cluster}" if owner.cluster and owner.cluster != ours.cluster else ""
    text = (
        f"the store belongs to model {owner.namespace}/{owner.name} (uid {owner.uid}){cluster}, as {where} says;"
        " nothing is written or deleted there. Make a new model with a spec.store.prefix of its own, or, if that model"
        f" is gone for good: kubectl -n {ours.namespace} annotate emodel {ours.name}"
        f" {TAKE_OVER_ANNOTATION}={owner.reference()} --overwrite"
    )
    if named is not None and named != owner.reference():
        text += f" (now it names {clean(named, SHOWN_CHARACTERS)!r})"
    return Failure("AlreadyClaimed", text)
