"""What ends a command early: one sentence for a person, and an exit code."""

from enum import IntEnum


class Exit(IntEnum):
    """Exit codes of `bluetune`. Usage errors are typer's, with 2."""

    def __new__(cls, code: int, meaning: str) -> "Exit":
        """A code; its docstring is its meaning, which the docs print."""
        made = int.__new__(cls, code)
        made._value_ = code
        made.__doc__ = meaning
        return made

    DONE = 0, "It is done; a task that was waited for Succeeded."
    REFUSED = 1, "It failed or was refused; a task that was waited for failed; `doctor` has something to do."
    USAGE = 2, "The command line cannot be understood."
    UNREACHABLE = 3, "The API server or the object store did not answer, or there is no kubeconfig."
    TIMEOUT = 4, "`--timeout` is over; the task goes on."
    INTERRUPTED = 130, "Ctrl-C, or nobody reads the output of a wait any more; the task goes on."


class Unread(Exception):
    """Nobody reads the output any more, as in `bluetune logs TASK | head`."""


class CliError(Exception):
    """The command cannot go on; the message says why and what to do."""

    def __init__(self, message: str, code: Exit = Exit.REFUSED) -> None:
        super().__init__(message)
        self.code = code


class BluetuneError(Exception):
    """What Python programs catch: the message is a sentence for a person."""


class Invalid(BluetuneError):
    """An argument cannot be used; nothing was sent."""


class Unreachable(BluetuneError):
    """Nothing answered, or there is no kubeconfig. After a write: look whether it was done."""


class TimedOut(BluetuneError):
    """The time to wait is over; the task goes on."""


class Refused(BluetuneError):
    """It cannot be done as things are."""


class NotFound(Refused):
    """There is no such object."""


class Forbidden(Refused):
    """The user may not do it."""


class Conflict(Refused):
    """An object of that name exists, or it changed meanwhile."""


class FineTuneError(BluetuneError):
    """`fine_tune` cannot go on. As a text it is what the command line prints: the reason, what is wrong, what to do."""

    def __init__(self, reason: str, message: str, exit_code: int) -> None:
        super().__init__(f"{reason}: {message}")
        self.reason = reason
        """One word for programs, of the runbook."""
        self.message = message
        self.exit_code = exit_code
        """As `bluetune run` would end with it."""
