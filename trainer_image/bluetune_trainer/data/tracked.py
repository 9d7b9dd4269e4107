"""An event from its row: of a table of one's own, or of an analytics product."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from bluetune_api.clickstream import EventColumns
from bluetune_trainer.data.clicks import seconds_of
from bluetune_trainer.data.row_fields import at, needed, place_of, text

Item = tuple[str, int | None]
"""An item, and its place where that is known."""


class Tracked(NamedTuple):
    """Something that somebody did."""

    who: str
    """User, and visit where there is one; or the search itself, where events name it."""
    time: float
    """Seconds since the epoch."""
    type: str
    query: str | None
    """What was searched for, if the event says it."""
    items: list[Item]
    """The items it is about."""
    of_other_lists: int = 0
    """Items that were left out, because they are of another list than the search's."""
    shown: Sequence[Item] = ()
    """The list of results, where an event of any type brings it."""
    dwell: object = None
    """Seconds that the user stayed, as logged."""


Track = Callable[[Mapping[str, Any]], Tracked]


def with_ids(items: Iterable[tuple[str | None, int | None]]) -> list[Item]:
    """The items that have an id."""
    return [(item, place) for item, place in items if item is not None]


def of_columns(row: Mapping[str, Any], columns: EventColumns) -> Tracked:
    """An event of a table of one's own. Raises BrokenSession naming the field and the value."""
    who = needed(row, columns.user)
    if columns.visit is not None:
        who += "\n" + (text(at(row, columns.visit), columns.visit) or "")
    item = text(at(row, columns.item), columns.item)
    return Tracked(
        who=who,
        time=seconds_of(at(row, columns.time), columns.time),
        type=needed(row, columns.type),
        query=text(at(row, columns.query), columns.query),
        items=[] if item is None else [(item, place_of(at(row, columns.position)))],
        dwell=at(row, columns.dwell) if columns.dwell is not None else None,
    )
