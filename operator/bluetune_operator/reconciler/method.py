"""A FineTuningMethod's reconcile: say whether it can be used."""

from bluetune_api.method import FineTuningMethod, FineTuningMethodStatus
from bluetune_operator.core.conditions import condition, merge
from bluetune_operator.core.kinds import METHODS, is_deleting
from bluetune_operator.core.references import Problem, parsed
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
