"""Leader election in virtual time: one operator at a time may write, whoever dies, sleeps or is cut off, and when."""

import asyncio
import selectors
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bluetune_operator.adapters.faults import CrashPoint
from bluetune_operator.adapters.fence import Fence
from bluetune_operator.adapters.kube import KubeApi, _refusal
from bluetune_operator.core.errors import ApiUnavailable, NotLeading
from bluetune_operator.core.kinds import LEASES, Object
from bluetune_operator.handlers.guard import (
    DEADLINE_SECONDS,
    DURATION_SECONDS,
    NAME,
    RENEW_SECONDS,
    RETRY_SECONDS,
    Guard,
    LeaseLost,
)
from unit.operator_lock_model.apiserver import ApiServer, Request, copied

TAKEOVER_SECONDS = 20.0
LATENCY_SECONDS = 0.05


class Instant(selectors.DefaultSelector):
    """Waiting takes no time: the loop's clock jumps instead."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        assert timeout is not None, "everything waits for ever"
        self.now += timeout
        return super().select(0)


def in_virtual_time(scenario: Callable[[], Awaitable[None]]) -> None:
    selector = Instant()
    loop = asyncio.SelectorEventLoop(selector)
    loop.time = lambda: selector.now  # type: ignore[method-assign]
    try:
        loop.run_until_complete(scenario())
    finally:
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        if left:
            loop.run_until_complete(asyncio.wait(left))
        loop.close()


def now() -> float:
    return asyncio.get_running_loop().time()


class Kube(KubeApi):
    """A client of one process, which may be asleep, on a server that may be away."""

    def __init__(self, process: "Process") -> None:
        self._crash_point = CrashPoint(None)
        self._process = process

    async def _call(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        *,
        body: Mapping[str, Any] | None = None,
        content_type: str = "application/json",
    ) -> Object:
        request = Request(method, path, query or {}, copied(body), content_type)
        await self._process.awake.wait()
        await asyncio.sleep(LATENCY_SECONDS)
        if self._process.cluster.away:
            raise ApiUnavailable("away")
        status, answer = self._process.cluster.server.handle(self._process.name, request)
        await asyncio.sleep(LATENCY_SECONDS)
        await self._process.awake.wait()
        if status >= 300:
            raise _refusal(status, f'{{"reason": "{answer["reason"]}"}}'.encode())
        return answer


class Cluster:
    """An API server and its operators."""

    def __init__(self, replicas: int) -> None:
        self.away = False
        self.server = ApiServer("n", lambda: "2026-01-01T00:00:00Z")
        self.processes = [Process(self, f"operator-{n}") for n in range(replicas)]

    def writers(self) -> list[str]:
        """Who may write now."""
        return [p.name for p in self.processes if p.alive and p.fence.is_open()]

    def holder(self) -> str:
        lease = self.server.get(LEASES, NAME)
        return str(lease["spec"]["holderIdentity"]) if lease else ""

    async def until(self, holds: Callable[[], bool], seconds: float) -> float:
        """Virtual seconds until something holds; never more than one process may write meanwhile."""
        begun = now()
        while not holds():
            assert now() - begun < seconds, f"not within {seconds} s"
            await asyncio.sleep(0.1)
            assert len(self.writers()) <= 1, self.writers()
        return now() - begun

    async def passes(self, seconds: float) -> None:
        end = now() + seconds
        await self.until(lambda: now() >= end, seconds + 1)


class Process:
    """An operator, as far as its Lease goes."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self.cluster, self.name = cluster, name
        self.fence = Fence(now)
        self.awake = asyncio.Event()
        self.awake.set()
        self.alive = False
        self.stood_by = False
        self.lost: LeaseLost | None = None
        self._task: asyncio.Task[None] | None = None
        self.guard = Guard(Kube(self), "n", name, self.fence, now)

    def start(self) -> None:
        self.alive, self.lost, self.fence = True, None, Fence(now)
        self.guard = Guard(Kube(self), "n", self.name, self.fence, now)
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        try:
            await self.guard.acquire(self._stand_by)
            await self.guard.keep()
        except LeaseLost as error:
            self.lost, self.alive = error, False
        except ApiUnavailable:  # it could not even begin
            self.alive = False

    def _stand_by(self) -> None:
        self.stood_by = True

    def kill(self) -> None:
        """SIGKILL."""
        self.alive = False
        if self._task is not None:
            self._task.cancel()

    async def terminate(self) -> None:
        """SIGTERM."""
        self.kill()
        await self.guard.release()


async def two() -> tuple[Cluster, Process, Process]:
    """One that works and one that stands by."""
    cluster = Cluster(2)
    first, second = cluster.processes
    first.start()
    await cluster.until(lambda: cluster.writers() == [first.name], 5)
    second.start()
    await cluster.until(lambda: second.stood_by, 5)
    return cluster, first, second


def test_the_times_leave_room() -> None:
    assert RENEW_SECONDS < DEADLINE_SECONDS < DURATION_SECONDS
    assert DURATION_SECONDS + 2 * RETRY_SECONDS + 1 < TAKEOVER_SECONDS


def test_one_works_and_the_other_stands_by() -> None:
    async def scenario() -> None:
        cluster, first, _ = await two()
        await cluster.passes(300)
        assert cluster.writers() == [first.name]
        assert cluster.server.get(LEASES, NAME)["spec"]["leaseTransitions"] == 0  # type: ignore[index]

    in_virtual_time(scenario)


