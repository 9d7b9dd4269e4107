"""What the cluster has, looked at for all viewers at once, and only while there is one."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from bluetune.adapters.cluster import Cluster
from bluetune.core.errors import CliError
from bluetune.core.kinds import MODELS, TASKS, Kind, Object

PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 2.0, 30.0
SHARE = 5.0
"""The pause is at least so many times as long as the look took: a large namespace is looked at less often."""
FRESH_SECONDS, FIRST_SECONDS = 5.0, 8.0
RIGHTS_SECONDS = 60.0
"""How long an answer about rights is believed."""


@dataclass(frozen=True)
class Snapshot:
    """The namespace at a look."""

    models: tuple[Object, ...] = ()
    tasks: tuple[Object, ...] = ()
    problems: tuple[str, ...] = ()
    """What could not be looked at, and why."""
    may_change_models: bool = True
    may_change_tasks: bool = True
    number: int = 0
    """Of the look; 0: there was none yet."""
    at: float = float("-inf")
    """When it began, on the monotonic clock."""


class Feed:
    """Looks again and again. Who awaits `newer` keeps it looking; nobody else does."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self.snapshot = Snapshot()
        self._changed = asyncio.Condition()
        self._viewers = 0
        self._wanted = asyncio.Event()
        self._soon = asyncio.Event()
        self._rights_at = -RIGHTS_SECONDS

    async def run(self) -> None:
        """Until it is cancelled."""
        failures = 0
        while True:
            await self._wanted.wait()
            self._soon.clear()
            began = time.monotonic()
            found = await asyncio.to_thread(self._look, self.snapshot)
            failures = failures + 1 if found.problems else 0
            async with self._changed:
                self.snapshot = found
                self._changed.notify_all()
            pause = max(PAUSE_SECONDS * 2 ** min(failures, 5), SHARE * (time.monotonic() - began))
            await _passed(self._soon.wait, min(pause, LONGEST_PAUSE_SECONDS) * random.uniform(0.8, 1.2))

    async def newer(self, number: int, seconds: float) -> Snapshot:
        """The first look after that number, or the last one when the time is over."""
        self._viewers += 1
        self._wanted.set()
        try:
            async with self._changed:
                await _passed(lambda: self._changed.wait_for(lambda: self.snapshot.number > number), seconds)
        finally:
            self._viewers -= 1
            if not self._viewers:
                self._wanted.clear()
        return self.snapshot

    def hurry(self) -> None:
        """Look at once: something was changed."""
        self._soon.set()

    async def fresh(self) -> Snapshot:
        """A look that is a few seconds old at most, if there can be one soon."""
        if time.monotonic() - self.snapshot.at < FRESH_SECONDS:
            return self.snapshot
        self.hurry()
        return await self.newer(self.snapshot.number, FIRST_SECONDS)

    def _look(self, last: Snapshot) -> Snapshot:
        problems: list[str] = []
        began = time.monotonic()

        def listed(kind: Kind, before: tuple[Object, ...]) -> tuple[Object, ...]:
            try:
                return tuple(self._cluster.list(kind))
            except CliError as error:
                problems.append(f"{error}")
                return before

        models, tasks = listed(MODELS, last.models), listed(TASKS, last.tasks)
        found = replace(last, models=models, tasks=tasks, number=last.number + 1, at=began)
        if time.monotonic() - self._rights_at >= RIGHTS_SECONDS:
            try:
                found = replace(
                    found,
                    may_change_models=self._cluster.may("patch", MODELS, ""),
                    may_change_tasks=self._cluster.may("patch", TASKS, ""),
                )
                self._rights_at = time.monotonic()
            except CliError as error:  # what is asked for then says whether it may be
                problems.append(f"{error}")
        return replace(found, problems=tuple(dict.fromkeys(problems)))


async def _passed(waits: Callable[[], Awaitable[object]], seconds: float) -> None:
    """Wait for something, so long at most."""
    try:
        async with asyncio.timeout(seconds):
            await waits()
    except TimeoutError:
        pass
