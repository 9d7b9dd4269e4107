"""What a task refers to: is it there, can it be used, and if not, what to do about it."""

from dataclasses import dataclass
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from bluetune_api.method import FineTuningMethod
from bluetune_api.model import EmbeddingModel, EmbeddingModelSpec, EmbeddingModelStatus
from bluetune_api.reading import first_problem, read_spec
from bluetune_api.reasons import Reason
from bluetune_api.resource import Resource
from bluetune_api.schema import part
from bluetune_api.task import FineTuningTask
from bluetune_operator.core.conditions import find
from bluetune_operator.core.kinds import Object

R = TypeVar("R", bound=Resource)

UNTOLD = frozenset(
    {
        "VersionNotFound",
        "VersionInvalid",
        "StoreUnreachable",
        "StoreDenied",
        "StoreError",
        "ObjectTooLarge",
        "FormatTooNew",
    }
)
"""Reasons why a model cannot tell which version is live."""


@dataclass(frozen=True)
class Problem:
    """A reference that cannot be used now; the task goes on when it can."""

    reason: Reason
    message: str


def parsed(resource: type[R], thing: Object) -> R | Problem:
    """A resource from the API server; a Problem that names the field if it does not fit the types.

    The definitions in the cluster may be newer than this operator: fields of the spec that it does not know are passed
    over, and those of the status are kept.
    """
    about = f"{resource.__name__} {thing['metadata']['name']!r}: "
    try:
        status = status_of(resource, thing)
    except ValidationError as error:
        return Problem("StatusUnreadable", about + unreadable(error))
    known = {name: thing[name] for name in ("apiVersion", "kind", "metadata") if name in thing}
    try:
        spec = read_spec(part(resource, "spec"), thing.get("spec"))
    except ValidationError as error:
        return Problem("SpecInvalid", f"{about}spec.{first_problem(error)}")
    try:
        return resource.model_validate({**known, "spec": spec, "status": status})
    except ValidationError as error:
        return Problem("SpecInvalid", about + first_problem(error))


def spec_and_status(model: Object) -> tuple[EmbeddingModelSpec, EmbeddingModelStatus] | None:
    """A model's spec and status; None if one of them cannot be read, which the model's reconciler says."""
    try:
        spec = read_spec(EmbeddingModelSpec, model["spec"])
        return spec, EmbeddingModelStatus.model_validate(model.get("status") or {})
    except ValidationError:
        return None


def status_of(resource: type[Resource], thing: Object) -> BaseModel | None:
    """A resource's status, None if it has none yet. Raises ValidationError."""
    raw = thing.get("status")
    return part(resource, "status").model_validate(raw) if raw is not None else None


def unreadable(error: ValidationError) -> str:
    """What is said of a status that cannot be read."""
    return (
        f"status.{first_problem(error)}; a newer operator wrote this status. It is left as it is, and what it says is"
        " under way waits until an operator of that release or a later one is back: upgrade the operator"
    )


def method_name(task: FineTuningTask, model: EmbeddingModel) -> str | None:
    """Name of the method that a task follows: its own, or else the model's."""
    reference = task.spec.method_ref or model.spec.method_ref
    return reference.name if reference else None


def resolve_model(task: FineTuningTask, thing: Object | None) -> EmbeddingModel | Problem:
    """The task's model, or why it cannot be used."""
    name = task.spec.model_ref.name
    if thing is None:
        return Problem("ModelNotFound", f"EmbeddingModel {name!r} does not exist in this namespace; create it")
    model = parsed(EmbeddingModel, thing)
    if isinstance(model, Problem):
        unread = model.reason == "StatusUnreadable"
        return Problem("ModelNotReady" if unread else "ModelInvalid", model.message)
    if model.metadata.deletion_timestamp is not None:
        return Problem("ModelNotFound", f"EmbeddingModel {name!r} is being deleted")
    ready = find(model.status.conditions if model.status else None, "Ready")
    if ready is not None and ready.status == "False" and ready.reason == "AlreadyClaimed":
        return Problem("ModelNotReady", f"EmbeddingModel {name!r}: {ready.message}")
    if (unknown := _live_version_unknown(model.status)) is not None:
        return Problem("ModelNotReady", f"EmbeddingModel {name!r}: {unknown}")
    if start_version(task, model) is None:
        why = (
            f"{ready.reason}: {ready.message}" if ready is not None and ready.message else "its base is being imported"
        )
        return Problem("ModelNotReady", f"EmbeddingModel {name!r} has no version yet: {why}")
    return model


def _live_version_unknown(status: EmbeddingModelStatus | None) -> str | None:
    """Why a model that has lost its status does not know what blue serves; None if it does, or if nothing is served.

    A run would start from the base then, and be compared with nothing.
    """
    if status is None or status.base_version is None or status.current is not None or status.rollout is not None:
        return None
    ready = find(status.conditions, "Ready")
    return ready.message if ready is not None and ready.reason in UNTOLD else None


def start_version(task: FineTuningTask, model: EmbeddingModel) -> str | None:
    """Version that a task starts from: its own choice, what blue serves, or the imported base."""
    if task.spec.start_from is not None:
        return task.spec.start_from
    if model.status is None:
        return None
    return model.status.current.version if model.status.current else model.status.base_version


def resolve_method(task: FineTuningTask, model: EmbeddingModel, thing: Object | None) -> FineTuningMethod | Problem:
    """The task's method, or why it cannot be used."""
    name = method_name(task, model)
    if name is None:
        return Problem("MethodNotFound", "neither spec.methodRef nor the model's methodRef names a FineTuningMethod")
    if thing is None:
        return Problem("MethodNotFound", f"FineTuningMethod {name!r} does not exist in this namespace; create it")
    method = parsed(FineTuningMethod, thing)
    return Problem("MethodInvalid", method.message) if isinstance(method, Problem) else method
