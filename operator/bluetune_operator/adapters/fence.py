"""What keeps a process that slept from writing: its right to write runs out by itself, by its own clock."""

import time
from collections.abc import Callable

from bluetune_operator.core.errors import NotLeading

NEVER = float("-inf")


def uptime() -> float:
    """Seconds since the machine started, whatever happened to this process or to the time of day.

    Goes on while the process is stopped and, on Linux, while the machine sleeps.
    """
    boot_clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boot_clock is None else time.clock_gettime(boot_clock)


class Fence:
    """Asked right before each write, in the thread that sends it. Closed until it is opened."""

    def __init__(self, clock: Callable[[], float] = uptime) -> None:
        self._clock = clock
        self._until = NEVER

    def open_until(self, moment: float) -> None:
        """Let writes pass until a moment of the clock."""
        self._until = moment

    def close(self) -> None:
        """Let nothing pass."""
        self._until = NEVER

    def is_open(self) -> bool:
        """Whether writes pass."""
        return self._clock() < self._until

    def check(self) -> None:
        """Raises NotLeading if nothing may be written now."""
        if not self.is_open():
            raise NotLeading(
                "not written: this operator's Lease was not renewed in time, so another one may be at work"
            )
