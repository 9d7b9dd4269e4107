"""What a Job and its pods say: whether they run, why a pod does not start, and how the trainer ended."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import takewhile
from typing import Any, Literal

from bluetune_api.exit_codes import NOT_COUNTED, NOT_WORTH_RETRYING, ExitCode, decode_termination
from bluetune_api.reasons import Reason, known_reason
from bluetune_operator.core.conditions import shortened
from bluetune_operator.core.jobs.build import CONTAINER
from bluetune_operator.core.jobs.workloads import is_active_pod
from bluetune_operator.core.kinds import (
    JOB_LABEL,
    Object,
    condition,
    is_deleting,
    labels_of,
    name_of,
    true_condition,
    uid_of,
)
from bluetune_operator.core.times import moment_of, seconds_since

NOT_STARTED_SECONDS = 30.0
"""A pod that still creates its containers after this long is worth a word."""
STUCK_SECONDS = 60.0
"""A pod that is still there so long after its grace period is on a node that does not answer."""
OUTLIVED_SECONDS = 10.0
"""A container that is at work this long after the trainer ended does not end by itself."""
TAIL_CHARACTERS = 1200

IMAGE = "check the image's name and imagePullSecrets"
WAITING: dict[str, tuple[Reason, str]] = {
    "ErrImagePull": ("ImagePullBackOff", IMAGE),
    "ImagePullBackOff": ("ImagePullBackOff", IMAGE),
    "ErrImageNeverPull": ("ErrImageNeverPull", "the image is not on the node and the pull policy is Never"),
    "InvalidImageName": ("InvalidImageName", "correct the image's name"),
    "CreateContainerConfigError": (
        "CreateContainerConfigError",
        "create what is missing; the pod then starts",
    ),
    "CreateContainerError": ("CreateContainerError", "see kubectl describe pod"),
    "RunContainerError": ("RunContainerError", "see kubectl describe pod"),
    "CrashLoopBackOff": ("CrashLoopBackOff", "see kubectl logs"),
}
"""Why a container waits: the condition's reason, and what to do. Two words for one thing become one."""

REASONS: dict[ExitCode, Reason] = {
    ExitCode.DATA_INVALID: "DataInvalid",
    ExitCode.PLAN_INVALID: "PlanInvalid",
    ExitCode.PLUGIN_FAILED: "PluginFailed",
    ExitCode.STORE_UNREACHABLE: "StoreUnreachable",
    ExitCode.GPU_NOT_VISIBLE: "GpuNotVisible",
    ExitCode.STORE_DAMAGED: "StoreFailed",
    ExitCode.STOPPED: "Stopped",
}

State = Literal["Missing", "Suspended", "Pending", "Running", "Ended", "Complete", "Failed"]
"""Pending: its pod is still to come or to start. Ended: its pod ended well, and the Job does not say so yet."""


@dataclass(frozen=True)
class Trouble:
    """Something that a person should know: a condition's reason and message."""

    reason: Reason
    message: str


@dataclass(frozen=True)
class JobState:
    """A Job and its pods in short."""

    state: State
    trouble: Trouble | None = None
    """Failed: why. Pending: why the pod does not start, or how the last attempt ended. Running: how the last ended."""
    attempt: int = 0
    """Pods that it started."""
    pod_uid: str | None = None
    """Its newest pod."""
    pod_name: str | None = None
    store_lost: bool = False
    """Whether its newest pod ended because the store was away or refused, so that none runs now."""
    taken: tuple[str, ...] = ()
    """uids of its newest pods, oldest first, that were all evicted, preempted or told to stop, if none runs now."""
    outlived_by: str | None = None
    """Another container of its newest pod, which runs on after the trainer: Kubernetes then waits without an end.

    Complete, Failed: so said the trainer, and the Job has to be deleted. Running: the Job has to be made again.
    """


def job_state(job: Object | None, pods: Iterable[Object], now: datetime) -> JobState:
    """Judge a Job by itself and its pods (all that have its name in `job-name` or an ownerReference to it)."""
    if job is None:
        return JobState("Missing")
    ordered = sorted(pods, key=lambda p: (p["metadata"].get("creationTimestamp") or "", name_of(p)))
    newest = ordered[-1] if ordered else None
    known = {
        "attempt": len(ordered),
        "pod_uid": uid_of(newest) if newest else None,
        "pod_name": name_of(newest) if newest else None,
        "taken": _taken(ordered),
        "store_lost": newest is not None and ended_for_an_outage(newest),
    }

    def state(word: State, trouble: Trouble | None = None) -> JobState:
        return JobState(word, trouble, **known)  # type: ignore[arg-type]

    if true_condition(job, "Complete"):
        return state("Complete")
    if failed := true_condition(job, "Failed"):
        return state("Failed", _failure(job, failed, ordered))
    before = _last_end(ordered)
    if job["spec"].get("suspend"):
        return state("Suspended", before)
    if newest is not None and _phase(newest) == "Succeeded":
        return state("Ended")
    if newest is None or not is_active_pod(newest):
        return state("Pending", None if newest is not None and _resumed_since(job, newest) else before)
    if (problem := pod_problem(newest, now)) is not None:
        return state("Pending", problem)
    if (other := _outlived_by(newest, now)) is not None:
        return replace(state("Running", before), **_as_the_trainer_said(newest, other))
    if _trainer_code(newest) == ExitCode.OK:
        return state("Ended")
    running = _phase(newest) == "Running" and not is_deleting(newest)
    return state("Running" if running else "Pending", before)


