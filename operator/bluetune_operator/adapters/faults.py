"""A crash on purpose, for the tests that show that the operator can die after any write and lose nothing."""

import os

VARIABLE = "BLUETUNE_CRASH_AFTER"
"""The process kills itself (exit code 137) right after this many writes. Unset, as it should be: never."""


class CrashPoint:
    """Counts writes to the API server and the store; not those of the operator's own Lease, which never end."""

    def __init__(self, after: int | None) -> None:
        self._left = after

    @classmethod
    def from_environment(cls) -> "CrashPoint":
        """The one that `BLUETUNE_CRASH_AFTER` asks for."""
        text = os.environ.get(VARIABLE, "")
        return cls(int(text) if text else None)

    def written(self) -> None:
        """A write went through."""
        if self._left is None:
            return
        self._left -= 1
        if self._left <= 0:
            os._exit(137)
