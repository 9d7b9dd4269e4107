"""The operator may be killed at any instant: started again, it ends with the same result, one Job and one version."""

import contextlib
import random
import signal
import time
from typing import Any

import pytest

from bluetune_operator.handlers.guard import NAME as GUARD_LEASE
from cluster.kubectl import KubectlError

Fixture = Any
pytestmark = pytest.mark.timeout(1000)

STAGES = ("check", "train")


def prepared(operator: Fixture, world: Fixture) -> None:
    world.basics()
    operator.end()
    world.kubectl.apply(world.task("t", metadata={"train": "sleep:1"}))


def task_has_ended(world: Fixture) -> bool:
    conditions = (world.get("ftt/t").get("status") or {}).get("conditions") or []
    return any(c["type"] in ("Succeeded", "Failed") and c["status"] == "True" for c in conditions)


def job_uids(world: Fixture) -> dict[str, str]:
    found = {}
    for stage in STAGES:
        with contextlib.suppress(KubectlError):
            found[stage] = world.get(f"job/t-{stage}")["metadata"]["uid"]
    return found


def test_killed_after_every_single_write_it_ends_with_one_job_and_one_version(
    operator: Fixture, world: Fixture
) -> None:
    prepared(operator, world)
    before, seen, lives = world.versions(), {stage: set() for stage in STAGES}, 0
    deadline = time.monotonic() + 900
    while not task_has_ended(world):
        assert time.monotonic() < deadline, world.get("ftt/t")["status"]
        operator.start(BLUETUNE_CRASH_AFTER="1")
        assert operator.process.wait(60) == 137
        lives += 1
        for stage, uid in job_uids(world).items():
            seen[stage].add(uid)
    assert lives > 5
    _one_of_each(world, before, seen)
    operator.start()
    world.until("lease/bluetune-m", lambda o: not o["spec"].get("holderIdentity"))


@pytest.mark.parametrize("seed", [1, 2])
def test_killed_at_random_times_it_ends_with_one_job_and_one_version(
    operator: Fixture, world: Fixture, seed: int
) -> None:
    prepared(operator, world)
    chance, before, seen = random.Random(seed), world.versions(), {stage: set() for stage in STAGES}
    deadline = time.monotonic() + 300
    while not task_has_ended(world):
        assert time.monotonic() < deadline, world.get("ftt/t")["status"]
        operator.start()
        operator.wait_until_started()
        time.sleep(chance.uniform(0.0, 2.0))
        operator.end()
        for stage, uid in job_uids(world).items():
            seen[stage].add(uid)
    _one_of_each(world, before, seen)


def _one_of_each(world: Fixture, before: list[str], seen: dict[str, set[str]]) -> None:
    status = world.get("ftt/t")["status"]
    assert status["phase"] == "Succeeded", status
    assert {stage: len(uids) for stage, uids in seen.items()} == {"check": 1, "train": 1}
    assert status["attempt"] == 1
    new = set(world.versions()) - set(before)
    assert new == {status["bestModelId"]}
    pods = world.kubectl.json("get", "pods", "-l", "bluetune.dev/task=t")["items"]
    assert sorted(p["metadata"]["labels"]["bluetune.dev/job"] for p in pods) == ["check", "train"]


def test_a_stopped_operator_gives_its_lease_back_and_leaves_the_work_running(operator: Fixture, world: Fixture) -> None:
    world.basics()
    world.kubectl.apply(world.task("t", metadata={"train": "sleep:6"}))
    world.until("job/t-train", lambda o: (o.get("status") or {}).get("active") == 1)
    assert operator.end(signal.SIGTERM) == 0
    assert world.get("lease/bluetune.operator")["spec"]["holderIdentity"] == ""
    operator.start()
    assert world.ended("t", 90)["status"]["phase"] == "Succeeded"


def test_an_operator_that_waits_for_the_lease_stops_at_once_and_one_without_a_cluster_says_so(
    operator: Fixture, world: Fixture
) -> None:
    operator.wait_until_started()
    second = type(operator)(operator.namespace, operator.log.parent / "second", "unused")
    second.start(POD_NAME="another")
    world.until(f"lease/{GUARD_LEASE}", lambda o: o["spec"]["holderIdentity"] == "operator-under-test")
    deadline = time.monotonic() + 60
    while not any("another operator holds Lease" in line["message"] for line in second.lines()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert second.end(signal.SIGTERM) == 0
    lost = type(operator)(operator.namespace, operator.log.parent / "third", "unused")
    lost.start(KUBECONFIG="/nonexistent")
    assert lost.process.wait(60) == 1
    assert "set KUBECONFIG" in lost.lines()[-1]["message"]
    assert not any("exception" in line for line in lost.lines())
