"""Two operators on one cluster: one works; the other takes over, and the first one writes nothing when it wakes."""

import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest

from bluetune_operator.handlers.guard import DEADLINE_SECONDS, DURATION_SECONDS
from bluetune_operator.handlers.guard import NAME as LEASE

Fixture = Any
pytestmark = pytest.mark.timeout(400)

FIRST, SECOND = "operator-under-test", "operator-in-reserve"


@pytest.fixture
def reserve(operator: Fixture, world: Fixture, stand_in: str) -> Iterator[Fixture]:
    """A second operator, which stands by."""
    operator.wait_until_started()
    second = type(operator)(operator.namespace, operator.log.parent / "second", stand_in)
    second.start(POD_NAME=SECOND)
    until_it_says(second, "another operator holds Lease")
    yield second
    second.end()
    defects = [line for line in second.lines() if "exception" in line]
    assert not defects, defects[0]["exception"]


def until_it_says(process: Fixture, words: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not any(words in line["message"] for line in process.lines()):
        assert time.monotonic() < deadline, process.log.read_text()[-2000:]
        time.sleep(0.05)


def holder(world: Fixture) -> str:
    return str(world.get(f"lease/{LEASE}")["spec"]["holderIdentity"])


def took_over_after(reserve: Fixture, begun: float) -> float:
    reserve.wait_until_started()
    return time.monotonic() - begun


def versions_of_all(world: Fixture) -> dict[str, str]:
    """resourceVersion of everything that an operator writes, but for its own Lease."""
    found = world.kubectl.json("get", "ftt,ftm,emodel,jobs,cm,leases")["items"]
    return {
        f"{o['kind']}/{o['metadata']['name']}": o["metadata"]["resourceVersion"]
        for o in found
        if o["metadata"]["name"] not in (LEASE, "kube-root-ca.crt")
    }


def settled(world: Fixture, seconds: float = 60) -> dict[str, str]:
    """`versions_of_all` when the operator that works has nothing left to write."""
    deadline, before, now = time.monotonic() + seconds, {}, versions_of_all(world)
    while before != now:
        assert time.monotonic() < deadline, now
        time.sleep(3)
        before, now = now, versions_of_all(world)
    return now


def test_one_that_is_killed_is_followed_by_the_other_which_ends_its_work(
    operator: Fixture, reserve: Fixture, world: Fixture
) -> None:
    world.basics()
    world.kubectl.apply(world.task("t", metadata={"train": "sleep:20"}))
    before = world.until("job/t-train", lambda o: (o.get("status") or {}).get("active") == 1, 60)["metadata"]["uid"]
    world.kubectl.apply(world.task("u", batchId="b1"))
    assert holder(world) == FIRST
    begun = time.monotonic()
    operator.end(signal.SIGKILL)
    print(
        f"taken over {took_over_after(reserve, begun):.1f} s after SIGKILL (at most {DURATION_SECONDS:.0f} s + polls)"
    )
    assert holder(world) == SECOND
    assert world.ended("t", 90)["status"]["phase"] == "Succeeded"
    assert world.get("job/t-train")["metadata"]["uid"] == before
    assert world.get("ftt/t")["status"]["attempt"] == 1
    assert world.ended("u", 90)["status"]["phase"] == "Succeeded"


def test_one_that_ends_in_good_order_is_followed_at_once(operator: Fixture, reserve: Fixture, world: Fixture) -> None:
    begun = time.monotonic()
    assert operator.end(signal.SIGTERM) == 0
    print(f"taken over {took_over_after(reserve, begun):.1f} s after SIGTERM")
    assert holder(world) == SECOND
    world.basics()
    world.kubectl.apply(world.task("t"))
    assert world.ended("t", 90)["status"]["phase"] == "Succeeded"


@pytest.mark.timeout(500)
@pytest.mark.parametrize("asleep", [0, 300], ids=["until-all-is-over", "five-minutes"])
def test_one_that_slept_writes_nothing_when_it_wakes_and_exits(
    operator: Fixture, reserve: Fixture, world: Fixture, asleep: float
) -> None:
    world.basics()
    world.kubectl.apply(world.task("t", metadata={"train": "sleep:10"}))
    world.until("job/t-train", lambda o: (o.get("status") or {}).get("active") == 1, 60)
    world.kubectl.apply(world.task("u", batchId="b1"))
    begun = time.monotonic()
    operator.process.send_signal(signal.SIGSTOP)
    try:
        print(f"taken over {took_over_after(reserve, begun):.1f} s after SIGSTOP")
        # what it knew is long over: t ended, u had the lock, and t is gone
        assert world.ended("t", 90)["status"]["phase"] == "Succeeded"
        assert world.ended("u", 90)["status"]["phase"] == "Succeeded"
        world.until("lease/bluetune-m", lambda o: not o["spec"].get("holderIdentity"))
        time.sleep(max(0.0, begun + asleep - time.monotonic()))
        before = settled(world)
    finally:
        operator.process.send_signal(signal.SIGCONT)
    assert operator.process.wait(60) == 1
    said = [line["message"] for line in operator.lines()]
    assert any("held by another operator" in message for message in said)
    assert versions_of_all(world) == before
    assert holder(world) == SECOND


def test_one_that_slept_alone_goes_on(operator: Fixture, world: Fixture) -> None:
    world.basics()
    operator.process.send_signal(signal.SIGSTOP)
    time.sleep(DEADLINE_SECONDS + 2)
    world.kubectl.apply(world.task("t"))
    operator.process.send_signal(signal.SIGCONT)
    assert world.ended("t", 90)["status"]["phase"] == "Succeeded"
    assert operator.process.poll() is None
