"""Sessions from tables of events: GA4, Segment, and tables of one's own."""

import threading
from typing import Any

import pytest

from bluetune_api.batch_window import BatchSelection
from bluetune_api.clickstream import Clickstream, EventColumns, EventTable
from bluetune_api.records import MethodPlan
from bluetune_trainer.data import event_table, loading
from bluetune_trainer.data.clicks import BrokenSession
from bluetune_trainer.data.event_types import EventTypes
from bluetune_trainer.data.tally import SessionTally
from bluetune_trainer.data.tracked import Tracked
from bluetune_trainer.data.trackers import tracker
from bluetune_trainer.plugin import TextFineTuningMethod

Row = dict[str, Any]
OWN = EventTable(columns=EventColumns())
GA4 = EventTable(preset="GA4", search_list="Search results")
SEGMENT = EventTable(preset="Segment", search_list="search")
SNOWPLOW = EventTable(preset="Snowplow", search_list="Search results")
ELASTIC = EventTable(preset="Elastic")
METARANK = EventTable(preset="Metarank")
TEN = 1_772_445_600


ONE = BatchSelection(learn=["b1"])


def own(kind: str, second: float = 0, user: str = "u", **more: Any) -> Row:
    return {"user_id": user, "timestamp": TEN + second, "event_type": kind, **more}


def ga4(name: str, second: int = 0, term: str | None = None, items: str = "", of: str | None = "Search results") -> Row:
    params = [{"key": "ga_session_id", "value": {"string_value": None, "int_value": 17}}]
    if term is not None:
        params.append({"key": "search_term", "value": {"string_value": term, "int_value": None}})
    listed = [{"item_id": i, "item_list_name": of, "item_list_index": str(n)} for n, i in enumerate(items, 1)]
    return {
        "event_name": name,
        "event_timestamp": (TEN + second) * 1_000_000,
        "user_pseudo_id": "1.2",
        "event_params": params,
        "items": listed,
    }


def segment(name: str, **properties: Any) -> Row:
    return {"anonymousId": "u", "timestamp": "2026-03-02T10:00:00.000Z", "event": name, "properties": properties}


def snowplow(kind: str | None = None, name: str | None = None, terms: Any = None, products: Any = None) -> Row:
    action, product, search = (
        "unstruct_event_com_snowplowanalytics_snowplow_ecommerce_snowplow_ecommerce_action_1",
        "contexts_com_snowplowanalytics_snowplow_ecommerce_product_1_0_1",
        "unstruct_event_com_snowplowanalytics_snowplow_site_search_1",
    )
    return {
        "event_name": "snowplow_ecommerce_action" if kind else "site_search",
        "domain_userid": "u",
        "domain_sessionid": "s",
        "collector_tstamp": "2026-03-02 10:00:00.000",
        action: None if kind is None else {"type": kind, "name": name},
        product: products,
        search: None if terms is None else {"terms": terms},
    }


def elastic(action: str, second: int = 0, query: str = "lamp", results: str = "", clicked: str | None = None) -> Row:
    row: Row = {
        "@timestamp": (TEN + second) * 1000,
        "event": {"action": action},
        "session": {"id": "s"},
        "user": {"id": "u"},
        "search": {"query": query, "results": {"items": [{"document": {"id": i, "index": "x"}} for i in results]}},
    }
    return row if clicked is None else row | {"document": {"id": clicked, "index": "x"}}


def ranking(number: str, query: str | None, items: str, second: int = 0) -> Row:
    fields = [{"name": "source", "value": "search"}] + ([] if query is None else [{"name": "query", "value": query}])
    listed = [{"id": i, "relevancy": 1.0} for i in items]
    time = str((TEN + second) * 1000)
    return {"event": "ranking", "id": number, "timestamp": time, "user": "u", "fields": fields, "items": listed}


def interaction(item: str, number: str | None, second: int, kind: str = "click") -> Row:
    time = str((TEN + second) * 1000)
    return {"event": "interaction", "id": f"{second}", "timestamp": time, "type": kind, "item": item, "ranking": number}


