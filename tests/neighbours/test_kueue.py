"""Tasks whose Jobs Kueue queues: quota, preemption, and Jobs that name no queue."""

from typing import Any

import pytest

from neighbours.kueue import queue
from tasks.fixtures import condition

Fixture = Any
pytestmark = pytest.mark.timeout(300)
QUOTAS = {"cpu": "8", "memory": "16Gi", "nvidia.com/gpu": "1"}


def suspended(world: Fixture, job: str) -> bool:
    return bool(world.get(f"job/{job}")["spec"].get("suspend"))


def workloads(world: Fixture) -> dict[str, bool]:
    """Owner of each Workload, and whether it is admitted."""
    found = world.kubectl.json("get", "workloads.kueue.x-k8s.io")["items"]
    return {
        one["metadata"]["ownerReferences"][0]["name"]: condition(one, "Admitted").get("status") == "True"
        for one in found
    }


def test_every_job_of_a_task_with_a_queue_is_admitted_by_it(managed: str, operator: Fixture, world: Fixture) -> None:
    world.kubectl.apply(*queue("gpus", managed, QUOTAS))
    world.basics(method={"queueName": "gpus"})
    world.kubectl.apply(world.task("t"))
    assert condition(world.ended("t", 120), "Succeeded")["status"] == "True"
    assert {"m-import", "t-check", "t-train"} <= workloads(world).keys()
