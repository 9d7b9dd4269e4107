"""How long a task is waited for, and which task that is: one rule for commands and for both clients."""

import time
from collections.abc import Callable

from bluetune.core.errors import CliError, Exit
from bluetune.core.kinds import Object, name_of
from bluetune.core.tasks import ended, verdict

POLL_SECONDS = 2.0


class Waiting:
    """A wait for the end of one task, by its uid."""

    def __init__(
        self,
        task: Object,
        timeout: float | None,
        clock: Callable[[], float] = time.monotonic,
        *,
        named: str = "--timeout",
    ) -> None:
        """Begin. Without a timeout it has no end of its own; `named` is what the caller calls it."""
        self.task = task
        self._named = named
        self._clock = clock
        self._deadline = None if timeout is None else clock() + timeout

    def see(self, task: Object) -> None:
        """The next look. Raises CliError for another task of the same name."""
        if task["metadata"]["uid"] != self.task["metadata"]["uid"]:
            raise CliError(f"task {name_of(task)} was deleted, and another one of that name was made")
        self.task = task

    def over(self) -> bool:
        """Whether the task has ended. Raises CliError with TIMEOUT when the time is over."""
        if ended(self.task):
            return True
        if self._deadline is not None and self._clock() >= self._deadline:
            raise CliError(f"{self._named} is over, and {verdict(self.task)}", Exit.TIMEOUT)
        return False
