"""Synchronous clients in bounded thread pools, so that no blocking call ever stops the event loop."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


class Workers:
    """A pool of `threads` threads.

    A call that waits longer than its timeout raises TimeoutError here; its thread ends by the timeouts of the client
    that runs in it, which must be set.
    """

    def __init__(self, name: str, threads: int) -> None:
        self.threads = threads
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name)

    async def run(self, call: Callable[[], T], seconds: float) -> T:
        """Run `call` in the pool, for at most `seconds` (waiting for a thread included)."""
        return await asyncio.wait_for(asyncio.get_running_loop().run_in_executor(self._pool, call), seconds)

    def close(self) -> None:
        """Take no more calls."""
        self._pool.shutdown(wait=False, cancel_futures=True)