def stuck_pod(pod: Object, now: datetime) -> Trouble | None:
    """What to say of a pod that is still there long after it should have been stopped; None of any other."""
    # a pod's deletionTimestamp is the end of its grace period
    if not is_deleting(pod) or seconds_since(pod["metadata"]["deletionTimestamp"], now) < STUCK_SECONDS:
        return None
    node = (pod.get("spec") or {}).get("nodeName")
    where = f" on node {node!r}" if node else ""
    return Trouble(
        "PodStuck",
        f"pod {name_of(pod)!r}{where} was to be stopped and is still there; the node may not answer: see kubectl get"
        " nodes; if it is gone, delete it, or taint it with node.kubernetes.io/out-of-service",
    )


def pod_problem(pod: Object, now: datetime) -> Trouble | None:
    """Why a pod does not start, or None."""
    status, name = pod.get("status") or {}, name_of(pod)
    if is_deleting(pod):
        return stuck_pod(pod, now) or Trouble("Terminating", f"pod {name!r} is being stopped")
    scheduled = condition(pod, "PodScheduled")
    if scheduled is not None and scheduled["status"] == "False" and scheduled.get("reason") == "Unschedulable":
        said = scheduled.get("message") or "no node fits"
        return Trouble(
            "Unschedulable",
            f"pod {name!r} cannot be scheduled: {said} It starts when a node has what the method's {_template_of(pod)}"
            " asks for.",
        )
    containers = [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]
    for container in containers:
        waiting = (container.get("state") or {}).get("waiting") or {}
        if waiting.get("reason") in WAITING:
            reason, advice = WAITING[waiting["reason"]]
            said = waiting.get("message") or waiting["reason"]
            return Trouble(reason, shortened(f"pod {name!r}, image {container.get('image')!r}: {said} ({advice})"))
    created = pod["metadata"].get("creationTimestamp")
    slow = created and seconds_since(created, now) > NOT_STARTED_SECONDS
    if status.get("phase") == "Pending" and containers and slow:
        return Trouble(
            "ContainerCreating",
            f"pod {name!r} is scheduled but has not started after {NOT_STARTED_SECONDS:.0f} s; an image may still be"
            f" loading, or a Secret be missing: kubectl describe pod {name}",
        )
    return None


def _uses_no_gpu(pod: Mapping[str, Any]) -> bool:
    return labels_of(pod).get(JOB_LABEL) in ("import", "check", "load")


def _template_of(pod: Mapping[str, Any]) -> str:
    """The field of the method that says what a pod asks for."""
    return "cpuPodTemplate" if _uses_no_gpu(pod) else "podTemplate"


def _phase(pod: Mapping[str, Any]) -> str | None:
    phase: str | None = (pod.get("status") or {}).get("phase")
    return phase


def _trainer_code(pod: Mapping[str, Any]) -> int | None:
    """Exit code of the trainer; None while it runs."""
    ended = _terminated(pod)
    return int(ended.get("exitCode") or 0) if ended is not None else None


def _exit_code(pod: Mapping[str, Any]) -> int | None:
    """Exit code of the trainer in a pod that failed; None for any other pod."""
    return _trainer_code(pod) if _phase(pod) == "Failed" else None


def _taken(pods: list[Object]) -> tuple[str, ...]:
    """The last of these pods that failed, all of them, for no fault of the trainer's."""

    def was_taken(pod: Object) -> bool:
        disrupted = true_condition(pod, "DisruptionTarget") is not None
        return _phase(pod) == "Failed" and (disrupted or _trainer_code(pod) == ExitCode.STOPPED)

    return tuple(uid_of(pod) for pod in takewhile(was_taken, reversed(pods)))[::-1]


def _resumed_since(job: Object, pod: Object) -> bool:
    """Whether a Job was resumed after a pod of it had ended: what ended that one is over."""
    suspended, ended = condition(job, "Suspended"), _terminated(pod)
    if suspended is None or suspended["status"] != "False" or ended is None or not ended.get("finishedAt"):
        return False
    return moment_of(ended["finishedAt"]) <= moment_of(suspended["lastTransitionTime"])


def ended_badly(pod: Object) -> bool:
    """Whether a pod ended for a fault of its own: neither stopped, nor for an outage of the store."""
    return _exit_code(pod) not in (None, ExitCode.OK, *NOT_COUNTED)


