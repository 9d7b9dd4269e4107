"""One queue of keys: each at most once, none reconciled twice at the same time, failures delayed with backoff.

Under more load than the process can carry, work that somebody waits for goes before updates of a status.
"""

import asyncio
import contextlib
import heapq
import itertools
import random
import time
from collections import OrderedDict
from collections.abc import Callable

from bluetune_operator.core.kinds import Key

BASE_SECONDS, CAP_SECONDS = 0.25, 120.0
URGENT_IN_A_ROW = 8
"""After so many urgent keys, one that is not gets its turn: no key starves."""


class WorkQueue:
    """Keys to reconcile, now or later. For one event loop."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._urgent: OrderedDict[Key, None] = OrderedDict()
        self._calm: OrderedDict[Key, None] = OrderedDict()
        self._in_a_row = 0
        self._running: set[Key] = set()
        self._again: dict[Key, bool] = {}
        self._due: dict[tuple[Key, bool], float] = {}
        """When, by key and whether it is urgent."""
        self._heap: list[tuple[float, int, tuple[Key, bool]]] = []
        self._order = itertools.count()
        self._failures: dict[Key, int] = {}
        self._changed = asyncio.Event()
        self._turn = asyncio.Lock()

    def add(self, key: Key, delay: float = 0.0, *, urgent: bool = True) -> None:
        """Have a key reconciled in `delay` seconds, or earlier if it was to be earlier already.

        Args:
            key: what to reconcile.
            delay: seconds.
            urgent: False for what only shows something; a key that was added both ways is urgent.
        """
        if delay > 0:
            at, what = self._clock() + delay, (key, urgent)
            if what not in self._due or at < self._due[what]:
                self._due[what] = at
                heapq.heappush(self._heap, (at, next(self._order), what))
                self._changed.set()
            return
        if key in self._running:
            self._again[key] = urgent or self._again.get(key, False)
        elif urgent and key not in self._urgent:
            self._calm.pop(key, None)
            self._urgent[key] = None
            self._changed.set()
        elif not urgent and key not in self._urgent and key not in self._calm:
            self._calm[key] = None
            self._changed.set()

    def fail(self, key: Key) -> float:
        """A reconcile failed: try it again later, with exponential backoff and jitter; return after how long."""
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        delay: float = min(CAP_SECONDS, BASE_SECONDS * 2 ** min(failures - 1, 16)) * random.uniform(0.5, 1.0)
        self.add(key, delay)
        return delay

    def succeed(self, key: Key) -> None:
        """A reconcile went through: forget its failures."""
        self._failures.pop(key, None)

    async def get(self) -> Key:
        """The next key. `done` must follow.

        One worker waits for it, the others for their turn: a key wakes one of them, not all.
        """
        async with self._turn:
            while True:
                self._move_due()
                if self._urgent or self._calm:
                    key = self._next()
                    for urgent in (True, False):  # what was to come later is done now, and decides anew
                        self._due.pop((key, urgent), None)
                    self._running.add(key)
                    return key
                self._changed.clear()
                wait = max(self._heap[0][0] - self._clock(), 0.0) if self._heap else None
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait):
                        await self._changed.wait()

    def done(self, key: Key) -> None:
        """The reconcile of a key is over; if the key was added meanwhile, it comes again."""
        self._running.discard(key)
        if key in self._again:
            self.add(key, urgent=self._again.pop(key))

    def depth(self) -> int:
        """Keys that are ready and wait for a worker."""
        return len(self._urgent) + len(self._calm)

    def later(self) -> int:
        """Keys that are due at a later time."""
        return len({key for key, _ in self._due})

    def failing(self) -> int:
        """Keys whose last reconcile failed."""
        return len(self._failures)

    def _next(self) -> Key:
        calm = self._calm and (not self._urgent or self._in_a_row >= URGENT_IN_A_ROW)
        self._in_a_row = 0 if calm else self._in_a_row + 1
        key, _ = (self._calm if calm else self._urgent).popitem(last=False)
        return key

    def _move_due(self) -> None:
        now = self._clock()
        while self._heap and self._heap[0][0] <= now:
            at, _, what = heapq.heappop(self._heap)
            if self._due.get(what) == at:
                del self._due[what]
                key, urgent = what
                self.add(key, urgent=urgent)
