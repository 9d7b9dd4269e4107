"""Calls that are tried again, for a bounded time."""

import math
import random
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def no_progress() -> int:
    """What a call reports that is done whole or not at all."""
    return 0


def with_retries(
    call: Callable[[], T],
    *,
    retryable: Callable[[Exception], bool],
    attempts: int = 6,
    base_seconds: float = 0.2,
    cap_seconds: float = 5.0,
    patience_seconds: float = math.inf,
    progress: Callable[[], int] = no_progress,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> T:
    """Call until it succeeds, or until its failures are too many or last too long.

    The last error is raised. Between two tries is a pause of random length ("full jitter") below a bound that doubles:
    "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015).

    Args:
        call: what is tried.
        retryable: whether an error may pass. Any other error is raised at once.
        attempts: failures in a row that end it.
        base_seconds, cap_seconds: the first bound of a pause, and the largest.
        patience_seconds: a failure this long after the first one of its row ends it.
        progress: how far `call` has come, in units that count. It is asked after each failure, and a failure after more
            progress begins a new row.
        sleep, clock: how the time passes.
    """
    failures, since, reached = 0, 0.0, progress()
    while True:
        try:
            return call()
        except Exception as error:
            now, done = clock(), progress()
            if failures == 0 or done > reached:
                failures, since, reached = 0, now, done
            failures += 1
            if failures >= attempts or now - since >= patience_seconds or not retryable(error):
                raise
        sleep(random.uniform(0, min(cap_seconds, base_seconds * 2 ** (failures - 1))))
