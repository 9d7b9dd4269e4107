"""What a run will do, decided from what is declared and what the store holds: the method and the batch it takes.

The operator decides so under a model's lock, and `bluetune-trainer run -f` without a cluster: pure functions for both.
"""

from collections.abc import Collection, Iterable

from bluetune_api.base import ApiModel
from bluetune_api.batch_window import CompleteBatch, is_batch_id
from bluetune_api.method import FineTuningMethodSpec, Settings
from bluetune_api.records import MethodPlan
from bluetune_api.task import Overrides


def method_plan(method: FineTuningMethodSpec, overrides: Overrides | None = None) -> MethodPlan:
    """A method with a task's overrides applied: settings field by field, parameters one by one."""
    changes = overrides or Overrides()
    space = {**(method.initial_params or {}), **(changes.initial_params or {})}
    return MethodPlan(
        plugin=method.plugin,
        items=method.items,
        clickstream=method.clickstream,
        settings=_merge(method.settings, changes.settings),
        initial_params=space or None,
        initial_max_evals=changes.initial_max_evals or method.initial_max_evals,
    )


def _merge(settings: Settings | None, changes: Settings | None) -> Settings:
    merged = {**_present(settings), **_present(changes)}
    return Settings.model_validate(merged)


def _present(settings: ApiModel | None) -> dict[str, object]:
    """Fields that have a value. A null on the wire means absent, as it does for the API server."""
    return {name: value for name, value in settings or () if value is not None}


def select_batch(batches: Iterable[CompleteBatch], lineage: Collection[str]) -> str | None:
    """The newest batch that the start version has not learned from, by the time it was complete and then by id.

    Args:
        batches: the complete ones.
        lineage: ids that the start version or its ancestors were trained on (`Manifest.lineage_batches`).

    Returns:
        Its id; None if there is nothing new to learn.
    """
    new = [batch for batch in batches if batch.batch_id not in lineage and is_batch_id(batch.batch_id)]
    return max(new, key=lambda batch: (batch.completed, batch.batch_id)).batch_id if new else None
