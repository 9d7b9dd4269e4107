"""What the blue pods are doing: whether the rollout has settled, and why new pods do not start."""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from bluetune_operator.core.jobs.pod_refusal import unnamed
from bluetune_operator.core.jobs.workloads import is_active_pod
from bluetune_operator.core.kinds import Object, condition, is_deleting, labels_of, name_of, true_condition
from bluetune_operator.core.rollout.moves import BlueView, Failure
from bluetune_operator.core.rollout.serving_fields import last_writer
from bluetune_operator.core.rollout.serving_patch import VERSION_ANNOTATION, tells, unexpanded
from bluetune_operator.core.times import seconds_since

Json = Mapping[str, Any]

SILENT = re.compile(r"exit code \d+$")
"""A container that ended without a termination message: its log says more."""
HASH_LABEL = "pod-template-hash"
DRAINED_SECONDS = 60.0
"""After this long a pod that ends is asked by nobody."""
SCALED_DOWN = "the Deployment is scaled to 0 replicas, so no pod can serve the version; scale it up"
HARMLESS = frozenset({"ContainerCreating", "PodInitializing", ""})
"""Waiting reasons of a container that is on its way."""


def blue_view(
    deployment: Json | None, pods: Sequence[Json], patch: Json, blocked: Failure | None, now: datetime
) -> BlueView:
    """Judge the Deployment and its pods (`own_pods`) against the version that `patch` is about."""
    if deployment is None:
        return BlueView(found=False, blocked=blocked, message=blocked.message if blocked else "")
    version = version_of_template(patch["spec"]["template"])
    settled, message = _progress(deployment, pods, version, now)
    if not settled:
        unready = why_not_started(_new(pods, version))
        hint = unexpanded(deployment, patch) if unready else None
        message = unready or _refused(deployment) or message
        message += f"; {hint}" if hint else ""
    return BlueView(
        found=True,
        matches=tells(deployment, patch),
        settled=settled,
        failed=_deadline(deployment, message),
        blocked=blocked,
        message=message,
        scaled_down=scaled_down(deployment),
        changed_by=last_writer(deployment),
    )


def own_pods(deployment: Json, pods: Iterable[Object]) -> list[Object]:
    """The pods of the Deployment's selector that the Deployment made.

    Pods of others may have its labels, too. Its own have a ReplicaSet as their owner, whose name is made of the
    Deployment's and of the hash that is one of their labels.
    """

    def is_own(pod: Object) -> bool:
        replica_set = f"{name_of(deployment)}-{labels_of(pod).get(HASH_LABEL)}"
        owners = pod["metadata"].get("ownerReferences") or ()
        return any((owner.get("kind"), owner.get("name")) == ("ReplicaSet", replica_set) for owner in owners)

    return [pod for pod in pods if is_own(pod)]


def scaled_down(deployment: Json) -> bool:
    """Whether it is to have no pods at all."""
    return bool(deployment["spec"].get("replicas", 1) == 0)


def version_of_template(template: Json) -> str | None:
    """The version that a pod template, or a pod, says it serves."""
    annotations = (template.get("metadata") or {}).get("annotations") or {}
    version: str | None = annotations.get(VERSION_ANNOTATION)
    return version


def label_selector(selector: Json) -> str:
    """A label selector as the API's query has it."""
    terms = [f"{key}={value}" for key, value in (selector.get("matchLabels") or {}).items()]
    for rule in selector.get("matchExpressions") or ():
        key, values = rule["key"], f"({','.join(rule.get('values') or ())})"
        terms.append(
            {"In": f"{key} in {values}", "NotIn": f"{key} notin {values}", "Exists": key, "DoesNotExist": f"!{key}"}[
                rule["operator"]
            ]
        )
    return ",".join(terms)


def serving_pods(pods: Iterable[Json], version: str) -> list[Json]:
    """Pods that take requests for a version now: ready and not terminating."""
    return [p for p in _new(pods, version) if not is_deleting(p) and _ready(p) and p["status"].get("podIP")]


def why_not_started(pods: Iterable[Json]) -> str | None:
    """Why a pod does not start or does not become ready, as Kubernetes says; None while nothing is wrong."""
    for pod in pods:
        if not is_deleting(pod) and (problem := _problem(pod)):
            return f"pod {name_of(pod)}: {problem}"
    return None


