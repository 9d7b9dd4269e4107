"""One search session, checked: what was asked, what was shown, what was clicked."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple, NoReturn

from bluetune_trainer.data.event_types import IMPORTANCE, LEFT_SOON, UNTYPED, EventTypes
from bluetune_trainer.data.records import shortened
from bluetune_trainer.data.tally import EventTally

LARGEST_OF_UNIT = ((1e11, 1.0), (1e14, 1e3), (1e17, 1e6), (1e20, 1e9))
"""Numbers below the first bound are seconds, then milli-, micro- and nanoseconds: each unit's reach from 1973 to 5138
overlaps no other's."""
LATEST = datetime(9999, 1, 1, tzinfo=UTC).timestamp()
MAX_RANK = 100_000
"""A larger rank is a score or an id."""
CLIENTS = ("user_id", "client_id")
"""Fields that say who searched; the first one that is there counts."""
DWELL = "dwell_seconds"
"""Field of an event that says how long the user stayed with what was clicked."""
SOON = "\0soon"
"""End of a type's name, inside the readers of formats: the user stayed for too short a time."""
_TEXT = {str}


class BrokenSession(ValueError):
    """A session that cannot be used; the message names the field and the value."""


class Session(NamedTuple):
    """A session as it was logged."""

    search: str
    """Which search it was: `session_id`, and `query_id` where there is one. A visit's id is that of many searches."""
    query: str
    created: float
    """Seconds since the epoch."""
    results: list[str]
    """Ids of what was shown, in the order shown, each once."""
    ranks: list[int] | None
    """The results' ranks as logged, ascending; None where the order is all that is known."""
    clicked: dict[str, float]
    """Gains of the ids that an event of a type that counts names; they need not be among the results."""
    ranks_ignored: bool = False
    """Whether ranks were logged that are of no use."""
    client: str | None = None
    """Who searched."""


def session_of(record: Mapping[str, Any], types: EventTypes, tally: EventTally) -> Session:
    """Check one session, and count its events.

    The order of `search_results` is the order shown, unless every result has a different whole-number `rank` from 0. A
    session that is marked `is_irrelevant` has no clicks. Fields that training does not need are not looked at.

    Raises:
        BrokenSession: what is wrong, with the field and the value.
    """
    query = record.get("search_query")
    if type(query) is not str or not query or query.isspace():
        raise BrokenSession(f"search_query: a text is expected, {_found(record, 'search_query')}")
    results = record.get("search_results")
    if results is None and "search_results" in record:
        results = []  # how Spark and Hive write an empty array
    if type(results) is not list:
        raise BrokenSession(f"search_results: a list is expected, {_found(record, 'search_results')}")
    try:
        shown = [result["object_id"] for result in results]
    except (TypeError, KeyError):
        _blame_results(results)
    if shown and (set(map(type, shown)) != _TEXT or "" in shown):
        shown = [_id(value, f"search_results[{i}].object_id") for i, value in enumerate(shown)]
    search = _search(record)
    created = seconds_of(record.get("created_at"))
    clicked = _clicked(record.get("events"), types, tally)
    ranks, ignored = None, False
    if shown and "rank" in results[0] and results[0]["rank"] is not None:
        ranks = _ranks(results)
        ignored = ranks is None
    if ranks is not None and ranks != sorted(ranks):
        order = sorted(range(len(ranks)), key=ranks.__getitem__)
        shown, ranks = [shown[i] for i in order], [ranks[i] for i in order]
    if len(set(shown)) != len(shown):
        first = {object_id: i for i, object_id in reversed(list(enumerate(shown)))}
        places = sorted(first.values())
        shown, ranks = [shown[i] for i in places], None if ranks is None else [ranks[i] for i in places]
    irrelevant = record.get("is_irrelevant")
    if irrelevant is True:
        clicked = {}
    elif irrelevant is not None and irrelevant is not False:
        raise BrokenSession(f"is_irrelevant: true or false is expected, this is {shortened(irrelevant)}")
    return Session(search, query, created, shown, ranks, clicked, ignored, _client(record))


def fields_of(record: Mapping[str, Any]) -> str:
    """The names of a record's fields, for a message about one that is missing."""
    return shortened(", ".join(map(str, list(record)[:8])))


def _found(record: Mapping[str, Any], field: str) -> str:
    return f"this is {shortened(record[field])}" if field in record else f"fields are {fields_of(record)}"


def _client(record: Mapping[str, Any]) -> str | None:
    """Who searched, where it is said in a form that can be used; nothing else depends on it."""
    found = next((record[name] for name in CLIENTS if record.get(name) not in (None, "")), None)
    return str(found) if type(found) in (str, int) else None


def _search(record: Mapping[str, Any]) -> str:
    session_id, query_id = record.get("session_id"), record.get("query_id")
    if query_id is None:
        if type(session_id) is str and session_id:
            return session_id
        if type(session_id) is int:
            return str(session_id)
        raise BrokenSession(f"session_id: an id (text or whole number) is expected, {_found(record, 'session_id')}")
    visit = "" if session_id is None else _id(session_id, "session_id")
    return f"{visit}\n{_id(query_id, 'query_id')}"


