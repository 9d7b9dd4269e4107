"""Formats of logs: what the tests try in each shape of file of `file_table.py`, and docs/formats.md is written from."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bluetune_api.clickstream import Clickstream, EventColumns, EventTable

Row = dict[str, Any]

TOLD = [("red lamp", "abc", "b"), ("boat", "ca", "c")]
"""What each of the logs tells: query, items shown, items clicked."""
TEN = 1_772_445_600
"""Ten o'clock of a day, in seconds."""


@dataclass(frozen=True)
class Log:
    """A format of logs, with rows of it that tell `TOLD`."""

    name: str
    meaning: str
    """What of it is read."""
    clickstream: Clickstream
    rows: Sequence[Row]
    refused: Mapping[str, str] = field(default_factory=dict)
    """Shapes of files in which it is refused, with a part of what is said."""


def _session(number: int, query: str, shown: str, clicked: str) -> Row:
    return {
        "session_id": f"s{number}",
        "search_query": query,
        "created_at": "2026-03-02T10:00:00Z",
        "search_results": [{"object_id": item} for item in shown],
        "events": [{"object_id": clicked, "event_type": "click", "created_at": "2026-03-02T10:00:05Z"}],
    }


def _ubi(version: str, *, listed: str = "impressions") -> list[Row]:
    """Queries and events as a version of the schema has them; lists are `impressions`, or a field of the query."""
    rows: list[Row] = []
    for number, (query, shown, clicked) in enumerate(TOLD):
        ids = {"query_id": f"q{number}", "client_id": "c1"}
        asked: Row = {**ids, "user_query": query, "query_attributes": {"page": 1}}
        asked |= {} if version in ("1.0", "1.1") else {"timestamp": "2026-03-02T10:00:00.000Z", "application": "shop"}
        asked |= {} if listed == "impressions" else {listed: list(shown)}
        rows.append(asked)
        seen = [("impression", item, place) for place, item in enumerate(shown)] if listed == "impressions" else []
        for action, item, place in [*seen, ("click", clicked, shown.index(clicked))]:
            of = {"object_id": item, "object_id_field": "sku"} | (
                {} if version == "1.0" else {"object_id_type": "product"}
            )
            deed: Row = {
                "action_name": action,
                **ids,
                "timestamp": "2026-03-02T10:00:05.000+0000",
                "message_type": "INFO",
                "message": action,
                "event_attributes": {"object": of, "position": {"ordinal": place}},
            }
            rows.append(
                deed
                | ({} if version == "1.0" else {"session_id": "v1"})
                | ({"user_query": query} if version == "1.3" else {})
            )
    return rows


def _own(number: int, query: str, shown: str, clicked: str) -> list[Row]:
    def event(second: int, kind: str, **more: Any) -> Row:
        absent = {"query": None, "item_id": None, "position": None}
        return {"user_id": "u", "timestamp": TEN + 60 * number + second, "event_type": kind, **absent, **more}

    seen = [event(1, "impression", item_id=item, position=place) for place, item in enumerate(shown, 1)]
    return [event(0, "search", query=query), *seen, event(5, "click", item_id=clicked)]


def _ga4(number: int, query: str, shown: str, clicked: str, whole: Callable[[int], Any] = int) -> list[Row]:
    def event(second: int, name: str, items: str, term: str | None = None) -> Row:
        visit = {"key": "ga_session_id", "value": {"string_value": None, "int_value": whole(17)}}
        asked = [] if term is None else [{"key": "search_term", "value": {"string_value": term, "int_value": None}}]
        return {
            "event_date": "20260302",
            "event_timestamp": whole((TEN + 60 * number + second) * 1_000_000),
            "event_name": name,
            "event_params": [visit, *asked],
            "user_pseudo_id": "1.2",
            "items": [
                {"item_id": item, "item_list_name": "Search results", "item_list_index": str(place)}
                for place, item in enumerate(items, 1)
            ],
        }

    return [
        event(0, "view_search_results", "", query),
        event(1, "view_item_list", shown),
        event(5, "select_item", clicked),
    ]


def _ga4_in_json(number: int, query: str, shown: str, clicked: str) -> list[Row]:
    return _ga4(number, query, shown, clicked, str)


def _segment(number: int, query: str, shown: str, clicked: str) -> list[Row]:
    def track(second: int, event: str, **properties: Any) -> Row:
        time = f"2026-03-02T10:{number:02}:{second:02}.000Z"
        return {"type": "track", "anonymousId": "u", "timestamp": time, "event": event, "properties": properties}

    products = [{"product_id": item, "position": place} for place, item in enumerate(shown, 1)]
    return [
        track(0, "Products Searched", query=query),
        track(1, "Product List Viewed", list_id="search", products=products),
        track(5, "Product Clicked", list_id="search", product_id=clicked, position=shown.index(clicked) + 1),
    ]


