"""Events of what watches searches itself, each from its row: Elastic's behavioral analytics, Metarank.

Elastic: https://www.elastic.co/guide/en/elasticsearch/reference/current/behavioral-analytics-event-reference.html.
Metarank: https://docs.metarank.ai/reference/event-schema.
"""

from collections.abc import Mapping
from typing import Any

from bluetune_trainer.data.clicks import seconds_of
from bluetune_trainer.data.row_fields import at, needed, objects, text
from bluetune_trainer.data.tracked import Tracked, with_ids

METARANK_QUERY = "query"
"""Name of the ranking's field that says what was searched for."""


def elastic(row: Mapping[str, Any]) -> Tracked:
    """An event of behavioral analytics. A search and a click on a result both bring the query and the list."""
    found = at(row, "search.results")
    listed = objects(found, "items") if isinstance(found, dict) else []
    shown = [text(at(item, "document.id"), "search.results.items[].document.id") for item in listed]
    item = text(at(row, "document.id"), "document.id")
    return Tracked(
        who=f"{needed(row, 'session.id')}\n{text(at(row, 'user.id'), 'user.id') or ''}",
        time=seconds_of(at(row, "@timestamp"), "@timestamp"),
        type=needed(row, "event.action"),
        query=text(at(row, "search.query"), "search.query"),
        items=[] if item is None else [(item, None)],
        shown=with_ids((item, None) for item in shown),
    )


def metarank(row: Mapping[str, Any]) -> Tracked:
    """An event of Metarank. Rankings and interactions name the ranking, which is the search; items and users do not."""
    kind = needed(row, "event")
    time = seconds_of(row.get("timestamp"), "timestamp")
    if kind == "ranking":
        query = next((f.get("value") for f in objects(row, "fields") if f.get("name") == METARANK_QUERY), None)
        items = [text(item.get("id"), "items[].id") for item in objects(row, "items")]
        return Tracked(
            who=needed(row, "id"),
            time=time,
            type=kind,
            query=text(query, f"fields.{METARANK_QUERY}"),
            items=[],
            shown=with_ids((item, place) for place, item in enumerate(items)),
        )
    if kind == "interaction":
        ranking = text(row.get("ranking"), "ranking") or ""
        return Tracked(
            who=ranking, time=time, type=needed(row, "type"), query=None, items=[(needed(row, "item"), None)]
        )
    return Tracked(who="", time=time, type=kind, query=None, items=[])
