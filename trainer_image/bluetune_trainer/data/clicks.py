"""One search session, checked: what was asked, what was shown, what was clicked."""

from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple, NoReturn

from bluetune_trainer.data.records import shortened

MILLISECONDS_FROM = 1e11
"""Numbers from here on are milliseconds: as seconds they would lie beyond the year 5000."""
LATEST = datetime(9999, 1, 1, tzinfo=UTC).timestamp()
_TEXT = {str}


class BrokenSession(ValueError):
    """A session that cannot be used; the message names the field and the value."""


class Session(NamedTuple):
    """A session as it was logged."""

    session_id: str
    query: str
    created: float
    """Seconds since the epoch."""
    results: list[str]
    """Ids of what was shown, in the order shown, each once."""
    clicked: Collection[str]
    """Ids that an event names; they need not be among the results."""


def session_of(record: Mapping[str, Any]) -> Session:
    """Check one session.

    The order of `search_results` is the order shown, unless every result has a whole-number `rank`. A session that is
    marked `is_irrelevant` has no clicks. Fields that training does not need are not looked at.

    Raises:
        BrokenSession: what is wrong, with the field and the value.
    """
    session_id = record.get("session_id")
    if type(session_id) is not str or not session_id:
        session_id = _id(session_id, "session_id")
    query = record.get("search_query")
    if type(query) is not str or not query or query.isspace():
        raise BrokenSession(f"search_query: a text is expected, this is {shortened(query)}")
    results = record.get("search_results")
    if type(results) is not list:
        raise BrokenSession(f"search_results: a list is expected, this is {shortened(results)}")
    events = record.get("events")
    try:
        shown = [result["object_id"] for result in results]
        clicked = {event["object_id"] for event in events} if events else ()
    except (TypeError, KeyError):
        _blame_object_ids(results, events)
    if shown and (set(map(type, shown)) != _TEXT or "" in shown):
        shown = [_id(value, f"search_results[{i}].object_id") for i, value in enumerate(shown)]
    if clicked and (set(map(type, clicked)) != _TEXT or "" in clicked):
        clicked = {_id(value, "events[].object_id") for value in clicked}
    if shown and type(results[0].get("rank")) is int:
        shown = _by_rank(shown, results)
    if len(set(shown)) != len(shown):
        shown = list(dict.fromkeys(shown))
    if record.get("is_irrelevant") is True:
        clicked = ()
    return Session(session_id, query, seconds_of(record.get("created_at")), shown, clicked)


def _id(value: object, field: str) -> str:
    if type(value) is int:
        return str(value)
    if type(value) is str and value:
        return value
    raise BrokenSession(f"{field}: an id (text or whole number) is expected, this is {shortened(value)}")


def _by_rank(shown: list[str], results: list[Any]) -> list[str]:
    ranks = [result.get("rank") for result in results]
    if set(map(type, ranks)) != {int} or ranks == (ordered := sorted(ranks)) or len(set(ordered)) != len(ordered):
        return shown
    return [object_id for _, object_id in sorted(zip(ranks, shown, strict=True))]


def _blame_object_ids(results: list[Any], events: object) -> NoReturn:
    """Find out which of the lists of objects is broken; only called when one is."""
    for field, entries in (("search_results", results), ("events", events)):
        if entries is None:
            continue
        if not isinstance(entries, list):
            raise BrokenSession(f"{field}: a list is expected, this is {shortened(entries)}")
        for i, entry in enumerate(entries):
            if not isinstance(entry, dict):
                raise BrokenSession(f"{field}[{i}]: an object with object_id is expected, this is {shortened(entry)}")
            if "object_id" not in entry:
                raise BrokenSession(f"{field}[{i}].object_id is missing in {shortened(entry)}")
            _id(entry["object_id"], f"{field}[{i}].object_id")
    raise BrokenSession(f"search_results or events cannot be read: {shortened(results)}")


def seconds_of(value: object) -> float:
    """A time as seconds since the epoch.

    Args:
        value: ISO 8601 text, a datetime (UTC where it names no zone), or seconds or milliseconds since the epoch.

    Raises:
        BrokenSession: it is none of these, or not between 1970 and 9999.
    """
    seconds = -1.0
    try:
        if type(value) is str:
            moment = datetime.fromisoformat(value)
            seconds = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        elif isinstance(value, datetime):
            seconds = (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
        elif isinstance(value, int | float) and not isinstance(value, bool):
            seconds = value / 1000 if value >= MILLISECONDS_FROM else float(value)
    except (ValueError, OverflowError):
        pass  # said below, with the value
    if 0 <= seconds < LATEST:
        return seconds
    raise BrokenSession(
        f"created_at: a time is expected (2026-01-31T12:00:00Z, or seconds since 1970), this is {shortened(value)}"
    )


def rfc3339(seconds: float) -> str:
    """Seconds since the epoch as RFC 3339 in UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
