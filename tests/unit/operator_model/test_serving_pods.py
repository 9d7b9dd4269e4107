"""Whether a rollout has settled, and why new pods do not start, from what Kubernetes says."""

from datetime import UTC, datetime
from typing import Any

import pytest

from bluetune_operator.core.rollout.serving_pods import (
    blue_view,
    label_selector,
    own_pods,
    serving_pods,
    why_not_started,
)

V, OLD = "v000000000002", "v000000000001"
NOW = datetime(2026, 1, 1, 0, 0, 30, tzinfo=UTC)
PATCH = {
    "spec": {
        "template": {
            "metadata": {"annotations": {"bluetune.dev/version": V}},
            "spec": {"containers": [{"name": "server", "env": [{"name": "BLUETUNE_URI", "value": "s3://x"}]}]},
        }
    }
}


def deployment(*, generation: int = 2, observed: int = 2, replicas: int = 2, **status: Any) -> dict[str, Any]:
    full = {"observedGeneration": observed, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2, **status}
    template = {"metadata": {"annotations": {"bluetune.dev/version": V}}}
    return {
        "metadata": {"name": "blue", "generation": generation},
        "spec": {"replicas": replicas, "template": template},
        "status": full,
    }


def pod(name: str = "blue-1", version: str = V, *, ready: bool = True, **more: Any) -> dict[str, Any]:
    metadata = {"name": name, "annotations": {"bluetune.dev/version": version}, **more.pop("metadata", {})}
    conditions = [{"type": "Ready", "status": "True" if ready else "False"}]
    status = {"phase": "Running", "podIP": "10.0.0.1", "conditions": conditions, **more}
    return {"metadata": metadata, "status": status}


ENDING = {"deletionTimestamp": "2026-01-01T00:00:30Z", "deletionGracePeriodSeconds": 30}
"""Since half a minute before NOW."""
DRAINED = {"deletionTimestamp": "2026-01-01T01:00:00Z", "deletionGracePeriodSeconds": 3700}
"""Since more than a minute, and for an hour to come."""


@pytest.mark.parametrize(
    ("case", "live", "pods", "settled", "words"),
    [
        ("all new", deployment(), [pod()], True, "available"),
        ("not observed yet", deployment(observed=1), [pod()], False, "see the change"),
        ("not all updated", deployment(updatedReplicas=1, replicas=3), [pod()], False, "1 of 3"),
        ("not available", deployment(availableReplicas=1), [pod()], False, "1 of 2 new pods are available"),
        ("old ones left", deployment(), [pod(version=OLD)], False, "1 old pods"),
        ("old one terminating", deployment(), [pod(version=OLD, metadata=ENDING)], False, "1 old pods"),
        (
            "old one on a node that is lost",
            deployment(),
            [pod(version=OLD, ready=False, metadata=ENDING)],
            True,
            "avail",
        ),
        ("old one that ends for hours", deployment(), [pod(version=OLD, metadata=DRAINED)], True, "available"),
        ("old one not ready, and not ending", deployment(), [pod(version=OLD, ready=False)], False, "1 old pods"),
        ("scaled up by an autoscaler meanwhile", deployment(replicas=4), [pod()], False, "2 of 4 pods are new"),
        ("old one ended", deployment(), [pod(version=OLD, phase="Succeeded")], True, "available"),
        ("scaled to nothing", deployment(replicas=0, updatedReplicas=0, availableReplicas=0), [], False, "0 replicas"),
    ],
)
def test_a_rollout_has_settled_when_only_new_available_pods_are_left(
    case: str, live: dict[str, Any], pods: list[dict[str, Any]], settled: bool, words: str
) -> None:
    view = blue_view(live, pods, PATCH, None, NOW)
    assert view.settled == settled, case
    assert words in view.message


def test_who_has_a_deadline_that_is_too_short_is_told_to_raise_both() -> None:
    late = [{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}]
    failed = blue_view(deployment(conditions=late, updatedReplicas=1), [], PATCH, None, NOW).failed
    assert failed is not None
    assert "progressDeadlineSeconds=600" in failed.message
    assert "serving.rolloutTimeoutSeconds, both" in failed.message


def test_the_progress_deadline_counts_only_for_the_observed_generation() -> None:
    late = [{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}]
    view = blue_view(deployment(conditions=late, updatedReplicas=1), [], PATCH, None, NOW)
    assert view.failed is not None
    assert view.failed.reason == "ProgressDeadlineExceeded"
    assert blue_view(deployment(conditions=late, observed=1), [], PATCH, None, NOW).failed is None


def waiting(reason: str, message: str = "", **more: Any) -> list[dict[str, Any]]:
    return [{"name": "server", "state": {"waiting": {"reason": reason, "message": message}}, **more}]


