"""A FineTuningMethod's reconcile, which says whether it can be used; and a model's method, for who needs its image."""

from pydantic import ValidationError

from bluetune_api.method import FineTuningMethod, FineTuningMethodSpec, FineTuningMethodStatus
from bluetune_api.model import EmbeddingModelSpec
from bluetune_api.reading import first_problem, read_spec
from bluetune_operator.core.conditions import condition, merge
from bluetune_operator.core.kinds import METHODS, Object, is_deleting, namespace_of
from bluetune_operator.core.references import Problem, parsed
from bluetune_operator.core.rollout.moves import Failure
from bluetune_operator.reconciler.base import Context


class MethodReconciler:
    """Keeps the status of methods."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def reconcile(self, namespace: str, name: str) -> float | None:
        """See `Reconciler`."""
        raw = self._context.cache.get(METHODS, namespace, name)
        if raw is None or is_deleting(raw):
            return None
        method = parsed(FineTuningMethod, raw)
        bad = isinstance(method, Problem)
        before = None if isinstance(method, Problem) else method.status
        before = before or FineTuningMethodStatus()
        generation = int(raw["metadata"].get("generation") or 0)
        fresh = condition(
            "Ready",
            not bad,
            method.reason if isinstance(method, Problem) else "Valid",
            method.message if isinstance(method, Problem) else "",
            generation=generation,
            now=self._context.clock(),
        )
        conditions = merge(before.conditions, [fresh])
        status = before.model_copy(update={"conditions": conditions, "observed_generation": generation}).wire()
        if status != (raw.get("status") or {}):
            self._context.cache.put(METHODS, await self._context.kube.replace_status(METHODS, raw, status))
        return None


async def method_of(context: Context, model: Object, spec: EmbeddingModelSpec) -> FineTuningMethodSpec | Failure | None:
    """The model's method says which image holds the trainer; None if it names none."""
    if spec.method_ref is None:
        return None
    name = spec.method_ref.name
    found = await context.kube.get(METHODS, namespace_of(model), name)
    if found is None:
        return Failure("MethodNotFound", f"FineTuningMethod {name} (spec.methodRef) does not exist; create it")
    try:
        return read_spec(FineTuningMethodSpec, found["spec"])
    except ValidationError as error:
        return Failure("MethodInvalid", f"FineTuningMethod {name}: spec.{first_problem(error)}")
