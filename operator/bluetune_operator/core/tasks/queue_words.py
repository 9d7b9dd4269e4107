"""Why Kueue does not admit a Job: its Workload says so."""

from collections.abc import Iterable, Mapping
from typing import Any

from bluetune_operator.core.conditions import one_line
from bluetune_operator.core.jobs.state import Trouble
from bluetune_operator.core.jobs.workloads import is_finished_job
from bluetune_operator.core.kinds import Object, condition, is_deleting, is_owned_by, name_of, uid_of
from bluetune_operator.core.tasks.jobs import is_kueues

JOB_UID_LABEL = "kueue.x-k8s.io/job-uid"
"""On a Workload: uid of its Job."""
SAID_CHARACTERS = 512


def waits_in_queue(job: Object) -> bool:
    """Whether a Job waits for Kueue."""
    return is_kueues(job) and bool(job["spec"].get("suspend")) and not is_finished_job(job)


def not_admitted(job: Object, workloads: Iterable[Object]) -> Trouble | None:
    """What the Job's Workload says of its queue; None if it says nothing."""
    owned = [one for one in workloads if is_owned_by(one, uid_of(job)) and not is_deleting(one)]
    newest = max(owned, key=lambda one: str(one["metadata"].get("creationTimestamp")), default=None)
    said = _said(newest) if newest is not None else ""
    if not said:
        return None
    text = f"Job {name_of(job)} waits to be admitted by its queue: {one_line(said, SAID_CHARACTERS)}"
    return Trouble("Queued", text)


def _said(workload: Mapping[str, Any]) -> str:
    if (workload.get("spec") or {}).get("active") is False:
        return f"spec.active of Workload {name_of(workload)} is false"
    reserved = condition(workload, "QuotaReserved")
    if reserved is None or reserved["status"] != "True":
        return _words(reserved)
    checks = (workload.get("status") or {}).get("admissionChecks") or ()
    waits = [f"check {c['name']} is {c['state']}: {c.get('message') or ''}" for c in checks if c["state"] != "Ready"]
    return "; ".join(waits) or _words(condition(workload, "Admitted"))


def _words(said: Mapping[str, Any] | None) -> str:
    if said is None or said["status"] == "True":
        return ""
    reason, message = str(said.get("reason") or ""), str(said.get("message") or "")
    return f"{message} ({reason})" if message and reason else message or reason