@pytest.mark.parametrize(
    ("table", "row", "event"),
    [
        (OWN, own("click", item_id=7, position="3", query=""), Tracked("u", TEN, "click", None, [("7", 3)])),
        (
            EventTable(columns=EventColumns(user="who.id", visit="visit", query="q.text")),
            own("search", q={"text": "lamp"}, who={"id": 5}, visit="v"),
            Tracked("5\nv", TEN, "search", "lamp", []),
        ),
        (GA4, ga4("view_search_results", term="lamp"), Tracked("1.2\n17", TEN, "view_search_results", "lamp", [])),
        (GA4, ga4("view_item_list", items="ab"), Tracked("1.2\n17", TEN, "view_item_list", None, [("a", 1), ("b", 2)])),
        (GA4, ga4("view_item_list", items="ab", of="Home"), Tracked("1.2\n17", TEN, "view_item_list", None, [], 2)),
        (GA4, ga4("purchase", items="a", of=None), Tracked("1.2\n17", TEN, "purchase", None, [("a", 1)])),
        (SEGMENT, segment("Products Searched", query="lamp"), Tracked("u", TEN, "Products Searched", "lamp", [])),
        (
            SEGMENT,
            segment(
                "Product List Viewed", list_id="search", products=[{"sku": "a", "position": 1}, {"product_id": "b"}]
            ),
            Tracked("u", TEN, "Product List Viewed", None, [("a", 1), ("b", None)]),
        ),
        (
            SEGMENT,
            segment("Product List Viewed", list_id="home", products=[{"sku": "a"}]),
            Tracked("u", TEN, "Product List Viewed", None, [], 1),
        ),
        (
            SEGMENT,
            segment("Product Clicked", product_id="a", position=2, category="shoes"),
            Tracked("u", TEN, "Product Clicked", None, [("a", 2)]),
        ),
        (SNOWPLOW, snowplow(terms=["red", "lamp"]), Tracked("u\ns", TEN, "site_search", "red lamp", [])),
        (
            SNOWPLOW,
            snowplow("list_view", "Search results: red lamp", products=[{"id": "a", "position": 1}, {"id": "b"}]),
            Tracked("u\ns", TEN, "list_view", None, [("a", 1), ("b", None)]),
        ),
        (
            SNOWPLOW,
            snowplow("list_click", "Search results", products='[{"id": "a", "position": 2}]'),
            Tracked("u\ns", TEN, "list_click", None, [("a", 2)]),
        ),
        (
            SNOWPLOW,
            snowplow("list_view", "Home", products=[{"id": "a"}]),
            Tracked("u\ns", TEN, "list_view", None, [], 1),
        ),
        (
            ELASTIC,
            elastic("search_click", results="ab", clicked="b"),
            Tracked("s\nu", TEN, "search_click", "lamp", [("b", None)], shown=[("a", None), ("b", None)]),
        ),
        (
            ELASTIC,
            {"@timestamp": TEN, "event.action": "page_view", "session.id": "s"},
            Tracked("s\n", TEN, "page_view", None, [], shown=[]),
        ),
        (METARANK, ranking("r", "lamp", "ab"), Tracked("r", TEN, "ranking", "lamp", [], shown=[("a", 0), ("b", 1)])),
        (METARANK, interaction("b", "r", 0), Tracked("r", TEN, "click", None, [("b", None)])),
        (METARANK, {"event": "item", "timestamp": TEN, "item": "a"}, Tracked("", TEN, "item", None, [])),
    ],
)
def test_an_event_is_read_from_its_row(table: EventTable, row: Row, event: Tracked) -> None:
    assert tracker(table)(row) == event


@pytest.mark.parametrize(
    ("table", "row", "says"),
    [
        (OWN, {"user_id": "u"}, "timestamp: a time is expected"),
        (OWN, own("click") | {"user_id": None}, "user_id: a text is expected, fields are 'user_id"),
        (OWN, own("click", item_id=1.5), "item_id: a text is expected, this is 1.5"),
        (GA4, {"event": "x"}, "user_pseudo_id: a text is expected, fields are 'event'"),
        (GA4, ga4("x") | {"items": [5]}, "items: a list of objects is expected"),
        (GA4, ga4("x") | {"event_params": "{}"}, "event_params: a list of objects is expected"),
        (SEGMENT, {"event": "x"}, "properties: an object is expected, fields are 'event'"),
        (SEGMENT, segment("x", products={}), "products: a list of objects is expected"),
        (SNOWPLOW, snowplow(terms="lamp"), "site_search_1.terms: a list is expected, this is 'lamp'"),
        (SNOWPLOW, snowplow("list_view", products="[{"), "product_1_0_1: JSON is expected, this is '[{'"),
        (SNOWPLOW, snowplow("list_view", products=[1]), "product_1_0_1: objects are expected"),
        (ELASTIC, {"@timestamp": TEN, "session": {"id": "s"}}, "event.action: a text is expected"),
        (ELASTIC, elastic("search") | {"search": {"results": {"items": [1]}}}, "items: a list of objects is expected"),
        (METARANK, {"event": "ranking", "timestamp": "now"}, "timestamp: a time is expected"),
        (METARANK, ranking("r", "x", "a") | {"fields": [{"name": "query", "value": [1]}]}, "fields.query: a text is"),
        (METARANK, interaction("a", "r", 0) | {"item": None}, "item: a text is expected"),
    ],
)
def test_a_broken_row_names_the_field(table: EventTable, row: Row, says: str) -> None:
    with pytest.raises(BrokenSession) as error:
        tracker(table)(row)
    assert says in str(error.value)


def read(*rows: Row, table: EventTable = OWN) -> tuple[list[Row], SessionTally]:
    tally = SessionTally()
    lines = [("k", n, row) for n, row in enumerate(rows, 1)]
    return [record for _, _, record in event_table.sessions(lines, table, EventTypes(), tally)], tally


