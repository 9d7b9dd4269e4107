"""The phases: many tasks applied, queue positions, finishing at a pace, a restart, and doing nothing."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kubernetes import client
from kubernetes.client.api_client import ApiClient

from bluetune_api.s3 import S3Store
from bluetune_api.store_location import StoreLocation
from bluetune_operator.adapters.kube import KubeApi, load_configuration
from bluetune_operator.core.kinds import (
    MODEL_LABEL,
    MODELS,
    TASK_UID_LABEL,
    TASKS,
    Kind,
    Object,
    labels_of,
    name_of,
    namespace_of,
    uid_of,
)
from bluetune_operator.core.lock.rules import has_ended, holder_of, queue_order
from bluetune_operator.reconciler.models.retention import RETENTION
from bluetune_operator.reconciler.tasks.reconcile import LOCK
from cluster.metrics import metric
from cluster.processes import command_name, resident_mib
from operator_latency import NAMESPACES, Bench, processor_seconds, resource
from operator_scale.trainer import Follower, Trainer
from quantiles import quantile
from rights.audit import compare, read

QUOTAS = Kind("", "v1", "resourcequotas", "ResourceQuota")
METRICS_PORT = 18081
PROGRAMS = 6
"""So many programs that needed the most processor time are told."""
WRITES = ("create", "update", "patch", "delete")


def seconds_by_program() -> Counter[str]:
    """Processor time of all processes until now, by the name of their program; Python's by their module."""
    found: Counter[str] = Counter()
    for pid in (int(name) for name in os.listdir("/proc") if name.isdigit()):
        with suppress(OSError):  # it ended meanwhile
            found[_program(pid)] += processor_seconds(pid)
    return found


def _program(pid: int) -> str:
    if pid == os.getpid():
        return "this benchmark"
    words = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    return words[words.index("-m") + 1] if "-m" in words[:-1] else command_name(pid)


