"""From a Job and its pods to what a person is told."""

from datetime import UTC, datetime
from typing import Any

import pytest

from bluetune_api.exit_codes import Termination
from bluetune_operator.core.jobs.state import job_state

NOW = datetime(2026, 1, 1, 0, 1, tzinfo=UTC)
SCHEDULED = "2026-01-01T00:00:50Z"


def job(condition: str | None = None, reason: str = "", message: str = "", **spec: Any) -> dict[str, Any]:
    conditions = [{"type": condition, "status": "True", "reason": reason, "message": message}] if condition else []
    return {"metadata": {"name": "t-train"}, "spec": spec, "status": {"conditions": conditions}}


def pod(phase: str = "Pending", name: str = "p1", created: str = SCHEDULED, **more: Any) -> dict[str, Any]:
    container = {"name": "trainer", "image": "img:1", **more.pop("container", {})}
    limits = {"resources": {"limits": {"memory": "1Gi"}}}
    return {
        "metadata": {"name": name, "uid": f"uid-{name}", "creationTimestamp": created, **more.pop("metadata", {})},
        "spec": {"containers": [{"name": "trainer", **limits}]},
        "status": {"phase": phase, "containerStatuses": [container], **more},
    }


def waiting(reason: str, message: str = "said") -> dict[str, Any]:
    return pod(container={"state": {"waiting": {"reason": reason, "message": message}}})


def ended(code: int, text: str = "", reason: str = "Error", name: str = "p1", at: str = "00:00:55") -> dict[str, Any]:
    terminated = {"exitCode": code, "message": text, "reason": reason, "finishedAt": f"2026-01-01T{at}Z"}
    return pod("Failed", name, container={"state": {"terminated": terminated}})


def stopping(at: str) -> dict[str, Any]:
    """A pod whose grace period ended then."""
    found = pod("Running", metadata={"deletionTimestamp": f"2026-01-01T{at}Z"})
    found["spec"]["nodeName"] = "n1"
    return found


def resumed(at: str) -> dict[str, Any]:
    """A Job that was suspended before, and resumed."""
    found = job()
    found["status"]["conditions"] = [
        {"type": "Suspended", "status": "False", "lastTransitionTime": f"2026-01-01T{at}Z"}
    ]
    return found


def outlived(code: int, seconds: int = 30, text: str = "") -> dict[str, Any]:
    """The trainer has ended, and a container beside it runs."""
    found = pod("Running")
    terminated = {"exitCode": code, "message": text, "finishedAt": f"2026-01-01T00:00:{60 - seconds:02d}Z"}
    found["status"]["containerStatuses"] = [
        {"name": "mesh", "state": {"running": {}}},
        {"name": "trainer", "state": {"terminated": terminated}},
    ]
    return found


UNSCHEDULABLE = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes: no GPU."}


