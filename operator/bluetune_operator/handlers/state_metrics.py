"""Gauges of what resources say, made when Prometheus asks: they outlive a restart, and go with their resource."""

from collections import Counter as Tally
from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from bluetune_operator.adapters.cache import ObjectCache
from bluetune_operator.core.figures import lock_progress
from bluetune_operator.core.kinds import MODELS, TASKS, Object, condition, is_deleting, name_of, namespace_of
from bluetune_operator.core.times import moment_of

MODEL = ["namespace", "model"]


class StateMetrics(Collector):
    """Reads the cache of the replica that works; one that stands by has none of these series."""

    def __init__(self, cache: ObjectCache) -> None:
        self._cache = cache

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """All gauges, as they are now."""
        yield from _of_tasks([task for task in self._cache.all(TASKS) if not is_deleting(task)])
        yield from _of_models([model for model in self._cache.all(MODELS) if not is_deleting(model)])


def _of_tasks(tasks: list[Object]) -> Iterator[GaugeMetricFamily]:
    counts: Tally[tuple[str, ...]] = Tally()
    moved: dict[tuple[str, str], float] = {}
    for task in tasks:
        model = namespace_of(task), str(task["spec"]["modelRef"]["name"])
        if phase := (task.get("status") or {}).get("phase"):
            counts[(*model, phase, (condition(task, "Ready") or {}).get("reason", ""))] += 1
        if (moment := lock_progress(task)) is not None:
            moved[model] = moment
    of_phase = GaugeMetricFamily(
        "bluetune_tasks", "Tasks by phase and by the reason of Ready.", labels=[*MODEL, "phase", "reason"]
    )
    for labels, count in counts.items():
        of_phase.add_metric(labels, count)
    lock = GaugeMetricFamily(
        "bluetune_lock_progress_timestamp_seconds",
        "When the task that holds a model's lock last moved. A task that is being rolled out is left out.",
        labels=MODEL,
    )
    for model, moment in moved.items():
        lock.add_metric(model, moment)
    yield from (of_phase, lock)


def _of_models(models: list[Object]) -> Iterator[GaugeMetricFamily]:
    conditions = GaugeMetricFamily(
        "bluetune_model_condition",
        "1 for each condition of a model, with its status and reason.",
        labels=[*MODEL, "condition", "status", "reason"],
    )
    steps = GaugeMetricFamily(
        "bluetune_model_rollout_step_timestamp_seconds",
        "When the last rollout of a model came to its present step; with the reason, if it went back.",
        labels=[*MODEL, "step", "reason"],
    )
    for model in models:
        labels, status = (namespace_of(model), name_of(model)), model.get("status") or {}
        for each in status.get("conditions") or ():
            conditions.add_metric((*labels, each["type"], each["status"], each["reason"]), 1)
        rollout = status.get("rollout") or {}  # of a newer operator perhaps, which calls its fields otherwise
        if (step := rollout.get("step")) and (began := rollout.get("stepStartedAt")):
            steps.add_metric((*labels, step, rollout.get("reason") or ""), moment_of(began).timestamp())
    yield from (conditions, steps)