def _id(value: object, field: str) -> str:
    if type(value) is int:
        return str(value)
    if type(value) is str and value:
        return value
    raise BrokenSession(f"{field}: an id (text or whole number) is expected, this is {shortened(value)}")


def _clicked(events: object, types: EventTypes, tally: EventTally) -> dict[str, float]:
    if events is None:
        return {}
    if type(events) is not list:
        raise BrokenSession(f"events: a list is expected, this is {shortened(events)}")
    clicked: dict[str, float] = {}
    for i, event in enumerate(events):
        if type(event) is not dict:
            raise BrokenSession(f"events[{i}]: an object with object_id is expected, this is {shortened(event)}")
        name = event.get("event_type")
        if name is None or name == "":
            name = UNTYPED
        elif type(name) is not str:
            raise BrokenSession(f"events[{i}].event_type: a text is expected, this is {shortened(name)}")
        tally.count(name)
        gain = types.gain(name)
        if IMPORTANCE in event:
            gain *= event[IMPORTANCE]
        if not gain:
            continue
        if LEFT_SOON in event or left_soon(event.get(DWELL), f"events[{i}].{DWELL}", types, tally):
            continue
        object_id = event.get("object_id")
        if object_id is None:
            tally.without_object += 1
            continue
        if type(object_id) is not str or not object_id:
            object_id = _id(object_id, f"events[{i}].object_id")
        clicked[object_id] = max(gain, clicked.get(object_id, 0.0))
    return clicked


def event_of(object_id: str, name: str) -> dict[Any, Any]:
    """An event of a session, from its type's name, which ends in SOON if the user stayed for too short a time."""
    event: dict[Any, Any] = {"object_id": object_id, "event_type": name.removesuffix(SOON)}
    return event | {LEFT_SOON: True} if name.endswith(SOON) else event


def left_soon(dwell: object, field: str, types: EventTypes, tally: EventTally) -> bool:
    """Whether the user stayed with what was clicked for too short a time, as far as the log says it; counts both.

    Raises:
        BrokenSession: `dwell` is no number of seconds.
    """
    if types.min_dwell is None or dwell is None:
        return False
    if isinstance(dwell, bool) or not isinstance(dwell, (int, float)) or not 0 <= dwell < math.inf:
        raise BrokenSession(f"{field}: a number of seconds is expected, this is {shortened(dwell)}")
    tally.with_dwell += 1
    soon = dwell < types.min_dwell
    tally.left_soon += soon
    return soon


def _ranks(results: list[Any]) -> list[int] | None:
    """The ranks of all results, if they can say places: different whole numbers from 0."""
    ranks = [whole(result.get("rank")) for result in results]
    if None in ranks or len(set(ranks)) != len(ranks):
        return None
    return [rank for rank in ranks if rank is not None]


def whole(value: object) -> int | None:
    """A place as a whole number, also where a nullable column made a float of it; None if it says no place."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if type(value) is int and 0 <= value <= MAX_RANK else None


def _blame_results(results: list[Any]) -> NoReturn:
    """Find out which result is broken; only called when one is."""
    for i, result in enumerate(results):
        if not isinstance(result, dict):
            raise BrokenSession(
                f"search_results[{i}]: an object with object_id is expected, this is {shortened(result)}"
            )
        if "object_id" not in result:
            raise BrokenSession(f"search_results[{i}].object_id is missing in {shortened(result)}")
    raise BrokenSession(f"search_results cannot be read: {shortened(results)}")


def seconds_of(value: object, field: str = "created_at") -> float:
    """A time as seconds since the epoch.

    Args:
        value: ISO 8601 text, a datetime (UTC where it names no zone), or seconds, milli-, micro- or nanoseconds since
            the epoch as a number or as its digits.
        field: what the value is called, for the message.

    Raises:
        BrokenSession: it is none of these, or not between 1970 and 9999.
    """
    seconds = -1.0
    try:
        if type(value) is str:
            seconds = _of_text(value)
        elif isinstance(value, datetime):
            seconds = (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
        elif isinstance(value, int | float) and not isinstance(value, bool):
            seconds = _of_number(value)
    except (ValueError, OverflowError):
        pass  # said below, with the value
    if 0 <= seconds < LATEST:
        return seconds
    raise BrokenSession(
        f"{field}: a time is expected (2026-01-31T12:00:00Z, or seconds since 1970), this is {shortened(value)}"
    )


def _of_text(value: str) -> float:
    if value.isdecimal() and 9 <= len(value) <= 20:  # fewer digits are a date, as 20260131
        return _of_number(int(value))
    moment = datetime.fromisoformat(value.removesuffix(" UTC"))
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _of_number(value: float) -> float:
    for bound, units in LARGEST_OF_UNIT:
        if value < bound:
            return value / units
    return -1.0


def rfc3339(seconds: float) -> str:
    """Seconds since the epoch as RFC 3339 in UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