def brief(records: list[Row]) -> list[tuple[str, str, str]]:
    return [
        (
            record["search_query"],
            "".join(result["object_id"] for result in record["search_results"]),
            "".join(event["object_id"] for event in record["events"]),
        )
        for record in records
    ]


def shown(items: str, second: float = 0, user: str = "u") -> list[Row]:
    return [own("impression", second, user, item_id=i, position=n) for n, i in enumerate(items)]


def test_searches_are_found_by_user_time_and_query() -> None:
    found, tally = read(
        own("click", 30, item_id="b"),
        *shown("ab", 2),
        own("search", 1, query="lamp"),
        own("search", 3, "other", query="boat"),
        *shown("c", 4, "other"),
        own("search", 40, query="lamp"),
        own("impression", 41, item_id="c", position=2),
        own("search", 50, query="bike"),
        own("purchase", 60, item_id="d"),
    )
    assert brief(found) == [("lamp", "abc", "b"), ("bike", "", "d"), ("boat", "c", "")]
    assert [result["rank"] for result in found[0]["search_results"]] == [0, 1, 2]
    assert found[0]["created_at"] == TEN + 1
    assert tally.notes == ["searches found by user, time and query: 3"]
    assert tally.events.types == {"impression": 4, "search": 4}


def test_a_click_brings_the_list_that_its_search_did_not_log() -> None:
    found, tally = read(
        elastic("search", 0, results="ab"),
        elastic("page_view", 1) | {"search": None},
        elastic("search_click", 5, results="ab", clicked="b"),
        elastic("search_click", 90, "boat", results="xy", clicked="y"),
        table=ELASTIC,
    )
    assert brief(found) == [("lamp", "ab", "b"), ("boat", "xy", "y")]
    assert tally.events.types == {"page_view": 1, "search": 1}


def test_a_click_belongs_to_the_ranking_that_it_names() -> None:
    found, tally = read(
        ranking("1", "lamp", "ab"),
        ranking("2", "boat", "bc", 10),
        interaction("a", "1", 20),
        interaction("b", "2", 30),
        interaction("b", None, 40),
        ranking("3", None, "de", 50),
        table=METARANK,
    )
    assert brief(found) == [("lamp", "ab", "a"), ("boat", "bc", "b")]
    assert "items that were shown or clicked outside of a search, which do nothing: 3" in tally.notes


def test_events_of_one_time_are_taken_as_query_list_click() -> None:
    found, _ = read(own("click", item_id="b"), *shown("ab"), own("search", query="lamp"))
    assert brief(found) == [("lamp", "ab", "b")]


def test_what_comes_after_a_pause_or_before_a_query_belongs_to_no_search() -> None:
    found, tally = read(
        own("click", 0, item_id="a"),
        own("search", 10, query="lamp"),
        own("click", 20, item_id="b"),
        own("click", 20 + 1801, item_id="c"),
        own("click", 4000),
    )
    assert brief(found) == [("lamp", "", "b")]
    assert tally.notes[1] == "items that were shown or clicked outside of a search, which do nothing: 2"
    assert (tally.events.types["click"], tally.events.without_object) == (3, 1)


@pytest.mark.parametrize(
    "events",
    [
        {},
        {"preset": "GA4"},
        {"preset": "GA4", "searchList": "x", "columns": {}},
    ],
)
def test_a_table_is_declared_in_one_way(events: Row) -> None:
    with pytest.raises(ValueError, match=r"preset|searchList"):
        Clickstream.model_validate({"format": "Events", "events": events})


@pytest.mark.parametrize("wrong", [{"format": "Events"}, {"format": "UBI", "events": {"columns": {}}}])
def test_events_belong_to_their_format(wrong: Row) -> None:
    with pytest.raises(ValueError, match="format Events needs it"):
        Clickstream.model_validate(wrong)


def test_an_export_of_ga4_is_checked_like_any_other_batch(good_store: Any) -> None:
    rows: list[Row] = []
    for n in range(60):
        visit = [
            ga4("view_search_results", 100 * n, term=f"lamp {n}"),
            ga4("view_item_list", 100 * n, items="abc"),
            ga4("view_item_list", 100 * n + 1, items="xyz", of="Recommended"),
            ga4("select_item", 100 * n + 2, items="c"),
        ]
        rows += [row | {"user_pseudo_id": f"{n % 7}.1"} for row in visit]
    good_store.write("clickstream/b1/part.jsonl", *reversed(rows))
    method = MethodPlan(clickstream=Clickstream(format="Events", events=GA4))
    report = loading.check(good_store, ONE, method, TextFineTuningMethod(), stop=threading.Event())
    assert (report.problems, report.format, report.sessions, report.results) == ([], "Events", 60, 180)
    assert "items of other lists than events.searchList, which do nothing: 180" in report.notes
    assert (report.informative_sessions, report.clicks_by_place, report.coverage) == (60, [0, 0, 60], 1.0)
