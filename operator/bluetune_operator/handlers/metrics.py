"""What Prometheus may scrape."""

from collections.abc import Collection

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

from bluetune_operator.core.figures import RolloutEnd, TaskFigures
from bluetune_operator.handlers.queue import WorkQueue
from bluetune_operator.reconciler.base import NoticeOutcome

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
MINUTE, HOUR, DAY = 60, 3600, 86400
TASK_BUCKETS = (10, MINUTE, 5 * MINUTE, 15 * MINUTE, HOUR, 2 * HOUR, 4 * HOUR, 12 * HOUR, DAY, 3 * DAY)


class Metrics:
    """All metrics of the operator; also the `Observer` of the reconcilers."""

    def __init__(self, queue: WorkQueue) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(namespace="bluetune", registry=self.registry)
        self.reconcile_seconds = Histogram(
            "bluetune_reconcile_seconds",
            "Duration of a reconcile.",
            ["kind", "outcome"],
            buckets=BUCKETS,
            registry=self.registry,
        )
        self.retries = Counter(
            "bluetune_reconcile_retries_total",
            "Reconciles that failed and are tried again.",
            ["kind"],
            registry=self.registry,
        )
        self.api_seconds = Histogram(
            "bluetune_api_request_seconds",
            "Duration of a request to the API server.",
            ["method", "status"],
            buckets=BUCKETS,
            registry=self.registry,
        )
        self.first_job_seconds = Histogram(
            "bluetune_task_first_job_seconds",
            "From a task's creation (one second of resolution) to its first Job.",
            buckets=(0.5, 1, 2.5, 5, 10, 30, 60, 300, 3600),
            registry=self.registry,
        )
        self.leader = Gauge(
            "bluetune_leader", "1 on the replica that works, 0 on one that waits.", registry=self.registry
        )
        self._lost = Gauge(
            "bluetune_namespace_lost",
            "1 for a watched namespace that the operator may not list, or that is gone: nothing in it is served.",
            ["namespace"],
            registry=self.registry,
        )
        model = ["namespace", "model"]
        self._runs = Counter(
            "bluetune_retrain_runs_total", "Tasks that spec.retrain made.", model, registry=self.registry
        )
        self._held_back = Counter(
            "bluetune_retrain_held_back_total",
            "Times that a brake of spec.retrain began to hold runs back, by the reason of Retraining.",
            [*model, "reason"],
            registry=self.registry,
        )
        self._notices = Counter(
            "bluetune_notices_total",
            "Notices of spec.notify: Delivered, NotTaken (an attempt in vain) and Lost (given up).",
            [*model, "outcome"],
            registry=self.registry,
        )
        self._ended = Counter(
            "bluetune_tasks_ended_total", "Tasks that ended, by phase.", [*model, "phase"], registry=self.registry
        )
        self._verdicts = Counter(
            "bluetune_gate_verdicts_total",
            "Verdicts of the gate, as the reason of Promoted says them; GatePassed for a version that goes on.",
            [*model, "reason"],
            registry=self.registry,
        )
        self._rollouts = Counter(
            "bluetune_rollouts_total",
            "Rollouts that ended, by outcome (Done, Failed) and reason.",
            [*model, "outcome", "reason"],
            registry=self.registry,
        )
        self._queued = Histogram(
            "bluetune_task_queue_seconds",
            "From a task's creation until it took its model's lock.",
            model,
            buckets=TASK_BUCKETS,
            registry=self.registry,
        )
        self._ran = Histogram(
            "bluetune_task_run_seconds",
            "From a task's lock to its end, with its rollout.",
            model,
            buckets=TASK_BUCKETS,
            registry=self.registry,
        )
        self._series: dict[tuple[str, str], set[tuple[Counter | Histogram, tuple[str, ...]]]] = {}
        """The series of each model and their other labels: they are removed with the model."""
        for name, text, read in (
            ("bluetune_queue_depth", "Keys that wait for a worker.", queue.depth),
            ("bluetune_queue_later", "Keys that are due at a later time.", queue.later),
            ("bluetune_queue_failing", "Keys whose last reconcile failed.", queue.failing),
        ):
            Gauge(name, text, registry=self.registry).set_function(read)

    def lost_namespaces(self, namespaces: Collection[str]) -> None:
        """These of the watched namespaces cannot be listed."""
        self._lost.clear()
        for namespace in namespaces:
            self._lost.labels(namespace).set(1)

    def first_job(self, seconds: float) -> None:
        """See `Observer`."""
        self.first_job_seconds.observe(seconds)

    def retrain_run(self, namespace: str, model: str) -> None:
        """See `Observer`."""
        self._count(self._runs, namespace, model)

    def retrain_held_back(self, namespace: str, model: str, reason: str) -> None:
        """See `Observer`."""
        self._count(self._held_back, namespace, model, reason)

    def notice(self, namespace: str, model: str, outcome: NoticeOutcome, number: int = 1) -> None:
        """See `Observer`."""
        self._count(self._notices, namespace, model, outcome, number=number)

    def task_moved(self, namespace: str, model: str, figures: TaskFigures) -> None:
        """See `Observer`."""
        if figures.queue_seconds is not None:
            self._observe(self._queued, namespace, model, figures.queue_seconds)
        if figures.run_seconds is not None:
            self._observe(self._ran, namespace, model, figures.run_seconds)
        if figures.ended is not None:
            self._count(self._ended, namespace, model, figures.ended)
        if figures.verdict is not None:
            self._count(self._verdicts, namespace, model, figures.verdict)

    def rollout_ended(self, namespace: str, model: str, end: RolloutEnd) -> None:
        """See `Observer`."""
        self._count(self._rollouts, namespace, model, end.outcome, end.reason)

    def _count(self, counter: Counter, namespace: str, model: str, *labels: str, number: int = 1) -> None:
        counter.labels(namespace, model, *labels).inc(number)
        self._series.setdefault((namespace, model), set()).add((counter, labels))

    def _observe(self, histogram: Histogram, namespace: str, model: str, seconds: float) -> None:
        histogram.labels(namespace, model).observe(seconds)
        self._series.setdefault((namespace, model), set()).add((histogram, ()))

    def model_gone(self, namespace: str, model: str) -> None:
        """See `Observer`."""
        for metric, labels in self._series.pop((namespace, model), ()):
            metric.remove(namespace, model, *labels)

    def request(self, method: str, status: int, seconds: float) -> None:
        """A request to the API server went through."""
        self.api_seconds.labels(method, str(status)).observe(seconds)

    def text(self) -> bytes:
        """The metrics as /metrics gives them."""
        return generate_latest(self.registry)
