"""What a task refers to: is it there, can it be used, and if not, what to do about it."""

from dataclasses import dataclass
from typing import TypeVar

from pydantic import ValidationError

from bluetune_api.method import FineTuningMethod
from bluetune_api.model import EmbeddingModel, EmbeddingModelStatus
from bluetune_api.reasons import Reason
from bluetune_api.resource import Resource
from bluetune_api.task import FineTuningTask
from bluetune_operator.core.conditions import find
from bluetune_operator.core.kinds import Object
from bluetune_operator.core.validation import first_problem

R = TypeVar("R", bound=Resource)

UNTOLD = frozenset(
    {"VersionNotFound", "VersionInvalid", "StoreUnreachable", "StoreDenied", "StoreError", "ObjectTooLarge"}
)
"""Reasons why a model cannot tell which version is live."""


@dataclass(frozen=True)
class Problem:
    """A reference that cannot be used now; the task goes on when it can."""

    reason: Reason
    message: str


def parsed(resource: type[R], thing: Object) -> R | Problem:
    """A resource from the API server; a Problem that names the field if it does not fit the types."""
    known = {name: thing[name] for name in ("apiVersion", "kind", "metadata", "spec", "status") if name in thing}
    try:
        return resource.model_validate(known)
    except ValidationError as error:
        return Problem("SpecInvalid", f"{resource.__name__} {thing['metadata']['name']!r}: {first_problem(error)}")


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
        return Problem("ModelInvalid", model.message)
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
