"""Events of web analytics, each from its row: Google Analytics 4, Segment, and tables of one's own.

GA4: https://support.google.com/analytics/answer/7029846. Segment: https://segment.com/docs/connections/spec/ecommerce/v2/.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from bluetune_api.clickstream import EventColumns, EventTable
from bluetune_trainer.data.clicks import BrokenSession, fields_of, seconds_of, whole
from bluetune_trainer.data.records import shortened


class Tracked(NamedTuple):
    """Something that somebody did."""

    who: str
    """User, and visit where there is one."""
    time: float
    """Seconds since the epoch."""
    type: str
    query: str | None
    """What was searched for, if the event says it."""
    items: list[tuple[str, int | None]]
    """The items it is about, each with its place where that is known."""
    of_other_lists: int = 0
    """Items that were left out, because they are of another list than the search's."""


Track = Callable[[Mapping[str, Any]], Tracked]


def tracker(table: EventTable) -> Track:
    """What reads the rows of a table. It raises BrokenSession naming the field and the value."""
    if table.columns is not None:
        columns = table.columns
        return lambda row: of_columns(row, columns)
    name = table.search_list or ""
    return (lambda row: ga4(row, name)) if table.preset == "GA4" else (lambda row: segment(row, name))


def of_columns(row: Mapping[str, Any], columns: EventColumns) -> Tracked:
    """An event of a table of one's own."""
    who = _needed(row, columns.user)
    if columns.visit is not None:
        who += "\n" + (_text(_at(row, columns.visit), columns.visit) or "")
    item = _text(_at(row, columns.item), columns.item)
    return Tracked(
        who=who,
        time=seconds_of(_at(row, columns.time), columns.time),
        type=_needed(row, columns.type),
        query=_text(_at(row, columns.query), columns.query),
        items=[] if item is None else [(item, _place(_at(row, columns.position)))],
    )


def ga4(row: Mapping[str, Any], search_list: str) -> Tracked:
    """A row of GA4's BigQuery export. Items of other lists than the search's are left out of what was shown."""
    params = {}
    for param in _list(row, "event_params"):
        value = param.get("value")
        if isinstance(value, dict):
            params[_text(param.get("key"), "event_params[].key")] = next(
                (v for v in value.values() if v is not None), None
            )
    listed = _list(row, "items")
    own = [item for item in listed if _may_be_of(search_list, item, "item_list_name", "item_list_id")]
    items = [(_text(item.get("item_id"), "items[].item_id"), _place(item.get("item_list_index"))) for item in own]
    return Tracked(
        who=f"{_needed(row, 'user_pseudo_id')}\n{params.get('ga_session_id') or ''}",
        time=seconds_of(row.get("event_timestamp"), "event_timestamp"),
        type=_needed(row, "event_name"),
        query=_text(params.get("search_term"), "event_params.search_term"),
        items=[(item, place) for item, place in items if item is not None],
        of_other_lists=len(listed) - len(own),
    )


def segment(row: Mapping[str, Any], search_list: str) -> Tracked:
    """A track call. Products of other lists than the search's are left out of what was shown."""
    properties = row.get("properties")
    if not isinstance(properties, dict):
        raise BrokenSession(f"properties: an object is expected, fields are {fields_of(row)}")
    listed = _list(properties, "products")
    products = listed or [properties]
    names = ("list_id", "category") if listed else ("list_id",)  # of one product, the category is its own
    of_other_lists = 0 if _may_be_of(search_list, properties, *names) else len(products)
    if of_other_lists:
        products = []
    items = [
        (_text(p.get("product_id"), "product_id") or _text(p.get("sku"), "sku"), _place(p.get("position")))
        for p in products
    ]
    user = "anonymousId" if row.get("anonymousId") else "userId"
    return Tracked(
        who=_needed(row, user),
        time=seconds_of(row.get("timestamp"), "timestamp"),
        type=_needed(row, "event"),
        query=_text(properties.get("query"), "properties.query"),
        items=[(item, place) for item, place in items if item is not None],
        of_other_lists=of_other_lists,
    )


def _may_be_of(search_list: str, record: Mapping[str, Any], *names: str) -> bool:
    """Whether something is in a list; where it does not say in which it is, it may be."""
    named = [record[name] for name in names if record.get(name)]
    return not named or search_list in named


def _at(row: Mapping[str, Any], path: str) -> Any:
    if path in row:
        return row[path]
    value: Any = row
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _needed(row: Mapping[str, Any], path: str) -> str:
    found = _text(_at(row, path), path)
    if found is None:
        raise BrokenSession(f"{path}: a text is expected, fields are {fields_of(row)}")
    return found


def _text(value: Any, field: str) -> str | None:
    if type(value) is int:
        return str(value)
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise BrokenSession(f"{field}: a text is expected, this is {shortened(value)}")
    return value


def _list(row: Mapping[str, Any], field: str) -> list[dict[str, Any]]:
    value = row.get(field)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
        raise BrokenSession(f"{field}: a list of objects is expected, this is {shortened(value)}")
    return value


def _place(value: Any) -> int | None:
    return whole(int(value) if isinstance(value, str) and value.isdecimal() and len(value) < 9 else value)
