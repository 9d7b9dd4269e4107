"""What Kubernetes and the trainer would do with Jobs whose pods are held back: their results, and their end."""

import asyncio
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import urllib3
from kubernetes import client, watch

from bluetune_api import store_layout
from bluetune_api.records import CheckReport, GateReport, Manifest, Plan, Probe, Result, digest_of, version_of
from bluetune_api.s3 import S3Store
from bluetune_operator.adapters.kube import KubeApi
from bluetune_operator.core.jobs.workloads import is_finished_job
from bluetune_operator.core.kinds import (
    CHILD_SELECTOR,
    CONFIG_MAPS,
    JOB_LABEL,
    JOBS,
    TASK_UID_LABEL,
    Object,
    labels_of,
    name_of,
    namespace_of,
    uid_of,
)

Seen = Callable[[str, Object, float], None]
"""Type of a watch event, its object, and when it came (time.monotonic)."""


class Follower:
    """A watch of bluetune's objects of one kind in all namespaces, in a thread of its own."""

    def __init__(self, listing: Callable[..., Any], seen: Seen) -> None:
        self._listing = listing
        self._seen = seen
        self._over = threading.Event()
        self._stream = watch.Watch()
        threading.Thread(target=self._follow, daemon=True).start()

    def _follow(self) -> None:
        while not self._over.is_set():
            with suppress(urllib3.exceptions.HTTPError, client.ApiException):
                for event in self._stream.stream(self._listing, label_selector=CHILD_SELECTOR, timeout_seconds=600):
                    self._seen(event["type"], event["raw_object"], time.monotonic())

    def close(self) -> None:
        """End it with its next event."""
        self._over.set()
        self._stream.stop()


class Trainer:
    """Ends the Jobs of tasks that may end, as if their pods had done their work."""

    def __init__(self, kube: KubeApi, store_of: Callable[[str, str], S3Store]) -> None:
        self._kube = kube
        self._store_of = store_of
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[str, Object] = {}
        self._free: set[str] = set()
        self._working: set[asyncio.Task[None]] = set()
        self.problems: list[str] = []

    def seen(self, kind: str, job: Object, moment: float) -> None:
        """A Job's watch event, from any thread."""
        self._loop.call_soon_threadsafe(self._look, kind, job)

    def release(self, task_uid: str) -> None:
        """A task's Jobs may end from now on."""
        self._free.add(task_uid)
        job = self._waiting.pop(task_uid, None)
        if job is not None:
            self._begin(job)

    def _look(self, kind: str, job: Object) -> None:
        owner = labels_of(job).get(TASK_UID_LABEL)
        if owner is None or kind == "DELETED" or job["spec"].get("suspend") or is_finished_job(job):
            return
        if "startTime" not in (job.get("status") or {}):
            return  # Kubernetes has not begun with it yet
        if owner in self._free:
            self._begin(job)
        else:
            self._waiting[owner] = job

    def _begin(self, job: Object) -> None:
        work = self._loop.create_task(self._end(job), name=uid_of(job))
        if any(other.get_name() == work.get_name() for other in self._working):
            work.cancel()
            return
        self._working.add(work)
        work.add_done_callback(self._ended)

    def _ended(self, work: "asyncio.Task[None]") -> None:
        self._working.discard(work)
        if not work.cancelled() and work.exception() is not None:
            self.problems.append(str(work.exception()))

    async def _end(self, job: Object) -> None:
        namespace, name = namespace_of(job), name_of(job)
        config = await self._kube.get(CONFIG_MAPS, namespace, name)
        if config is None:
            return
        plan = Plan.model_validate_json(config["data"]["plan.json"])
        store = self._store_of(namespace, plan.model)
        write = _check if labels_of(job)[JOB_LABEL] == "check" else _result
        await asyncio.to_thread(write, store, plan)
        live = await self._kube.get(JOBS, namespace, name)
        if live is None or is_finished_job(live):
            return
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        status = {
            **live["status"],
            "active": 0,
            "ready": 0,
            "terminating": 0,
            "succeeded": 1,
            "completionTime": now,
            "conditions": [
                {"type": kind, "status": "True", "lastProbeTime": now, "lastTransitionTime": now}
                for kind in ("SuccessCriteriaMet", "Complete")
            ],
        }
        await self._kube.replace_status(JOBS, live, status)


def _check(store: S3Store, plan: Plan) -> None:
    report = CheckReport(
        valid=True,
        batch_id=plan.batch_id or "",
        batch=[],
        items=[],
        sessions=100,
        sessions_with_clicks=90,
        positives=90,
        results=1000,
        coverage=1.0,
        duplicates=0,
        broken_lines=0,
        catalogue_size=50,
    )
    store.create(store_layout.check(plan.owner.uid), report.model_dump_json(by_alias=True).encode())


def _result(store: S3Store, plan: Plan) -> None:
    manifest = Manifest(
        files=[],
        dimension=1,
        parent=plan.start_version,
        batch_id=plan.batch_id,
        probe=Probe(texts=[plan.owner.uid], vectors=[[1.0]]),
    ).encode()
    digest = digest_of(manifest)
    version = version_of(digest)
    store.create(store_layout.manifest(version), manifest)
    metric = plan.gate.metric
    result = Result(
        kind="Train",
        owner=plan.owner,
        version=version,
        digest=digest,
        uri=store.uri(store_layout.version(version)),
        parent=plan.start_version,
        batch_id=plan.batch_id,
        trials_done=2,
        gate=GateReport(
            metric=metric,
            against=plan.live_version or plan.start_version or "",
            baseline={metric: 0.5},
            candidate={metric: 0.6},
            delta=0.1,
            low=0.05,
            high=0.15,
            sessions=90,
        ),
    )
    store.create(store_layout.result(plan.owner.uid), result.model_dump_json(by_alias=True).encode())
