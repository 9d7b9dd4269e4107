"""What ends a command early: one sentence for a person, and an exit code."""

from enum import IntEnum


class Exit(IntEnum):
    """Exit codes of `bluetune`. Usage errors are typer's, with 2."""

    DONE = 0
    """It is done; a task that was waited for Succeeded."""
    REFUSED = 1
    """It failed or was refused; a task that was waited for failed; `doctor` has something to do."""
    USAGE = 2
    """The command line cannot be understood."""
    UNREACHABLE = 3
    """The API server or the object store did not answer, or there is no kubeconfig."""
    TIMEOUT = 4
    """`--timeout` is over; the task goes on."""
    INTERRUPTED = 130
    """Ctrl-C; the task goes on."""


class CliError(Exception):
    """The command cannot go on; the message says why and what to do."""

    def __init__(self, message: str, code: Exit = Exit.REFUSED) -> None:
        super().__init__(message)
        self.code = code