def ended_for_an_outage(pod: Object) -> bool:
    """Whether a pod ended because a store, or the place a base is fetched from, could not be used."""
    return _exit_code(pod) == ExitCode.STORE_UNREACHABLE


def _outlived_by(pod: Object, now: datetime) -> str | None:
    """Name of a container that runs on, some time after the trainer ended.

    Sidecars that Kubernetes knows as such (init containers that are restarted always) end with their pod.
    """
    ended = _terminated(pod)
    if ended is None or not ended.get("finishedAt") or seconds_since(ended["finishedAt"], now) < OUTLIVED_SECONDS:
        return None
    others = [
        c for c in pod["status"].get("containerStatuses") or [] if (c.get("state") or {}).get("running") is not None
    ]
    return str(others[0].get("name")) if others else None


def _as_the_trainer_said(pod: Object, other: str) -> dict[str, Any]:
    """State of a Job whose pod another container keeps alive."""
    code = _trainer_code(pod)
    if code == ExitCode.OK:
        return {"state": "Complete", "outlived_by": other}
    if code in NOT_COUNTED:
        return {"outlived_by": other}
    end = _end(pod)
    advice = (
        f" (and container {other!r} runs on, so Kubernetes cannot start another attempt: make it a sidecar, an init"
        " container with restartPolicy Always, or keep it out of these pods)"
    )
    trouble = Trouble(end.reason, end.message if code in NOT_WORTH_RETRYING else shortened(end.message + advice))
    return {"state": "Failed", "trouble": trouble, "outlived_by": other}


def _terminated(pod: Mapping[str, Any]) -> Mapping[str, Any] | None:
    for container in (pod.get("status") or {}).get("containerStatuses") or []:
        if container.get("name") == CONTAINER:
            ended: Mapping[str, Any] | None = (container.get("state") or {}).get("terminated")
            return ended
    return None


def _last_end(pods: Iterable[Object]) -> Trouble | None:
    """How the newest pod that failed ended."""
    failed = [p for p in pods if _phase(p) == "Failed"]
    return _end(failed[-1]) if failed else None


def _end(pod: Object) -> Trouble:
    """How a failed pod ended, by its exit code and termination message, which anybody may have written."""
    status, name = pod.get("status") or {}, name_of(pod)
    ended = _terminated(pod)
    if ended is None:
        said = status.get("message") or status.get("reason") or "no container ended"
        return Trouble(known_reason(status.get("reason")) or "PodFailed", shortened(f"pod {name!r}: {said}"))
    code = int(ended.get("exitCode") or 0)
    text = str(ended.get("message") or "")
    if ended.get("reason") == "OOMKilled":
        limit = _memory_limit(pod)
        return Trouble(
            "OOMKilled",
            f"pod {name!r} used more memory than its limit{f' of {limit}' if limit else ''}; raise"
            f" {_template_of(pod)}.resources.limits.memory in the method"
            + ("" if _uses_no_gpu(pod) else ", or lower settings.batchSize"),
        )
    reason = REASONS.get(ExitCode(code), "TrainerCrashed") if code in set(ExitCode) else "TrainerCrashed"
    ours = decode_termination(text)
    if ours is not None:  # a plugin may end the process with a word of its own
        known = known_reason(ours.reason)
        return Trouble(known or reason, shortened(ours.message if known else f"{ours.reason}: {ours.message}"))
    tail = f"; its last lines: {text.strip()[-TAIL_CHARACTERS:]}" if text.strip() else ""
    return Trouble(reason, shortened(f"pod {name!r} ended with exit code {code}{tail} (kubectl logs {name})"))


def _failure(job: Object, failed: Mapping[str, Any], pods: list[Object]) -> Trouble:
    """Why a Job failed: its own deadline, or else how its last pod ended."""
    said = failed.get("message") or ""
    if failed.get("reason") == "DeadlineExceeded":
        seconds = job["spec"].get("activeDeadlineSeconds")
        return Trouble(
            "DeadlineExceeded", f"it ran longer than activeDeadlineSeconds={seconds}; raise it, or search less"
        )
    end = _last_end(pods)
    if end is None:
        return Trouble(known_reason(failed.get("reason")) or "JobFailed", shortened(f"Job {name_of(job)!r}: {said}"))
    if failed.get("reason") == "BackoffLimitExceeded":
        counted = (job.get("status") or {}).get("failed") or len(pods)  # outages and evictions are not counted
        return Trouble(end.reason, shortened(f"{end.message} (given up after {counted} attempts)"))
    return end


def _memory_limit(pod: Object) -> str | None:
    for container in pod["spec"].get("containers") or []:
        if container["name"] == CONTAINER:
            limit = ((container.get("resources") or {}).get("limits") or {}).get("memory")
            return str(limit) if limit else None
    return None
