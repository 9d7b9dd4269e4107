"""The queue of keys: nothing twice at once, nothing lost, failures further and further apart."""

import asyncio

from bluetune_operator.core.kinds import Key
from bluetune_operator.handlers.queue import CAP_SECONDS, URGENT_IN_A_ROW, WorkQueue

A, B = Key("K", "n", "a"), Key("K", "n", "b")


def test_a_key_that_is_added_twice_comes_once() -> None:
    async def scenario() -> None:
        queue = WorkQueue()
        queue.add(A)
        queue.add(A)
        queue.add(B)
        assert queue.depth() == 2
        assert [await queue.get(), await queue.get()] == [A, B]

    asyncio.run(scenario())


def test_a_key_is_never_worked_on_twice_at_the_same_time_and_nothing_is_lost() -> None:
    async def scenario() -> None:
        queue = WorkQueue()
        queue.add(A)
        assert await queue.get() == A
        queue.add(A)  # news while it is worked on
        assert queue.depth() == 0
        queue.done(A)
        assert queue.depth() == 1
        assert await queue.get() == A

    asyncio.run(scenario())


def test_a_later_key_comes_when_it_is_due_and_an_event_brings_it_forward() -> None:
    now = [0.0]

    async def scenario() -> None:
        queue = WorkQueue(clock=lambda: now[0])
        queue.add(A, 10)
        queue.add(A, 20)  # the earlier one counts
        assert (queue.depth(), queue.later()) == (0, 1)
        now[0] = 10
        assert await queue.get() == A
        queue.done(A)
        assert queue.later() == 0
        queue.add(B, 50)
        queue.add(B)
        assert await queue.get() == B
        assert queue.later() == 0  # what was to come later is done now

    asyncio.run(scenario())


def test_what_only_shows_something_comes_after_what_is_waited_for_but_comes() -> None:
    async def scenario() -> None:
        queue = WorkQueue()
        queue.add(A, urgent=False)
        work = [Key("K", "n", f"w{n}") for n in range(URGENT_IN_A_ROW + 2)]
        for key in work:
            queue.add(key)
        assert queue.depth() == len(work) + 1
        found = [await queue.get() for _ in range(len(work) + 1)]
        assert found == [*work[:URGENT_IN_A_ROW], A, *work[URGENT_IN_A_ROW:]]

    asyncio.run(scenario())


def test_a_key_that_becomes_urgent_is_brought_forward_also_if_it_was_due_later_or_is_worked_on() -> None:
    now = [0.0]

    async def scenario() -> None:
        queue = WorkQueue(clock=lambda: now[0])
        queue.add(A, urgent=False)
        queue.add(B)
        queue.add(A)
        queue.add(A, urgent=False)  # takes nothing back
        assert [await queue.get(), await queue.get()] == [B, A]
        queue.add(A, urgent=False)
        queue.add(A)
        queue.done(A)
        queue.done(B)
        queue.add(B)
        assert [await queue.get(), await queue.get()] == [A, B]
        queue.done(A)
        queue.done(B)
        queue.add(A, 1, urgent=False)
        queue.add(A, 5)
        queue.add(B, 1)
        assert queue.later() == 2
        now[0] = 1.0
        assert [await queue.get(), await queue.get()] == [B, A]
        assert queue.later() == 0

    asyncio.run(scenario())


def test_a_waiting_worker_is_woken_by_a_key_and_by_the_time() -> None:
    async def scenario() -> None:
        queue = WorkQueue()
        waiting = asyncio.create_task(queue.get())
        await asyncio.sleep(0)
        queue.add(A)
        assert await asyncio.wait_for(waiting, 1) == A
        queue.add(B, 0.02)
        assert await asyncio.wait_for(queue.get(), 1) == B

    asyncio.run(scenario())


def test_all_workers_get_something_to_do() -> None:
    async def scenario() -> None:
        queue = WorkQueue()
        workers = [asyncio.create_task(queue.get()) for _ in range(3)]
        await asyncio.sleep(0)
        for name in "xyz":
            queue.add(Key("K", "n", name))
        found = await asyncio.wait_for(asyncio.gather(*workers), 1)
        assert sorted(key.name for key in found) == ["x", "y", "z"]

    asyncio.run(scenario())


def test_failures_are_tried_again_later_and_later_up_to_a_limit() -> None:
    async def scenario() -> None:
        queue = WorkQueue(clock=lambda: 0.0)
        delays = [queue.fail(A) for _ in range(20)]
        assert 0.1 < delays[0] < 0.3
        assert delays[4] > delays[0]
        assert CAP_SECONDS / 2 <= delays[-1] <= CAP_SECONDS
        queue.succeed(A)
        assert queue.fail(A) < 0.3

    asyncio.run(scenario())


def test_workers_that_wait_get_a_key_each_and_one_that_is_cancelled_takes_none_away() -> None:
    async def scenario() -> None:
        queue = WorkQueue()
        first, second, third = (asyncio.create_task(queue.get()) for _ in range(3))
        await asyncio.sleep(0)
        first.cancel()  # the one that waits for the next key; the others wait for their turn
        await asyncio.wait([first])
        queue.add(A)
        queue.add(B, 0.01)
        async with asyncio.timeout(5):
            assert [await second, await third] == [A, B]

    asyncio.run(scenario())
