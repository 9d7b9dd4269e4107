"""Sessions of a batch through a plugin's converter and query retriever, before the reader of batches checks them.

Whatever the reader takes (times as texts, whole numbers as ids, `events: null`) goes through the plugin. What the
plugin's classes cannot be made of is a broken line with a reason, and never a session that passed them by.
"""

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from bluetune_trainer.compat.convert import COUNTED, ClickstreamSessionConverter
from bluetune_trainer.compat.queries import QueryRetriever, TextQueryRetriever
from bluetune_trainer.compat.sessions import SessionWithEvents
from bluetune_trainer.data.clicks import BrokenSession, session_of
from bluetune_trainer.data.event_types import IMPORTANCE, WEIGHED
from bluetune_trainer.data.records import shortened
from bluetune_trainer.data.tally import EventTally
from bluetune_trainer.errors import PluginFailed, in_words
from bluetune_trainer.plugin.blame import line

Record = Mapping[str, Any]


def as_logged(record: Record) -> SessionWithEvents:
    """A session that the reader takes, as an object: ids are texts, times seconds, results stand as they were shown.

    Raises:
        BrokenSession: the reader would not take it, or another of its fields is not of its type.
    """
    query = record.get("search_query")
    checked = session_of(
        {**record, "search_query": "an object"} if isinstance(query, Mapping) else record, COUNTED, EventTally()
    )
    events = [event for event in record.get("events") or () if event.get("object_id") is not None]
    shown: dict[str, Any] = {}
    for entry in record["search_results"] or events:
        shown.setdefault(str(entry["object_id"]), entry)
    visit = record.get("session_id")
    fields = {
        **record,
        "session_id": checked.search if visit is None else visit,
        "created_at": checked.created,
        "search_results": [shown[result] for result in checked.results or shown],
        "events": events,
    }
    try:
        return SessionWithEvents.model_validate(fields)
    except ValidationError as error:
        raise BrokenSession(in_words(error)) from error


def weighed(record: dict[str, Any]) -> dict[str, Any]:
    """The session with its events' importances where the reader finds them; the same object, if none has any.

    Raises:
        BrokenSession: an importance is no number.
    """
    events = record.get("events")
    if not isinstance(events, list) or not any(_says_importance(event) for event in events):
        return record
    return {**record, "events": [_weighed(event, at) for at, event in enumerate(events)]}


def _says_importance(event: object) -> bool:
    meta = event.get("meta") if isinstance(event, dict) else None
    return isinstance(meta, Mapping) and meta.get("importance") is not None


def _weighed(event: Any, at: int) -> Any:
    if not _says_importance(event):
        return event
    importance = event["meta"]["importance"]
    if not is_number(importance):
        raise BrokenSession(f"events[{at}].meta.importance: a number is expected, this is {shortened(importance)}")
    return {**event, IMPORTANCE: as_factor(importance)}


def as_factor(importance: float) -> float:
    """An importance as the reader multiplies a gain by it: not below 0, with three digits, which keeps them few."""
    return float(f"{max(importance, 0.0):.3g}")


def converted(logged: SessionWithEvents, converter: ClickstreamSessionConverter) -> Any:
    """What the converter makes of a session: an input with items, or None to leave it out.

    Raises:
        BrokenSession: the plugin's classes cannot be made of it.
        PluginFailed: the converter returned neither.
    """
    with _of_this_session():
        made: object = converter.convert(logged)
    if made is not None and not hasattr(made, "input"):
        raise PluginFailed(
            f"convert must return an input with items, or None, it returned {type(made).__name__}"
            f"{line(converter.convert)}"
        )
    return made


def as_record(record: Record, logged: SessionWithEvents, made: Any) -> dict[str, Any]:
    """The session as the reader takes it, with the results and clicks of the input that a converter made of it.

    Results keep what was logged of them, ranks above all, as long as they stand in the order shown.

    Raises:
        PluginFailed: the importances are not one for each click.
    """
    results = [str(result) for result in made.results]
    entries: dict[str, Any] = {}
    for entry in record["search_results"] or ():
        entries.setdefault(str(entry["object_id"]), entry)
    shown = iter([result.object_id for result in logged.search_results])
    in_order = entries and all(result in shown for result in results)
    return {
        **record,
        "search_results": [entries[result] if in_order else {"object_id": result} for result in results],
        "events": [
            {"object_id": click, "event_type": WEIGHED, IMPORTANCE: as_factor(importance)}
            for click, importance in zip(made.events, importances(made), strict=True)
            if importance > 0
        ],
        "is_irrelevant": False,
    }


def importances(made: Any) -> Sequence[float]:
    """How much each of an input's clicks says; 1 each where it does not say.

    Raises:
        PluginFailed: they are not one finite number for each click.
    """
    given = getattr(made, "event_types", None)
    if given is None:
        return [1.0] * len(made.events)
    if len(given) != len(made.events) or not all(is_number(importance) for importance in given):
        raise PluginFailed(
            f"event_types of an input must be one number for each of its events, they are {list(given)!r:.100} for"
            f" {len(made.events)} events"
        )
    return [float(importance) for importance in given]


def is_number(value: object) -> bool:
    """Whether it is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def asked(logged: SessionWithEvents, converter: ClickstreamSessionConverter) -> Any:
    """The session's query as an object. Raises BrokenSession if the plugin's class cannot be made of it."""
    with _of_this_session():
        return converter.query(logged)


def retrieved(query: Any, retriever: QueryRetriever) -> str:
    """What the query encoder reads for a query.

    Raises:
        BrokenSession: the retriever's class of queries cannot be made of it.
        PluginFailed: the retriever gave no text.
    """
    try:
        with _of_this_session():
            text: object = retriever(query)
    except BrokenSession:
        raise
    except ValueError as error:
        if type(retriever)._convert_query is not TextQueryRetriever._convert_query:
            raise
        raise PluginFailed(str(error)) from error
    if not isinstance(text, str):
        raise PluginFailed(
            f"the query retriever must give a text, it gave {type(text).__name__}{line(type(retriever)._convert_query)}"
        )
    return text


@contextlib.contextmanager
def _of_this_session() -> Iterator[None]:
    """What a class of the plugin's cannot be made of is a broken session."""
    try:
        yield
    except ValidationError as error:
        raise BrokenSession(f"{error.title} of the plugin cannot be made of it: {in_words(error)}") from error
