"""Progress for a person who waits: what is being done, how long it has taken."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

QUIET_SECONDS = 30.0
"""Between two signs of life where the output is a log and not a terminal."""


def say(line: str) -> None:
    """One line for the person. Everything meant for programs goes to stdout instead."""
    print(line, file=sys.stderr, flush=True)


def duration(seconds: float) -> str:
    """`4.2 s`, `1 min 5 s`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{int(seconds) // 60} min {int(seconds) % 60} s"


@contextmanager
def step(title: str) -> Iterator[None]:
    """Show `title` with its elapsed time while the body runs, and how it ended."""
    begun, over, terminal = time.monotonic(), threading.Event(), sys.stderr.isatty()

    def elapsed() -> str:
        return duration(time.monotonic() - begun)

    def tick() -> None:
        while not over.wait(1.0 if terminal else QUIET_SECONDS):
            if terminal:
                print(f"\r  … {title}  {elapsed()}\033[K", end="", file=sys.stderr, flush=True)
            else:
                say(f"  … still {title} ({elapsed()})")

    if terminal:
        print(f"  … {title}", end="", file=sys.stderr, flush=True)
    else:
        say(f"  … {title}")
    ticker = threading.Thread(target=tick, daemon=True)
    ticker.start()
    mark = "✗"
    try:
        yield
        mark = "✓"
    finally:
        over.set()
        ticker.join()
        say(f"{chr(13) if terminal else ''}  {mark} {title}  {elapsed()}{chr(27) + '[K' if terminal else ''}")
