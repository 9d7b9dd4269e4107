"""One queue of keys: each at most once, none reconciled twice at the same time, failures delayed with backoff."""

import asyncio
import heapq
import itertools
import random
import time
from collections import deque
from collections.abc import Callable

from bluetune_operator.core.kinds import Key

BASE_SECONDS, CAP_SECONDS = 0.25, 120.0


class WorkQueue:
    """Keys to reconcile, now or later. For one event loop."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._ready: deque[Key] = deque()
        self._queued: set[Key] = set()
        self._running: set[Key] = set()
        self._again: set[Key] = set()
        self._due: dict[Key, float] = {}
        self._heap: list[tuple[float, int, Key]] = []
        self._order = itertools.count()
        self._failures: dict[Key, int] = {}
        self._changed = asyncio.Event()

    def add(self, key: Key, delay: float = 0.0) -> None:
        """Have a key reconciled in `delay` seconds, or earlier if it was to be earlier already."""
        if delay > 0:
            at = self._clock() + delay
            if key not in self._due or at < self._due[key]:
                self._due[key] = at
                heapq.heappush(self._heap, (at, next(self._order), key))
                self._changed.set()
            return
        if key in self._running:
            self._again.add(key)
        elif key not in self._queued:
            self._queued.add(key)
            self._ready.append(key)
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
        """The next key. `done` must follow."""
        while True:
            self._move_due()
            if self._ready:
                key = self._ready.popleft()
                self._queued.discard(key)
                self._due.pop(key, None)  # what was to come later is done now, and decides anew
                self._running.add(key)
                if self._ready:
                    self._changed.set()  # another worker may go on
                return key
            self._changed.clear()
            wait = max(self._heap[0][0] - self._clock(), 0.0) if self._heap else None
            try:
                await asyncio.wait_for(self._changed.wait(), wait)
            except TimeoutError:
                continue

    def done(self, key: Key) -> None:
        """The reconcile of a key is over; if the key was added meanwhile, it comes again."""
        self._running.discard(key)
        if key in self._again:
            self._again.discard(key)
            self.add(key)

    def depth(self) -> int:
        """Keys that are ready and wait for a worker."""
        return len(self._ready)

    def later(self) -> int:
        """Keys that are due at a later time."""
        return len(self._due)

    def failing(self) -> int:
        """Keys whose last reconcile failed."""
        return len(self._failures)

    def _move_due(self) -> None:
        now = self._clock()
        while self._heap and self._heap[0][0] <= now:
            at, _, key = heapq.heappop(self._heap)
            if self._due.get(key) == at:
                del self._due[key]
                self.add(key)