def _progress(deployment: Json, pods: Sequence[Json], version: str | None, now: datetime) -> tuple[bool, str]:
    status, generation = deployment.get("status") or {}, deployment["metadata"].get("generation", 0)
    if status.get("observedGeneration", 0) < generation:
        return False, "waiting for Kubernetes to see the change"
    wanted = deployment["spec"].get("replicas", 1)
    updated, total, available = (status.get(k, 0) for k in ("updatedReplicas", "replicas", "availableReplicas"))
    if wanted == 0:
        return False, SCALED_DOWN
    if updated < wanted:
        return False, f"{updated} of {wanted} pods are new"
    if available < updated or total > updated:
        return (
            False,
            f"{min(available, updated)} of {wanted} new pods are available, {total - updated} old ones are left",
        )
    old = [p for p in pods if version_of_template(p) != version and is_active_pod(p) and not _drained(p, now)]
    if old:
        return False, f"{len(old)} old pods are still ending"
    return True, f"{available} pods are available"


def _drained(pod: Json, now: datetime) -> bool:
    """Whether a pod that ends gets no requests any more: it is not ready, as on a node that is lost, or has been ending
    for so long that every node knows.

    It may stay for hours, by its grace period or because its node does not answer.
    """
    if not is_deleting(pod):
        return False
    grace = pod["metadata"].get("deletionGracePeriodSeconds") or 0  # the time of deletion has it added
    return not _ready(pod) or seconds_since(pod["metadata"]["deletionTimestamp"], now) + grace > DRAINED_SECONDS


def _deadline(deployment: Json, message: str) -> Failure | None:
    status = deployment.get("status") or {}
    if status.get("observedGeneration", 0) < deployment["metadata"].get("generation", 0):
        return None
    progressing = condition(deployment, "Progressing")
    if progressing is None or progressing.get("reason") != "ProgressDeadlineExceeded":
        return None
    seconds = deployment["spec"].get("progressDeadlineSeconds", 600)
    text = f"no progress within the Deployment's progressDeadlineSeconds={seconds}: {message}"
    advice = "if a node must start first, raise it and serving.rolloutTimeoutSeconds, both"
    return Failure("ProgressDeadlineExceeded", f"{text} ({advice})")


def _refused(deployment: Json) -> str | None:
    """Why Kubernetes cannot make the Deployment's pods: a quota or a policy of the namespace."""
    failure = true_condition(deployment, "ReplicaFailure")
    return f"no new pod can be made: {unnamed(str(failure.get('message') or ''))}" if failure else None


def _new(pods: Iterable[Json], version: str | None) -> list[Json]:
    return [p for p in pods if version_of_template(p) == version]


def _ready(pod: Json) -> bool:
    return true_condition(pod, "Ready") is not None


def _problem(pod: Json) -> str | None:
    status = pod.get("status") or {}
    scheduled = condition(pod, "PodScheduled")
    if scheduled is not None and scheduled["status"] == "False":
        return f"{scheduled.get('reason', 'Unschedulable')}: {scheduled.get('message', '')}"
    for kind, field in (("init container", "initContainerStatuses"), ("container", "containerStatuses")):
        for container in status.get(field) or ():
            if problem := _container_problem(container):
                logs = f"kubectl logs {name_of(pod)} -c {container['name']}"
                hint = f" (it left no message; {logs})" if SILENT.search(problem) else ""
                return f"{kind} {container['name']}: {problem}{hint}"
    for container in status.get("containerStatuses") or ():
        if "running" in (container.get("state") or {}) and not container.get("ready", False):
            probe = "startup" if container.get("started") is False else "readiness"
            return (
                f"container {container['name']} runs, but its {probe} probe has not succeeded"
                f" (kubectl describe pod {name_of(pod)})"
            )
    return None


def _container_problem(container: Json) -> str | None:
    state, last = container.get("state") or {}, (container.get("lastState") or {}).get("terminated")
    waiting = state.get("waiting")
    if waiting is not None:
        reason = waiting.get("reason") or ""
        if reason in HARMLESS:
            return None
        if reason == "CrashLoopBackOff" and last:
            return f"CrashLoopBackOff: {exit_of(last)}"
        return f"{reason}: {waiting['message']}" if waiting.get("message") else reason
    ended = state.get("terminated")
    if ended is not None and ended.get("exitCode", 0) != 0:
        return exit_of(ended)
    if "running" in state and not container.get("ready", False) and last and last.get("exitCode", 0) != 0:
        return f"started again after {exit_of(last)}"
    return None


def exit_of(ended: Json) -> str:
    """How a container ended, from its `terminated` state."""
    text = f"exit code {ended.get('exitCode')}"
    if ended.get("reason") not in (None, "Error", "Completed"):
        text += f" ({ended['reason']})"
    message = " ".join(str(ended.get("message") or "").split())
    return f"{text}: {message[:500]}" if message else text