@pytest.mark.parametrize(
    ("case", "status", "said"),
    [
        ("fine", {"containerStatuses": waiting("ContainerCreating")}, None),
        (
            "image",
            {"containerStatuses": waiting("ImagePullBackOff", 'Back-off pulling image "x"')},
            'pod blue-1: container server: ImagePullBackOff: Back-off pulling image "x"',
        ),
        (
            "crash",
            {
                "containerStatuses": waiting(
                    "CrashLoopBackOff",
                    lastState={"terminated": {"exitCode": 1, "reason": "Error", "message": "no such\nversion"}},
                )
            },
            "pod blue-1: container server: CrashLoopBackOff: exit code 1: no such version",
        ),
        (
            "out of memory",
            {
                "containerStatuses": [
                    {"name": "server", "state": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}}
                ]
            },
            "pod blue-1: container server: exit code 137 (OOMKilled)",
        ),
        (
            "secret",
            {"containerStatuses": waiting("CreateContainerConfigError", 'secret "keys" not found')},
            'pod blue-1: container server: CreateContainerConfigError: secret "keys" not found',
        ),
        (
            "fetcher",
            {
                "initContainerStatuses": [
                    {"name": "bluetune-fetch", "state": {"terminated": {"exitCode": 13, "message": "denied"}}}
                ],
                "containerStatuses": waiting("PodInitializing"),
            },
            "pod blue-1: init container bluetune-fetch: exit code 13: denied",
        ),
        (
            "no node",
            {
                "conditions": [
                    {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes"}
                ]
            },
            "pod blue-1: Unschedulable: 0/1 nodes",
        ),
        (
            "started again",
            {
                "containerStatuses": [
                    {
                        "name": "server",
                        "ready": False,
                        "state": {"running": {}},
                        "lastState": {"terminated": {"exitCode": 3}},
                    }
                ]
            },
            "pod blue-1: container server: started again after exit code 3"
            " (it left no message; kubectl logs blue-1 -c server)",
        ),
        (
            "readiness probe fails",
            {"containerStatuses": [{"name": "server", "ready": False, "started": True, "state": {"running": {}}}]},
            "pod blue-1: container server runs, but its readiness probe has not succeeded"
            " (kubectl describe pod blue-1)",
        ),
        (
            "startup probe fails",
            {"containerStatuses": [{"name": "server", "ready": False, "started": False, "state": {"running": {}}}]},
            "pod blue-1: container server runs, but its startup probe has not succeeded (kubectl describe pod blue-1)",
        ),
    ],
)
def test_why_a_pod_does_not_start(case: str, status: dict[str, Any], said: str | None) -> None:
    assert why_not_started([pod(ready=False, **status)]) == said, case


def test_a_deployment_whose_pods_are_refused_says_why() -> None:
    said = 'pods "blue-7d9f-x2x4z" is forbidden: exceeded quota: small'
    refused = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": said}
    view = blue_view(deployment(updatedReplicas=0, conditions=[refused]), [], PATCH, None, NOW)
    assert (view.settled, view.message) == (
        False,
        "no new pod can be made: the pod is forbidden: exceeded quota: small",
    )


def test_a_variable_that_kubernetes_does_not_expand_is_named_beside_the_pod_that_does_not_become_ready() -> None:
    live = deployment(availableReplicas=1)
    env = [{"name": "MODEL", "value": "$(BLUETUNE_URI)"}, {"name": "BLUETUNE_URI", "value": "s3://x"}]
    live["spec"]["template"]["spec"] = {"containers": [{"name": "server", "env": env}]}
    running = [{"name": "server", "ready": False, "state": {"running": {}}}]
    view = blue_view(live, [pod(ready=False, containerStatuses=running)], PATCH, None, NOW)
    assert "readiness probe has not succeeded" in view.message
    assert "variable MODEL refers to $(BLUETUNE_URI), which stands after it" in view.message
    env.reverse()
    assert "MODEL" not in blue_view(live, [pod(ready=False, containerStatuses=running)], PATCH, None, NOW).message


def test_pods_of_the_deployment_are_those_of_its_replica_sets() -> None:
    def owned(name: str, replica_set: str, hash_label: str = "7d9f") -> dict[str, Any]:
        owner = {"kind": "ReplicaSet", "name": replica_set, "uid": "u"}
        labels = {"app": "blue", "pod-template-hash": hash_label}
        return pod(name, metadata={"labels": labels, "ownerReferences": [owner]})

    alone = pod("alone", metadata={"labels": {"app": "blue"}})
    job = pod("job", metadata={"ownerReferences": [{"kind": "Job", "name": "blue-7d9f", "uid": "j"}]})
    pods = [owned("ours", "blue-7d9f"), owned("canary", "blue-canary-7d9f"), owned("other", "blue-1", "2"), alone, job]
    assert [p["metadata"]["name"] for p in own_pods(deployment(), pods)] == ["ours"]


def test_only_ready_pods_of_the_version_are_asked() -> None:
    pods = [pod("a"), pod("b", ready=False), pod("c", OLD), pod("d", metadata=ENDING), pod("e", podIP="")]
    assert [p["metadata"]["name"] for p in serving_pods(pods, V)] == ["a"]


def test_a_deployments_selector_as_a_query() -> None:
    rules = [
        {"key": "tier", "operator": "In", "values": ["a", "b"]},
        {"key": "old", "operator": "DoesNotExist"},
        {"key": "new", "operator": "Exists"},
        {"key": "zone", "operator": "NotIn", "values": ["x"]},
    ]
    selector = {"matchLabels": {"app": "blue"}, "matchExpressions": rules}
    assert label_selector(selector) == "app=blue,tier in (a,b),!old,new,zone notin (x)"
