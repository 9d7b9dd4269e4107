"""Tasks whose Jobs Kueue queues: quota, preemption, and Jobs that name no queue."""

import time
from typing import Any

import pytest

from neighbours.kueue import queue
from tasks.fixtures import condition

Fixture = Any
pytestmark = pytest.mark.timeout(300)
QUOTAS = {"cpu": "8", "memory": "16Gi"}
JOBS_AT_A_TIME = {"cpu": "8", "memory": "16Gi", "pods": "1"}


def suspended(world: Fixture, job: str) -> bool:
    return bool(world.get(f"job/{job}")["spec"].get("suspend"))


def workloads(world: Fixture) -> dict[str, dict[str, Any]]:
    """By the Job that owns each."""
    found = world.kubectl.json("get", "workloads.kueue.x-k8s.io")["items"]
    return {one["metadata"]["ownerReferences"][0]["name"]: one for one in found}


def ready_model(world: Fixture, **spec: Any) -> None:
    world.batch()
    world.kubectl.apply(world.secret(), world.method(), world.model(**spec))
    world.until("emodel/m", lambda o: bool((o.get("status") or {}).get("current")), 90)


def test_every_job_of_a_model_with_a_queue_is_admitted_by_it(managed: str, operator: Fixture, world: Fixture) -> None:
    world.kubectl.apply(*queue("gpus", managed, QUOTAS))
    ready_model(world, queueName="gpus")
    world.kubectl.apply(world.task("t"))
    assert condition(world.ended("t", 120), "Succeeded")["status"] == "True"
    assert {"m-import", "t-check", "t-train"} <= workloads(world).keys()


def test_a_job_over_the_quota_waits_and_says_so_and_goes_on_when_there_is_room(
    managed: str, operator: Fixture, world: Fixture
) -> None:
    world.kubectl.apply(*queue("small", managed, JOBS_AT_A_TIME))
    ready_model(world, queueName="small")
    world.batch(model="n")
    world.kubectl.apply(world.model("n", queueName="small"))
    world.until("emodel/n", lambda o: bool((o.get("status") or {}).get("current")), 90)
    world.kubectl.apply(world.task("long", metadata={"train": "sleep:120"}))
    world.until("job/long-train", lambda o: (o.get("status") or {}).get("active") == 1)
    world.kubectl.apply(world.task("next", "n"))
    world.ready_reason("next", "Queued", 60)
    said = world.until("ftt/next", lambda o: ": " in condition(o, "Ready")["message"] and o, 30)
    assert "insufficient unused quota for pods in flavor any" in condition(said, "Ready")["message"]
    assert condition(said, "DataValid")["message"] == condition(said, "Ready")["message"]
    world.kubectl("patch", "ftt", "long", "--type=merge", "-p", '{"spec":{"cancel":true}}')
    assert condition(world.ended("next", 120), "Succeeded")["status"] == "True"


def test_a_training_that_is_preempted_keeps_its_lock_and_goes_on_afterwards(
    managed: str, operator: Fixture, world: Fixture
) -> None:
    world.kubectl.apply(*queue("one", managed, JOBS_AT_A_TIME, preempt=True))
    ready_model(world, queueName="one")
    world.kubectl.apply(world.task("t", metadata={"train": "sleep:8"}))
    world.until("job/t-train", lambda o: (o.get("status") or {}).get("active") == 1)
    world.kubectl.apply(urgent())
    world.ready_reason("t", "Queued", 60)
    assert suspended(world, "t-train")
    assert world.get("lease/bluetune-m")["spec"]["holderIdentity"].startswith("t/")
    assert condition(world.ended("t", 150), "Succeeded")["status"] == "True"


def urgent() -> dict[str, Any]:
    """A Job of others in the same queue, which goes before ours."""
    container = {
        "name": "main",
        "image": "localhost/bluetune-host:dev",
        "command": ["sleep", "10"],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"memory": "64Mi"}},
    }
    pod = {
        "restartPolicy": "Never",
        "priorityClassName": "system-cluster-critical",
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "urgent", "labels": {"kueue.x-k8s.io/queue-name": "one"}},
        "spec": {"suspend": True, "backoffLimit": 0, "template": {"spec": pod}},
    }


def test_a_job_without_a_queue_is_not_fought_over(managed: str, operator: Fixture, world: Fixture) -> None:
    world.batch()
    world.kubectl.apply(world.secret(), world.method(), world.model())
    world.until("emodel/m", lambda o: condition(o, "Ready").get("reason") == "SuspendedByOthers", 120)
    before = world.get("job/m-import")["metadata"]["resourceVersion"]
    time.sleep(15)
    assert world.get("job/m-import")["metadata"]["resourceVersion"] == before
    world.kubectl.apply(*queue("gpus", managed, QUOTAS))
    world.kubectl("patch", "emodel", "m", "--type=merge", "-p", '{"spec":{"queueName":"gpus"}}')
    world.until("emodel/m", lambda o: bool((o.get("status") or {}).get("current")), 90)


def test_a_queue_that_does_not_exist_is_waited_for_and_said(managed: str, operator: Fixture, world: Fixture) -> None:
    world.batch()
    world.kubectl.apply(world.secret(), world.method(), world.model(queueName="later"))
    world.until("emodel/m", lambda o: condition(o, "Ready").get("reason") == "Queued", 60)
    world.until("emodel/m", lambda o: "LocalQueue later doesn't exist" in condition(o, "Ready")["message"], 60)
    world.kubectl.apply(*queue("later", managed, QUOTAS))
    world.until("emodel/m", lambda o: bool((o.get("status") or {}).get("current")), 90)
