"""Why Kueue does not admit a Job."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from bluetune_operator.adapters.job_events import NO_KUEUE_SECONDS, QUEUE_SECONDS, UNKNOWN_SECONDS, JobEvents
from bluetune_operator.adapters.kube import KubeApi
from bluetune_operator.core.errors import ApiError, ApiUnavailable
from bluetune_operator.core.kinds import Kind
from bluetune_operator.core.tasks.queue_words import not_admitted, waits_in_queue

NOW = datetime(2026, 1, 1, tzinfo=UTC)
FULL = "couldn't assign flavors: insufficient unused quota for nvidia.com/gpu in flavor a100, 1 more needed"
QUOTA = {"type": "QuotaReserved", "status": "False", "reason": "Pending", "message": FULL}
RESERVED = {"type": "QuotaReserved", "status": "True", "reason": "QuotaReserved", "message": "reserved"}
CHECK = {"name": "capacity", "state": "Pending", "message": "waiting for nodes"}


def job(
    *, suspend: bool = True, queue: str | None = "gpus", ended: bool = False, namespace: str = "n"
) -> dict[str, Any]:
    labels = {"kueue.x-k8s.io/queue-name": queue} if queue else {}
    uid = "job" if namespace == "n" else f"job of {namespace}"
    conditions = [{"type": "Complete", "status": "True"}] if ended else []
    return {
        "metadata": {"name": "t-train", "namespace": namespace, "uid": uid, "labels": labels},
        "spec": {"suspend": suspend},
        "status": {"conditions": conditions},
    }


def workload(*conditions: dict[str, Any], owner: str = "job", made: str = "00:10", **spec: Any) -> dict[str, Any]:
    metadata = {"name": "job-t-train-1", "creationTimestamp": f"2026-01-01T00:{made}Z"}
    status = {"conditions": list(conditions)}
    return {"metadata": metadata | {"ownerReferences": [{"uid": owner}]}, "spec": spec, "status": status}


def checked(*checks: dict[str, Any]) -> dict[str, Any]:
    found = workload(RESERVED)
    return {**found, "status": {**found["status"], "admissionChecks": list(checks)}}


@pytest.mark.parametrize(
    ("case", "workloads", "said"),
    [
        ("no Workload yet", [], None),
        ("it says nothing yet", [workload()], None),
        ("another Job's", [workload(QUOTA, owner="other")], None),
        ("no quota", [workload(QUOTA)], f"{FULL} (Pending)"),
        ("the newest one", [workload(made="00:10"), workload(QUOTA, made="00:20")], f"{FULL} (Pending)"),
        ("stopped by a person", [workload(QUOTA, active=False)], "spec.active of Workload job-t-train-1 is false"),
        ("a check", [checked(CHECK, {**CHECK, "state": "Ready"})], "check capacity is Pending: waiting for nodes"),
        ("quota, and nothing else is said", [checked()], None),
        ("in many lines", [workload({**QUOTA, "message": "a\n b"})], "a b (Pending)"),
    ],
)
def test_what_the_workload_says(case: str, workloads: list[dict[str, Any]], said: str | None) -> None:
    found = not_admitted(job(), workloads)
    assert (found.message if found else None) == (
        f"Job t-train waits to be admitted by its queue: {said}" if said else None
    ), case
    assert found is None or found.reason == "Queued"


@pytest.mark.parametrize(
    ("waiting", "waits"),
    [(job(), True), (job(suspend=False), False), (job(queue=None), False), (job(ended=True), False)],
)
def test_only_a_suspended_job_of_a_queue_waits_for_it(waiting: dict[str, Any], waits: bool) -> None:
    assert waits_in_queue(waiting) == waits


class Server:
    """An API server with a Kueue that serves one version, or none, or that may not be asked."""

    def __init__(self, version: str | None, status: int = 404) -> None:
        self.version, self.status, self.asked = version, status, list[str]()
        self.fails: Exception | None = None

    async def list(self, kind: Kind, namespace: str, *, labels: dict[str, str]) -> list[dict[str, Any]]:
        self.asked.append(kind.version)
        if namespace == "other":
            raise ApiError(403, "Forbidden", "no")
        assert (kind.plural, labels) == ("workloads", {"kueue.x-k8s.io/job-uid": "job"})
        if self.fails is not None:
            raise self.fails
        if kind.version != self.version:
            raise ApiError(self.status, "NotFound", "no")
        return [workload(QUOTA)]


def told(events: JobEvents, later: float, namespace: str = "n") -> bool:
    waiting = job(namespace=namespace)
    return asyncio.run(events.why_no_pod(waiting, [], NOW + timedelta(seconds=later))) is not None


def test_a_workload_is_read_again_only_after_a_while() -> None:
    server = Server("v1beta2")
    events = JobEvents(cast("KubeApi", server))
    assert [told(events, later) for later in (0, QUEUE_SECONDS - 1, QUEUE_SECONDS)] == [True] * 3
    assert server.asked == ["v1beta2"] * 2


def test_an_older_kueue_is_read_too() -> None:
    server = Server("v1beta1")
    assert told(JobEvents(cast("KubeApi", server)), 0)
    assert server.asked == ["v1beta2", "v1beta1"]


@pytest.mark.parametrize(("status", "requests"), [(403, 1), (404, 2)])
def test_without_the_right_or_without_kueue_nothing_is_said_and_it_is_rarely_asked_for(
    status: int, requests: int
) -> None:
    server = Server(None, status)
    events = JobEvents(cast("KubeApi", server))
    assert [told(events, later) for later in (0, 5, NO_KUEUE_SECONDS - 1)] == [False] * 3
    assert len(server.asked) == requests
    assert not told(events, NO_KUEUE_SECONDS)
    assert len(server.asked) == 2 * requests


def test_a_namespace_whose_workloads_may_not_be_read_costs_no_other_its_answer() -> None:
    server = Server("v1beta2")
    events = JobEvents(cast("KubeApi", server))
    assert not told(events, 0, "other")
    assert told(events, 0)
    assert not told(events, 1, "other")
    assert len(server.asked) == 2


@pytest.mark.parametrize("error", [ApiUnavailable("away"), ApiError(500, "InternalError", "no")])
def test_an_api_server_that_is_away_is_asked_again_soon_and_what_kueue_said_stays(error: Exception) -> None:
    server = Server("v1beta2")
    events = JobEvents(cast("KubeApi", server))
    assert told(events, 0)
    server.fails = error
    assert told(events, QUEUE_SECONDS)
    assert told(events, QUEUE_SECONDS + UNKNOWN_SECONDS - 1)
    assert len(server.asked) == 2
    server.fails = None
    assert told(events, QUEUE_SECONDS + UNKNOWN_SECONDS)
    assert len(server.asked) == 3


def test_what_kueue_said_is_no_longer_said_once_the_right_is_gone() -> None:
    server = Server("v1beta2")
    events = JobEvents(cast("KubeApi", server))
    assert told(events, 0)
    server.fails = ApiError(403, "Forbidden", "no")
    assert [told(events, later) for later in (QUEUE_SECONDS, QUEUE_SECONDS + 1)] == [False, False]