def test_one_that_dies_is_followed_in_time_and_one_that_ends_at_once() -> None:
    async def scenario() -> None:
        cluster, first, second = await two()
        first.kill()
        assert await cluster.until(lambda: cluster.writers() == [second.name], TAKEOVER_SECONDS) > DURATION_SECONDS / 2
        first.start()
        await cluster.passes(5)
        await second.terminate()
        assert await cluster.until(lambda: cluster.writers() == [first.name], 5) < RETRY_SECONDS + 1

    in_virtual_time(scenario)


def test_one_that_slept_writes_nothing_when_it_wakes_and_ends() -> None:
    async def scenario() -> None:
        cluster, first, second = await two()
        first.awake.clear()
        await cluster.until(lambda: cluster.writers() == [second.name], TAKEOVER_SECONDS)
        await cluster.passes(300)
        first.awake.set()
        with pytest.raises(NotLeading, match="not written"):
            first.fence.check()  # before it has noticed anything
        await cluster.until(lambda: not first.alive, RENEW_SECONDS + 1)
        assert "held by another operator" in str(first.lost)
        assert cluster.holder() == second.name

    in_virtual_time(scenario)


def test_one_that_slept_ends_also_if_the_lease_is_free_again() -> None:
    async def scenario() -> None:
        cluster, first, second = await two()
        first.awake.clear()
        await cluster.until(lambda: cluster.writers() == [second.name], TAKEOVER_SECONDS)
        await second.terminate()
        first.awake.set()
        await cluster.until(lambda: not first.alive, RENEW_SECONDS + 1)
        assert cluster.writers() == []

    in_virtual_time(scenario)


def test_one_that_slept_alone_goes_on() -> None:
    async def scenario() -> None:
        cluster = Cluster(1)
        (only,) = cluster.processes
        only.start()
        await cluster.until(lambda: cluster.writers() == [only.name], 5)
        only.awake.clear()
        await cluster.passes(300)
        assert cluster.writers() == []
        only.awake.set()
        await cluster.until(lambda: cluster.writers() == [only.name], 2 * RENEW_SECONDS)

    in_virtual_time(scenario)


def test_an_api_server_that_is_away_stops_the_writes_and_costs_no_restart() -> None:
    async def scenario() -> None:
        cluster, first, _ = await two()
        cluster.away = True
        await cluster.until(lambda: cluster.writers() == [], DEADLINE_SECONDS + 1)
        await cluster.passes(60)
        assert first.alive
        cluster.away = False
        await cluster.until(lambda: len(cluster.writers()) == 1, TAKEOVER_SECONDS)

    in_virtual_time(scenario)


def test_a_label_on_the_lease_and_a_lost_answer_are_no_loss() -> None:
    async def scenario() -> None:
        cluster, first, _ = await two()
        lease = copied(cluster.server.get(LEASES, NAME))
        lease["metadata"]["labels"]["by"] = "somebody"
        cluster.server.put("somebody", LEASES, lease)
        await cluster.passes(60)
        assert cluster.writers() == [first.name]

    in_virtual_time(scenario)


def test_a_lease_that_is_deleted_ends_the_one_that_had_it() -> None:
    async def scenario() -> None:
        cluster, first, second = await two()
        second.kill()
        cluster.server.remove("somebody", LEASES, NAME)
        await cluster.until(lambda: not first.alive, 2 * RENEW_SECONDS)
        assert first.lost is not None
        assert not first.fence.is_open()

    in_virtual_time(scenario)


def test_the_same_name_twice_is_still_one_at_a_time() -> None:
    """A container that is started again while its former process sleeps."""

    async def scenario() -> None:
        cluster = Cluster(2)
        first, second = cluster.processes
        second.name = first.name
        first.start()
        await cluster.until(lambda: first.fence.is_open(), 5)
        first.awake.clear()
        await cluster.passes(DEADLINE_SECONDS + 1)
        second.start()
        await cluster.until(lambda: second.fence.is_open(), 5)
        first.awake.set()
        await cluster.until(lambda: not first.alive, RENEW_SECONDS + 1)
        assert second.fence.is_open()

    in_virtual_time(scenario)


HAPPENINGS = st.lists(
    st.tuples(
        st.sampled_from(["kill", "start", "sleep", "wake", "terminate", "away", "back"]),
        st.integers(0, 2),
        st.floats(0, 25),
    ),
    max_size=12,
)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(HAPPENINGS)
def test_whatever_happens_at_most_one_may_write_and_in_the_end_one_does(
    happenings: list[tuple[str, int, float]],
) -> None:
    async def scenario() -> None:
        cluster = Cluster(3)
        for process in cluster.processes:
            process.start()
        for what, number, pause in happenings:
            process = cluster.processes[number]
            if what in ("away", "back"):
                cluster.away = what == "away"
            elif what == "start" and not process.alive:
                process.awake.set()
                process.start()
            elif what == "kill":
                process.kill()
            elif what == "terminate" and process.fence.is_open() and process.awake.is_set():
                await process.terminate()
            elif what == "sleep":
                process.awake.clear()
            elif what == "wake":
                process.awake.set()
            await cluster.passes(pause)
        cluster.away = False
        for process in cluster.processes:
            process.awake.set()
        await cluster.passes(RENEW_SECONDS + DEADLINE_SECONDS + 2)
        for process in cluster.processes:
            if not process.alive:
                process.start()
        await cluster.until(lambda: len(cluster.writers()) == 1, TAKEOVER_SECONDS)

    in_virtual_time(scenario)
