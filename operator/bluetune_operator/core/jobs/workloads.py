"""What Kubernetes tells of Jobs and pods: whose they are, and whether they are still at work."""

from collections.abc import Iterable, Mapping
from typing import Any

from bluetune_operator.core.kinds import JOB_LABEL, Object, is_owned_by, labels_of, true_condition, uid_of


def is_active_pod(pod: Mapping[str, Any]) -> bool:
    """Whether a pod may still run something: also one that is terminating."""
    return (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed")


def is_finished_job(job: Mapping[str, Any]) -> bool:
    """Complete or Failed. FailureTarget and SuccessCriteriaMet are only on the way there."""
    return any(true_condition(job, kind) for kind in ("Complete", "Failed"))


def pods_of(job: Mapping[str, Any], name: str, pods: Iterable[Object]) -> list[Object]:
    """The pods that a Job made; `name` is what it is for, as in `child_labels`."""
    return [pod for pod in pods if labels_of(pod).get(JOB_LABEL) == name and is_owned_by(pod, uid_of(job))]
