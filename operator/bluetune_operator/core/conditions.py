"""Conditions: set, compared and kept as the Kubernetes API conventions have them."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Literal

from bluetune_api.base import Condition
from bluetune_api.reasons import ConditionType, Reason
from bluetune_operator.core.times import stamp
from bluetune_operator.core.untrusted import clean

Status = Literal["True", "False", "Unknown"]
MESSAGE_CHARACTERS = 2048
COLUMN_CHARACTERS = 320


def condition(
    type_: ConditionType, status: bool | Status, reason: Reason, message: str = "", *, generation: int, now: datetime
) -> Condition:
    """A condition that changed now; `merge` keeps the old time where the status is the same."""
    word = status if isinstance(status, str) else ("True" if status else "False")
    return Condition(
        type=type_,
        status=word,
        observed_generation=generation,
        last_transition_time=stamp(now),
        reason=reason,
        message=shortened(message),
    )


def merge(old: Sequence[Condition] | None, new: Iterable[Condition]) -> list[Condition]:
    """Old conditions with the new ones in their place; the transition time moves only when the status does.

    The order is the old one's, then the new ones', so that an unchanged status stays equal.
    """
    merged = {c.type: c for c in old or ()}
    for fresh in new:
        before = merged.get(fresh.type)
        if before is not None and before.status == fresh.status:
            fresh = fresh.model_copy(update={"last_transition_time": before.last_transition_time})
        merged[fresh.type] = fresh
    return list(merged.values())


def find(conditions: Sequence[Condition] | None, type_: str) -> Condition | None:
    """The condition of that type, if it was ever set."""
    return next((c for c in conditions or () if c.type == type_), None)


def is_true(conditions: Sequence[Condition] | None, type_: str) -> bool:
    """Whether the condition was set and is True."""
    found = find(conditions, type_)
    return found is not None and found.status == "True"


def one_line(message: str, limit: int = COLUMN_CHARACTERS) -> str:
    """A message for a column of a listing, which is as wide as its longest row: one line, and not all of a long one."""
    return shortened(" ".join(message.split()), limit)


def shortened(message: str, limit: int = MESSAGE_CHARACTERS) -> str:
    """A message that fits into the field, without what would play tricks on a terminal: parts of it may be others'."""
    text = clean(message, limit)
    return text if len(message) <= limit else text[: limit - 1] + "…"
