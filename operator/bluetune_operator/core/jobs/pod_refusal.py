"""Why a Job gets no pod: a quota or a policy of the namespace refuses it, and only the Job's Events say so."""

import re
from collections.abc import Iterable, Mapping
from datetime import datetime

from bluetune_operator.core.conditions import shortened
from bluetune_operator.core.jobs.state import Trouble
from bluetune_operator.core.jobs.workloads import is_active_pod, is_finished_job
from bluetune_operator.core.kinds import Object, name_of, uid_of
from bluetune_operator.core.times import moment_of, seconds_since

SILENT_SECONDS = 5.0
"""A pod is made within a second of its Job's start: one that has none for this long is looked into."""
MAX_SECONDS = 300.0
"""Longest time between two looks. The pod itself is news; they are for another refusal than the last one."""

FRAME = re.compile(r"^(?:\(combined from similar events\): )?(?:Error creating: )?")
"""What stands before the words of the API server; the first part from the eleventh Event on."""
NAMED_POD = re.compile(r'^pods "[^"]*"')


def lacks_pod(job: Object, pods: Iterable[Object], now: datetime) -> bool:
    """Whether a Job asked for a pod a while ago and none of its pods (`pods`) can still run anything."""
    if is_finished_job(job) or job["spec"].get("suspend") or any(is_active_pod(pod) for pod in pods):
        return False
    return _age(job, now) >= SILENT_SECONDS


def events_of_refusals(job: Object) -> dict[str, str]:
    """Field selector of the Events that tell why a Job's pods are refused."""
    return {"involvedObject.uid": uid_of(job), "reason": "FailedCreate"}


def refusal(job: Object, pods: Iterable[Object], events: Iterable[Object]) -> Trouble | None:
    """What the newest of these Events says, unless a pod has been made since."""
    newest = max(events, key=_moment, default=None)
    made = max((moment_of(pod["metadata"]["creationTimestamp"]) for pod in pods), default=None)
    if newest is None or (made is not None and made >= _moment(newest)):
        return None
    said = unnamed(FRAME.sub("", str(newest.get("message") or "no reason is given")))
    return Trouble("PodRefused", shortened(f"no pod can be made for Job {name_of(job)!r}: {said}"))


def unnamed(said: str) -> str:
    """What the API server said of a pod that it refused. Each try has a name of its own: without it, the same refusal
    is the same text."""
    return NAMED_POD.sub("the pod", said)


def next_look(job: Object, now: datetime) -> float:
    """Seconds until a Job without a pod is looked at again: the longer it has none, the later."""
    return min(max(_age(job, now), SILENT_SECONDS), MAX_SECONDS)


def _age(job: Object, now: datetime) -> float:
    """Seconds since Kubernetes began with the Job; 0 if it has not."""
    started: Mapping[str, str] = job.get("status") or {}
    return seconds_since(started["startTime"], now) if started.get("startTime") else 0.0


def _moment(event: Object) -> datetime:
    return moment_of(event.get("lastTimestamp") or event.get("eventTime") or event["metadata"]["creationTimestamp"])