@pytest.mark.parametrize(
    ("the_job", "pods", "state", "reason", "part"),
    [
        pytest.param(None, [], "Missing", None, "", id="no Job"),
        pytest.param(job(), [], "Pending", None, "", id="no pod yet"),
        pytest.param(job(), [pod("Running")], "Running", None, "", id="runs"),
        pytest.param(job("Complete"), [pod("Succeeded")], "Complete", None, "", id="done"),
        pytest.param(job("SuccessCriteriaMet"), [pod("Succeeded")], "Ended", None, "", id="nearly done"),
        pytest.param(job(), [ended(1), pod("Succeeded", "p2")], "Ended", None, "", id="ended, the Job is silent"),
        pytest.param(job(), [outlived(0, 5)], "Ended", None, "", id="a sidecar may end by itself"),
        pytest.param(job(), [outlived(0)], "Complete", None, "", id="a sidecar runs on"),
        pytest.param(job(), [outlived(13)], "Running", None, "", id="a sidecar runs on; to be made again"),
        pytest.param(job(), [outlived(1, text="boom")], "Failed", "TrainerCrashed", "'mesh' runs on", id="crashed"),
        pytest.param(job(), [outlived(10)], "Failed", "DataInvalid", "code 10", id="a sidecar runs on; data invalid"),
        pytest.param(
            resumed("00:00:20"), [ended(13, at="00:00:30")], "Pending", "StoreUnreachable", "13", id="lost again"
        ),
        pytest.param(
            resumed("00:00:40"), [ended(13, at="00:00:30")], "Pending", None, "", id="resumed after the outage"
        ),
        pytest.param(job(), [stopping("00:00:30")], "Pending", "Terminating", "is being stopped", id="is stopped"),
        pytest.param(job(), [stopping("00:00:00")], "Pending", "PodStuck", "on node 'n1'", id="its node is silent"),
        pytest.param(job(suspend=True), [], "Suspended", None, "", id="suspended"),
        pytest.param(job(), [pod(conditions=[UNSCHEDULABLE])], "Pending", "Unschedulable", "no GPU", id="no node"),
        pytest.param(job(), [waiting("ErrImagePull")], "Pending", "ImagePullBackOff", "img:1", id="pull fails"),
        pytest.param(job(), [waiting("ImagePullBackOff")], "Pending", "ImagePullBackOff", "said", id="pull backs off"),
        pytest.param(job(), [waiting("InvalidImageName")], "Pending", "InvalidImageName", "correct", id="bad name"),
        pytest.param(
            job(),
            [waiting("CreateContainerConfigError", 'secret "s" not found')],
            "Pending",
            "CreateContainerConfigError",
            'secret "s" not found',
            id="a Secret is missing",
        ),
        pytest.param(job(), [waiting("ContainerCreating")], "Pending", None, "", id="creating, not for long"),
        pytest.param(
            job(),
            [pod(created="2026-01-01T00:00:00Z", container={"state": {"waiting": {"reason": "ContainerCreating"}}})],
            "Pending",
            "ContainerCreating",
            "kubectl describe pod p1",
            id="creating for too long",
        ),
        pytest.param(
            job(), [ended(1, "Traceback\nboom")], "Pending", "TrainerCrashed", "boom", id="crashed, to be tried again"
        ),
        pytest.param(
            job(),
            [ended(137, reason="OOMKilled"), pod("Running", "p2", "2026-01-01T00:00:55Z")],
            "Running",
            "OOMKilled",
            "limit of 1Gi",
            id="runs again after it was killed for memory",
        ),
        pytest.param(
            job("Failed", "PodFailurePolicy"),
            [ended(10, Termination(reason="DataInvalid", message="3 broken lines").encode())],
            "Failed",
            "DataInvalid",
            "3 broken lines",
            id="data invalid",
        ),
        pytest.param(
            job("Failed", "PodFailurePolicy"), [ended(11)], "Failed", "PlanInvalid", "code 11", id="no message"
        ),
        pytest.param(
            job("Failed", "BackoffLimitExceeded"),
            [ended(1, name="p1"), ended(1, name="p2")],
            "Failed",
            "TrainerCrashed",
            "given up after 2 attempts",
            id="crashed as often as it may",
        ),
        pytest.param(
            job("Failed", "DeadlineExceeded", activeDeadlineSeconds=9),
            [],
            "Failed",
            "DeadlineExceeded",
            "activeDeadlineSeconds=9",
            id="late",
        ),
        pytest.param(
            job("Failed", "BackoffLimitExceeded", "limit reached"),
            [],
            "Failed",
            "BackoffLimitExceeded",
            "limit reached",
            id="pods are gone",
        ),
        pytest.param(
            job("Failed", "x y; drop"), [], "Failed", "JobFailed", "t-train", id="a reason that the schema would refuse"
        ),
    ],
)
def test_verdicts(the_job: Any, pods: Any, state: str, reason: str | None, part: str) -> None:
    found = job_state(the_job, pods, NOW)
    assert found.state == state
    assert (found.trouble.reason if found.trouble else None) == reason
    assert part in (found.trouble.message if found.trouble else "")


def test_the_newest_pod_counts_and_all_are_attempts() -> None:
    pods = [pod("Running", "b", "2026-01-01T00:00:55Z"), ended(1, name="a")]
    found = job_state(job(), pods, NOW)
    assert (found.attempt, found.pod_name, found.pod_uid) == (2, "b", "uid-b")


def test_a_termination_message_of_any_length_fits_the_schema() -> None:
    found = job_state(job("Failed"), [ended(1, "x" * 10_000)], NOW)
    assert found.trouble is not None
    assert len(found.trouble.message) <= 2048
