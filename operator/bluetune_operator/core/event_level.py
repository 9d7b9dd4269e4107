"""Whether an Event is Normal or a Warning."""

from typing import Literal

from bluetune_api.reasons import known_reason
from bluetune_api.runbook import WARNINGS

Level = Literal["Normal", "Warning"]

ASKED_FOR = frozenset({"Cancelled", "Cancelling", "TaskCancelled", "TaskDeleted"})
"""What a user did."""


def event_level(reason: str | None, *, stalled: bool = False) -> Level:
    """A Warning is for what a person may have to mend, and is never what a user asked for.

    Args:
        reason: of the Event, or of the failure that it tells of.
        stalled: whether the resource says that it needs a person.
    """
    if reason in ASKED_FOR:
        return "Normal"
    return "Warning" if stalled or known_reason(reason) in WARNINGS else "Normal"