class Operator:
    """One operator process for the whole cluster, with the chart's rights."""

    def __init__(self, environment: dict[str, str], log: Path) -> None:
        self._environment = os.environ | environment
        self._log = log
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "bluetune_operator"], env=self._environment, stderr=log, stdout=log
            )

    def end(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(30)

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def metric(self, name: str, label: str = "") -> float | None:
        """Sum of a metric over its labels; None while nothing answers."""
        try:
            return metric(METRICS_PORT, name, label)
        except OSError:
            return None

    def reconciles(self) -> Counter[str]:
        """How many reconciles there were, by kind."""
        kinds = (TASKS.name, MODELS.name, LOCK, RETENTION)
        return Counter({k: int(self.metric("bluetune_reconcile_seconds_count", f'kind="{k}"') or 0) for k in kinds})


class Scale:
    """Namespaces full of models and tasks."""

    def __init__(self, kube: KubeApi, store: dict[str, Any], keys: tuple[str, str], options: Any) -> None:
        self.kube = kube
        self.options = options
        self._store = store
        self._keys = keys
        self.namespaces = [f"scale-{n}" for n in range(options.namespaces)]

    def store_of(self, namespace: str, model: str) -> S3Store:
        where = StoreLocation(**(self._store | {"prefix": f"{namespace}/{model}"}))
        return S3Store(where, access_key=self._keys[0], secret_key=self._keys[1])

    async def prepare(self) -> None:
        """Namespaces without pods, models with a base and a batch."""
        for namespace in self.namespaces:
            await Bench(self.kube, namespace, self._store, self._keys).prepare(self.options.models)
            await self.kube.create(QUOTAS, resource(QUOTAS, namespace, "no-pods", spec={"hard": {"pods": "0"}}))

    async def apply(self) -> None:
        """All tasks, round the models, so that each has a queue."""
        gate = asyncio.Semaphore(8)

        async def create(namespace: str, model: int, number: int) -> None:
            async with gate:
                spec = {"modelRef": {"name": f"m{model}"}, "batchId": "b1"}
                await self.kube.create(TASKS, resource(TASKS, namespace, f"t{model}-{number}", spec=spec))

        wanted = [
            create(namespace, model, number)
            for number in range(self.options.tasks)
            for namespace in self.namespaces
            for model in range(self.options.models)
        ]
        await asyncio.gather(*wanted)

    async def tasks(self) -> list[Object]:
        return [task for namespace in self.namespaces for task in await self.kube.list(TASKS, namespace)]

    async def remove(self) -> None:
        for namespace in self.namespaces:
            await self.kube.delete(NAMESPACES, "", namespace)


def misplaced(tasks: Iterable[Object]) -> int:
    """How many tasks that wait say a place in the queue that is not theirs."""
    queues: dict[tuple[str, str], list[Object]] = defaultdict(list)
    for task in tasks:
        if not has_ended(task):
            queues[namespace_of(task), task["spec"]["modelRef"]["name"]].append(task)
    wrong = 0
    for queue in queues.values():
        holders = [t for t in queue if (t.get("status") or {}).get("startTime")]
        waiting = sorted((t for t in queue if t not in holders), key=queue_order)
        wrong += 1 if len(holders) != 1 else 0
        for place, task in enumerate(waiting, 1):
            said = ((task.get("status") or {}).get("queue") or {}).get("position")
            wrong += said != place
    return wrong


class Handovers:
    """From a Lease that became free to the next Job of its model, as a watch sees both."""

    def __init__(self) -> None:
        self._freed: dict[tuple[str, str], float] = {}
        self._jobs: set[str] = set()
        self.seconds: list[float] = []

    def lease(self, kind: str, lease: Object, moment: float) -> None:
        """A Lease's watch event."""
        model = labels_of(lease).get(MODEL_LABEL)
        if kind == "MODIFIED" and model is not None and holder_of(lease) is None:
            self._freed[namespace_of(lease), model] = moment

    def job(self, kind: str, job: Object, moment: float) -> None:
        """A Job's watch event."""
        freed = self._freed.get((namespace_of(job), labels_of(job).get(MODEL_LABEL, "")))
        if kind == "ADDED" and name_of(job).endswith("-check") and uid_of(job) not in self._jobs and freed is not None:
            self._jobs.add(uid_of(job))
            del self._freed[namespace_of(job), labels_of(job)[MODEL_LABEL]]
            self.seconds.append(moment - freed)


def calls(audit: Path, begin: datetime, end: datetime) -> Counter[str]:
    """Requests of the operator between two moments, by verb and resource; those of its own Lease apart."""
    found: Counter[str] = Counter()

    def within() -> Iterator[dict[str, Any]]:
        for event in read(audit):
            at = datetime.fromisoformat(event["requestReceivedTimestamp"])
            if begin <= at <= end and (event.get("objectRef") or {}).get("name") != "bluetune.operator":
                yield event

    for right, count in compare(within(), frozenset()).used.items():
        found[str(right)] += count
    return found


@contextmanager
def timed(row: dict[str, Any], name: str) -> Iterator[None]:
    begun = time.monotonic()
    yield
    row[name] = round(time.monotonic() - begun, 2)


async def until(what: str, seconds: float, holds: Any, pause: float = 0.5) -> None:
    """Poll. Raises SystemExit when the time is over."""
    deadline = time.monotonic() + seconds
    while not await holds():
        if time.monotonic() > deadline:
            raise SystemExit(f"not within {seconds:.0f} s: {what}")
        await asyncio.sleep(pause)


async def measure(scale: Scale, operator: Operator, audit: Path) -> dict[str, Any]:
    """All phases; see the module of the program."""
    options, found = scale.options, {}
    count = options.namespaces * options.models * options.tasks
    with timed(found, "prepare_seconds"):
        await scale.prepare()
    operator.start()

    async def ready() -> bool:
        for namespace in scale.namespaces:
            models = await Bench(scale.kube, namespace, {}, ("", "")).ready()
            if models < options.models:
                return False
        return True

    await until("all models are ready", 900, ready, 2)
    print(f"{options.namespaces * options.models} models are ready", flush=True)

    with timed(found, "apply_seconds"):
        await scale.apply()

    async def placed() -> bool:
        return misplaced(await scale.tasks()) == 0

    with timed(found, "positions_right_seconds"):
        await until("all queue positions are right", 900, placed, 1)
    print(
        f"{count} tasks applied in {found['apply_seconds']} s, queues right {found['positions_right_seconds']} s later"
    )

    async def first_jobs() -> bool:
        return (
            operator.metric("bluetune_queue_depth") == 0 and await refused(scale) == options.namespaces * options.models
        )

    await until("each model's first Job is made, and said to have no pod", 300, first_jobs, 2)
    found["finishing"] = []
    for rate in options.rates:
        found["finishing"].append(await _finishing(scale, operator, audit, rate))
        print(json.dumps(found["finishing"][-1], indent=1), flush=True)
        await until("all queue positions are right again", 600, placed, 1)
    found["restart"] = await _restart(operator, audit, count)
    print(json.dumps(found["restart"], indent=1), flush=True)
    found["idle"] = await _idle(operator, audit, options.idle)
    return found


async def refused(scale: Scale) -> int:
    """How many tasks say that the quota refuses the pods of their Jobs."""
    conditions = [c for task in await scale.tasks() for c in (task.get("status") or {}).get("conditions") or ()]
    return sum(c["type"] == "Ready" and c["reason"] == "PodRefused" for c in conditions)


async def _finishing(scale: Scale, operator: Operator, audit: Path, rate: float) -> dict[str, Any]:
    """Tasks end at a rate for a while, until each has a successor."""
    trainer, handovers = Trainer(scale.kube, scale.store_of), Handovers()
    api = ApiClient(load_configuration())
    ready: dict[tuple[str, str], str] = {}

    def job(kind: str, thing: Object, moment: float) -> None:
        trainer.seen(kind, thing, moment)
        handovers.job(kind, thing, moment)
        if name_of(thing).endswith("-check") and kind != "DELETED":
            ready[namespace_of(thing), labels_of(thing)[MODEL_LABEL]] = labels_of(thing)[TASK_UID_LABEL]

    followers = [
        Follower(client.CoordinationV1Api(api).list_lease_for_all_namespaces, handovers.lease),
        Follower(client.BatchV1Api(api).list_job_for_all_namespaces, job),
    ]
    await asyncio.sleep(5)
    begin, used, peak = datetime.now(UTC), seconds_by_program(), 0.0
    start, released, looks = time.monotonic(), set(), operator.reconciles()
    models = sorted(ready)
    for number in range(round(rate * scale.options.seconds)):
        await asyncio.sleep(max(0.0, start + number / rate - time.monotonic()))
        uid = ready[models[number % len(models)]]
        released.add(uid)
        trainer.release(uid)
        peak = max(peak, resident_mib(operator.pid))

    async def finished() -> bool:
        ended = {uid_of(task) for task in await scale.tasks() if has_ended(task)}
        return released <= ended and len(handovers.seconds) >= len(released)

    await until("all released tasks have ended and their successors have Jobs", 600, finished, 1)
    seconds = time.monotonic() - start
    for follower in followers:
        follower.close()
    if trainer.problems:
        raise SystemExit(f"the benchmark's trainer failed: {trainer.problems[:3]}")
    asked = calls(audit, begin, datetime.now(UTC))
    done = len(released)
    return {
        "tasks": done,
        "rate": rate,
        "seconds": round(seconds, 1),
        "lock_free_to_job": {f"p{int(q * 100)}": round(quantile(handovers.seconds, q), 3) for q in (0.5, 0.9, 0.99)}
        | {"max": round(max(handovers.seconds), 3)},
        "processor_ms_per_task": {
            program: round(1000 * spent / done, 1)
            for program, spent in (seconds_by_program() - used).most_common(PROGRAMS)
        },
        "operator_mib": round(peak, 1),
        "reconciles_per_task": {k: round(n / done, 2) for k, n in (operator.reconciles() - looks).items()},
        "calls_per_task": {what: round(n / done, 2) for what, n in asked.most_common()},
        "all_calls_per_task": round(sum(asked.values()) / done, 1),
        "status_writes_per_task": round(asked["update finetuningtasks/status.bluetune.dev"] / done, 2),
    }


async def _restart(operator: Operator, audit: Path, count: int) -> dict[str, Any]:
    operator.end()
    begin, start = datetime.now(UTC), time.monotonic()
    operator.start()

    async def settled() -> bool:
        if operator.metric("bluetune_queue_depth") != 0:
            return False
        return (operator.metric("bluetune_reconcile_seconds_count") or 0) >= count

    await until("everything was looked at after the restart", 600, settled, 0.2)
    seconds = time.monotonic() - start
    asked = calls(audit, begin, datetime.now(UTC))
    return {
        "settled_seconds": round(seconds, 1),
        "cpu_seconds": round(processor_seconds(operator.pid), 1),
        "operator_mib": round(resident_mib(operator.pid), 1),
        "calls": dict(asked.most_common()),
        "writes": sum(n for what, n in asked.items() if what.split()[0] in WRITES),
    }


async def _idle(operator: Operator, audit: Path, seconds: float) -> dict[str, Any]:
    await asyncio.sleep(20)
    begin, used = datetime.now(UTC), processor_seconds(operator.pid)
    await asyncio.sleep(seconds)
    used = processor_seconds(operator.pid) - used
    asked = calls(audit, begin, datetime.now(UTC))
    return {
        "seconds": seconds,
        "percent_of_a_core": round(100 * used / seconds, 2),
        "operator_mib": round(resident_mib(operator.pid), 1),
        "calls": dict(asked.most_common()),
        "writes": sum(n for what, n in asked.items() if what.split()[0] in WRITES),
    }
