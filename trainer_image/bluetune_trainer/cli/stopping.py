"""How a person or Kubernetes asks a run to stop."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


def listen(stop: threading.Event) -> None:
    """SIGTERM and Ctrl-C ask to stop and save; the second one of either ends the process at once."""

    def ask(number: int, _frame: FrameType | None) -> None:
        stop.set()
        signal.signal(number, signal.SIG_DFL)
        os.write(2, b"\nstopping: saving what is finished (again: stop at once)\n")

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, ask)


@contextmanager
def interruptible(stop: threading.Event) -> Iterator[None]:
    """Ctrl-C, or a notebook's stop button, asks to stop; the second one raises KeyboardInterrupt as ever.

    Only the main thread may listen; elsewhere nothing changes. What was listening before listens again afterwards.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGINT)

    def ask(number: int, _frame: FrameType | None) -> None:
        stop.set()
        signal.signal(number, before)

    signal.signal(signal.SIGINT, ask)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