def _snowplow(number: int, query: str, shown: str, clicked: str) -> list[Row]:
    def enriched(second: int, kind: str | None, terms: Any, products: str) -> Row:
        return {
            "event_name": "site_search" if kind is None else "snowplow_ecommerce_action",
            "domain_userid": "u",
            "domain_sessionid": "s",
            "collector_tstamp": f"2026-03-02 10:{number:02}:{second:02}.000",
            "unstruct_event_com_snowplowanalytics_snowplow_ecommerce_snowplow_ecommerce_action_1": (
                None if kind is None else {"type": kind, "name": "Search results"}
            ),
            "contexts_com_snowplowanalytics_snowplow_ecommerce_product_1": [
                {"id": item, "position": shown.index(item) + 1} for item in products
            ],
            "unstruct_event_com_snowplowanalytics_snowplow_site_search_1": terms,
        }

    return [
        enriched(0, None, {"terms": query.split()}, ""),
        enriched(1, "list_view", None, shown),
        enriched(5, "list_click", None, clicked),
    ]


def _elastic(number: int, query: str, shown: str, clicked: str) -> list[Row]:
    def event(second: int, action: str, **more: Any) -> Row:
        listed = [{"document": {"id": item, "index": "shop"}} for item in shown]
        return {
            "@timestamp": (TEN + 60 * number + second) * 1000,
            "event": {"action": action},
            "session": {"id": "s"},
            "user": {"id": "u"},
            "search": {"query": query, "results": {"items": listed}},
            **more,
        }

    return [event(0, "search"), event(5, "search_click", document={"id": clicked, "index": "shop"})]


def _metarank(number: int, query: str, shown: str, clicked: str) -> list[Row]:
    told: Row = {"timestamp": str((TEN + 60 * number) * 1000), "user": "u", "session": "v"}
    return [
        {
            "event": "ranking",
            "id": f"r{number}",
            **told,
            "fields": [{"name": "query", "value": query}],
            "items": [{"id": item} for item in shown],
        },
        {"event": "interaction", "id": f"i{number}", **told, "type": "click", "item": clicked, "ranking": f"r{number}"},
    ]


def _all(rows: Callable[[int, str, str, str], list[Row]]) -> list[Row]:
    return [row for number, (query, shown, clicked) in enumerate(TOLD) for row in rows(number, query, shown, clicked)]


def _events(preset: Any, search_list: str | None = None) -> Clickstream:
    return Clickstream(format="Events", events=EventTable(preset=preset, search_list=search_list))


NESTED_UBI = {"CSV": "event_attributes: an object is expected", "TSV": "event_attributes: an object is expected"}
LOGS = (
    Log(
        "Sessions",
        "a search with its results and events a record",
        Clickstream(),
        [_session(number, *told) for number, told in enumerate(TOLD)],
    ),
    Log("UBI 1.0", "lists from `impression` events; times from the events", Clickstream(), _ubi("1.0"), NESTED_UBI),
    Log("UBI 1.1", "the same, with visits and types of objects", Clickstream(), _ubi("1.1"), NESTED_UBI),
    Log("UBI 1.2", "the same, with application and times of queries", Clickstream(), _ubi("1.2"), NESTED_UBI),
    Log(
        "UBI 1.3",
        "lists from `query_response_hit_ids` where nothing was seen",
        Clickstream(),
        _ubi("1.3", listed="query_response_hit_ids"),
        dict.fromkeys(("CSV", "TSV"), "query_response_hit_ids: a list of ids is expected"),
    ),
    Log(
        "UBI of 2024",
        "lists from `query_response_object_ids`",
        Clickstream(),
        _ubi("1.1", listed="query_response_object_ids"),
        dict.fromkeys(("CSV", "TSV"), "query_response_object_ids: a list of ids is expected"),
    ),
    Log(
        "Events, `columns`",
        "a table of one's own",
        Clickstream(format="Events", events=EventTable(columns=EventColumns())),
        _all(_own),
    ),
    Log(
        "Events, `GA4`",
        "rows of Google Analytics' BigQuery export",
        _events("GA4", "Search results"),
        _all(_ga4),
        dict.fromkeys(("CSV", "TSV"), "event_params: a list of objects is expected"),
    ),
    Log(
        "Events, `GA4`, JSON",
        "the same with whole numbers as texts, as BigQuery writes JSON",
        _events("GA4", "Search results"),
        _all(_ga4_in_json),
        dict.fromkeys(("CSV", "TSV"), "event_params: a list of objects is expected"),
    ),
    Log(
        "Events, `Segment`",
        "track calls of the e-commerce specification",
        _events("Segment", "search"),
        _all(_segment),
        dict.fromkeys(("CSV", "TSV"), "properties: an object is expected"),
    ),
    Log(
        "Events, `Snowplow`",
        "enriched events of site search and e-commerce",
        _events("Snowplow", "Search"),
        _all(_snowplow),
    ),
    Log(
        "Events, `Elastic`",
        "events of behavioral analytics",
        _events("Elastic"),
        _all(_elastic),
        dict.fromkeys(("CSV", "TSV"), "session.id: a text is expected"),
    ),
    Log(
        "Events, `Metarank`",
        "its rankings and interactions",
        _events("Metarank"),
        _all(_metarank),
        dict.fromkeys(("CSV", "TSV"), "fields: a list of objects is expected"),
    ),
)
