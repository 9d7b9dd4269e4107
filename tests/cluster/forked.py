"""The operator as a process that is forked from one that has loaded its modules.

To load them takes 1.5 s of a core, and the tests start operators by the hundred. What follows is the operator's own
`main`, in a session of its own, with the environment that is given and no other.
"""

import multiprocessing
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["__main__", "bluetune_operator.__main__", __name__])


class OperatorProcess:
    """`python -m bluetune_operator`, by the methods of subprocess.Popen that tests need."""

    def __init__(self, environment: Mapping[str, str], log: Path) -> None:
        """Start it; it appends what it says to the log."""
        self._process = _CONTEXT.Process(target=_become_the_operator, args=(dict(environment), log), daemon=True)
        self._process.start()

    @property
    def pid(self) -> int:
        """Of the process, also when it has ended."""
        assert self._process.pid is not None
        return self._process.pid

    def poll(self) -> int | None:
        """The exit code, -N for signal N; None while it runs."""
        return self._process.exitcode

    def wait(self, timeout: float) -> int:
        """The exit code, once it has ended. Raises subprocess.TimeoutExpired after so many seconds."""
        self._process.join(timeout)
        code = self._process.exitcode
        if code is None:
            raise subprocess.TimeoutExpired("bluetune-operator", timeout)
        return code

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)


def _become_the_operator(environment: dict[str, str], log: Path) -> None:
    os.setsid()
    with log.open("ab", buffering=0) as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.environ.clear()
    os.environ.update(environment)
    from bluetune_operator.__main__ import main  # tests that start none need not have loaded it

    sys.exit(main([]))
