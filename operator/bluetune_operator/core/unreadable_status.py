"""A status that this operator cannot read: a newer one wrote it, and it is never written over."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from bluetune_operator.core.conditions import condition
from bluetune_operator.core.kinds import Object, condition_status

UNREADABLE: Final = "StatusUnreadable"
"""The condition's type, and its reason while it is True."""


def says_unreadable(thing: Mapping[str, Any]) -> bool:
    """Whether an object's status says that an operator could not read it, and none has read it since."""
    return condition_status(thing, UNREADABLE) == "True"


def with_warning(thing: Mapping[str, Any], message: str, now: datetime) -> Object | None:
    """The status with the condition that says it cannot be read, and all else as it is; None if it says so already."""
    status: Object = dict(thing.get("status") or {})
    conditions = list(status.get("conditions") or ())
    generation = int(thing["metadata"].get("generation") or 0)
    fresh = condition(UNREADABLE, True, UNREADABLE, message, generation=generation, now=now).wire()
    place = next((n for n, found in enumerate(conditions) if found.get("type") == UNREADABLE), len(conditions))
    before = conditions[place] if place < len(conditions) else {}
    if before.get("status") == "True":
        if before.get("message") == fresh["message"]:
            return None
        fresh["lastTransitionTime"] = before["lastTransitionTime"]
    conditions[place : place + 1] = [fresh]
    return {**status, "conditions": conditions}
