"""Rows of web analytics with anything in them: each is an event, or a broken line that names its field."""

import random
from typing import Any

import pytest

from bluetune_api.clickstream import EventColumns, EventTable
from bluetune_trainer.data import event_table
from bluetune_trainer.data.event_types import EventTypes
from bluetune_trainer.data.sessions import read_sessions
from bluetune_trainer.data.tally import SessionTally
from bluetune_trainer.data.types import Catalogue
from bluetune_trainer.data.web_analytics import SNOWPLOW_ACTION, SNOWPLOW_PRODUCTS, SNOWPLOW_SEARCH
from robustness.broken import anything, spoil

TABLES: dict[str, tuple[EventTable, dict[str, Any]]] = {
    "columns": (
        EventTable(columns=EventColumns(visit="visit", query="search.query")),
        {
            "user_id": "u",
            "visit": 1,
            "timestamp": 1_772_445_600,
            "event_type": "click",
            "search": {"query": "lamp"},
            "item_id": "a",
            "position": 1,
        },
    ),
    "GA4": (
        EventTable(preset="GA4", search_list="found"),
        {
            "event_name": "select_item",
            "event_timestamp": 1_772_445_600_000_000,
            "user_pseudo_id": "1.2",
            "event_params": [{"key": "search_term", "value": {"string_value": "lamp"}}],
            "items": [{"item_id": "a", "item_list_name": "found", "item_list_index": "1"}],
        },
    ),
    "Segment": (
        EventTable(preset="Segment", search_list="found"),
        {
            "anonymousId": "u",
            "timestamp": "2026-03-02T10:00:00Z",
            "event": "Product List Viewed",
            "properties": {"query": "lamp", "list_id": "found", "products": [{"product_id": "a", "position": 1}]},
        },
    ),
    "Snowplow": (
        EventTable(preset="Snowplow", search_list="found"),
        {
            "event_name": "snowplow_ecommerce_action",
            "domain_userid": "u",
            "domain_sessionid": "s",
            "collector_tstamp": "2026-03-02 10:00:00.000",
            SNOWPLOW_ACTION: {"type": "list_click", "name": "found"},
            SNOWPLOW_PRODUCTS: [{"id": "a", "position": 1}],
            SNOWPLOW_SEARCH: {"terms": ["lamp"]},
        },
    ),
    "Elastic": (
        EventTable(preset="Elastic"),
        {
            "@timestamp": "2026-03-02T10:00:00.000Z",
            "event": {"action": "search_click"},
            "session": {"id": "s"},
            "user": {"id": "u"},
            "search": {"query": "lamp", "results": {"items": [{"document": {"id": "a", "index": "x"}}]}},
            "document": {"id": "a", "index": "x"},
        },
    ),
    "Metarank": (
        EventTable(preset="Metarank"),
        {
            "event": "ranking",
            "id": "r",
            "timestamp": "1772445600000",
            "fields": [{"name": "query", "value": "lamp"}],
            "items": [{"id": "a", "relevancy": 1.0}],
        },
    ),
}


def inside(chosen: random.Random, value: Any) -> Any:
    """A value with something in its depth replaced by anything."""
    if isinstance(value, dict) and value and chosen.random() < 0.8:
        name = chosen.choice(list(value))
        return {**value, name: inside(chosen, value[name])}
    if isinstance(value, list) and value and chosen.random() < 0.8:
        at = chosen.randrange(len(value))
        return [*value[:at], inside(chosen, value[at]), *value[at + 1 :]]
    return anything(chosen)


@pytest.mark.parametrize("name", TABLES)
def test_rows_with_anything_in_them_end_as_events_or_broken_lines(name: str) -> None:
    table, good = TABLES[name]
    chosen, tally = random.Random(name), SessionTally()
    rows = [chosen.choice((inside, spoil))(chosen, good) for _ in range(1000)]
    lines = [("k", n, row) for n, row in enumerate([good, *rows], 1) if isinstance(row, dict)]
    found = event_table.sessions(lines, table, EventTypes(), tally)
    sessions = read_sessions(found, Catalogue(["a"], ["A"], {"a": 0}), tally)
    assert len(sessions) > 0
    assert tally.broken >= len(tally.offences) > 0
