"""Sessions from OpenSearch User Behavior Insights, in the shapes in which it is met."""

import json
import threading
from typing import Any

import pytest

from bluetune_api.batch_window import BatchSelection
from bluetune_api.clickstream import Clickstream
from bluetune_api.records import CheckReport, MethodPlan
from bluetune_trainer.data import loading, ubi
from bluetune_trainer.data.event_types import EventTypes
from bluetune_trainer.data.input_format import found, sessions_of
from bluetune_trainer.data.tally import SessionTally
from bluetune_trainer.plugin import TextFineTuningMethod

Document = dict[str, Any]


ONE = BatchSelection(learn=["b1"])


def query(query_id: str = "q1", text: str = "lamp", **more: Any) -> Document:
    return {"query_id": query_id, "user_query": text, "timestamp": "2026-03-02T10:00:00.000+0000", **more}


def event(kind: str, object_id: Any = None, ordinal: Any = None, query_id: str | None = "q1", **more: Any) -> Document:
    attributes = {"object": {"object_id": object_id, "object_id_field": "asin"}, "position": {"ordinal": ordinal}}
    return {
        "action_name": kind,
        "query_id": query_id,
        "timestamp": 1_772_445_605_000,
        "event_attributes": None if object_id is None else attributes,
        **more,
    }


def seen(objects: str, query_id: str = "q1", start: int = 0, **more: Any) -> list[Document]:
    return [event("impression", o, n, query_id, **more) for n, o in enumerate(objects, start)]


def read(*documents: Document, known: str = "abc", **gains: float) -> tuple[list[Document], SessionTally]:
    tally = SessionTally()
    lines = [("k", n, document) for n, document in enumerate(documents, 1)]
    return [record for _, _, record in ubi.sessions(lines, known, EventTypes(gains or None), tally)], tally


def shown(record: Document) -> list[Any]:
    return [result["object_id"] for result in record["search_results"]]


def test_a_session_is_joined_by_query_id_from_what_was_seen() -> None:
    clicks = [event("click", "b", 1), event("add_to_cart", "b", 1), event("product_hover", "a", 0)]
    (record,), tally = read(*clicks, *seen("abc"), query(query_response_hit_ids=list("abcdef")))
    assert record == {
        "session_id": "q1",
        "search_query": "lamp",
        "client_id": None,
        "created_at": 1_772_445_600.0,
        "search_results": [{"object_id": o, "rank": n} for n, o in enumerate("abc", 1)],
        "events": [{"object_id": "b", "event_type": "click"}, {"object_id": "b", "event_type": "add_to_cart"}],
    }
    assert tally.events.types == {"impression": 3, "product_hover": 1}  # the clicks are counted with the session


@pytest.mark.parametrize("field", ubi.HITS)
def test_what_was_returned_is_the_list_where_nothing_was_seen(field: str) -> None:
    (record,), tally = read(query(**{field: ["b", "a", 7]}), event("click", "a"))
    assert record["search_results"] == [{"object_id": "b"}, {"object_id": "a"}, {"object_id": "7"}]
    assert tally.notes == ["lists of what was returned (hits): 1"]


def test_a_table_of_both_has_all_columns_in_queries_and_events() -> None:
    columns = {"action_name": None, "event_attributes": None, "user_query": None, "query_response_hit_ids": None}
    (record,), tally = read(columns | query(), *(columns | row for row in [*seen("ab"), event("click", "b", 1)]))
    assert (shown(record), record["events"], tally.broken) == (
        ["a", "b"],
        [{"object_id": "b", "event_type": "click"}],
        0,
    )


def test_an_event_without_a_name_is_a_broken_event_and_no_query() -> None:
    nameless = event("click", "b", 1, "q2") | {"action_name": None}
    (record,), tally = read(query(), *seen("ab"), nameless, {k: v for k, v in nameless.items() if k != "action_name"})
    assert (record["session_id"], tally.broken) == ("q1", 2)
    assert "action_name: a text is expected, this is None" in str(tally.offences)
    nothing = {"action_name": None, "event_attributes": {"object": {"object_id": None}, "position": None}}
    assert read(nothing | query())[1].broken == 0, "a column of objects with nothing in it"


def test_a_response_in_a_line_is_read_whatever_its_hits_have_beside_the_document() -> None:
    (record,), tally = read({"hits": {"hits": [{"_id": "7", "_source": query(), "new": 1}]}})
    assert (record["search_query"], tally.broken) == ("lamp", 0)


def test_rows_of_one_query_are_united_and_a_row_without_hits_takes_none_away() -> None:
    later = query(timestamp="2026-03-02T10:00:09Z", query_response_hit_ids=["c", "a"])
    (record,), tally = read(query(query_response_hit_ids=["a", "b"]), query(query_response_hit_ids=[]), later)
    assert (shown(record), record["created_at"]) == (["a", "b", "c"], 1_772_445_600.0)
    assert "queries that repeat a query_id, and were united: 2" in tally.notes


def test_ordinals_count_from_0_or_1_as_each_application_does() -> None:
    first = [query("q1"), *seen("ab", "q1", 0, application="generator")]
    second = [query("q2"), *seen("ab", "q2", 1, application="shop")]
    found, _ = read(*first, *second)
    assert [[r["rank"] for r in record["search_results"]] for record in found] == [[1, 2], [1, 2]]


def test_an_item_seen_twice_has_its_best_place_and_places_may_be_missing() -> None:
    (record,), _ = read(
        query(), event("impression", "a", 4.0), event("impression", "b", 2), event("impression", "a", 0)
    )
    assert shown(record) == ["a", "b"]
    (record,), _ = read(query(), event("impression", "b", None), event("impression", "a", None))
    assert record["search_results"] == [{"object_id": "b"}, {"object_id": "a"}]


def test_the_text_of_the_query_may_stand_in_the_events_only() -> None:
    (record,), _ = read(event("click", "a", user_query="red lamp"))
    assert (record["search_query"], record["created_at"], shown(record)) == ("red lamp", 1_772_445_605.0, [])


def test_what_does_nothing_is_counted() -> None:
    _, tally = read(
        event("search", message="la"),
        event("click", None),
        event("click", "a", query_id=None),
        event("click", "a", query_id="nobody"),
        query("ahead", "la", application="type-ahead"),
    )
    assert tally.events.types == {"search": 1, "click": 3}
    assert tally.events.without_object == 1
    assert tally.notes == [
        "searches with events and no user_query, which were left out: 1",
        "searches of a type-ahead application, which were left out: 1",
        "events without a query_id, which do nothing: 1",
    ]


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ({"foo": 1}, "a query (user_query) or an event (action_name) of UBI is expected, fields are 'foo'"),
        ({"user_query": "lamp"}, "query_id: an id is expected"),
        (query(timestamp="soon"), "timestamp: a time is expected"),
        (query(query_response_hit_ids="a"), "query_response_hit_ids: a list of ids is expected"),
        (query(query_response_hit_ids=[None]), "query_response_hit_ids: a list of ids is expected"),
        (query(user_query=["lamp"]), "user_query: a text is expected"),
        ({"action_name": 1.5}, "action_name: a text is expected"),
        ({"action_name": ""}, "action_name: a text is expected"),
        ({"action_name": None}, "a query (user_query) or an event (action_name) of UBI is expected"),
        ({"action_name": "click", "event_attributes": "{}"}, "event_attributes: an object is expected"),
        (event("click", {"id": 1}), "object_id: a text is expected"),
    ],
)
def test_a_broken_document_is_named(document: Document, says: str) -> None:
    _, tally = read(document)
    assert tally.broken == 1
    assert says in tally.offences[0].problem


def internal(count: int, click: str) -> list[Document]:
    """Queries whose hits are numbers, and clicks on an item."""
    rows = [query(f"q{n}", query_response_hit_ids=[str(n), str(n + 1)]) for n in range(count)]
    return rows + [event("click", click.format(n), query_id=f"q{n}") for n in range(count)]


@pytest.mark.parametrize(
    ("documents", "known", "refused"),
    [
        (internal(9, "a"), ["a"], True),
        (internal(9, "{}"), ["0", "1"], False),
        (internal(9, "77"), ["0", "1", "77"], True),  # the numbers are ids of other items by chance
        (internal(2, "a"), ["a"], True),
        (internal(2, "a"), ["a", "1"], False),
        ([*internal(9, "a"), *(d for n in range(9) for d in seen("ab", f"q{n}"))], ["a"], False),
        ([query(query_response_hit_ids=["x1"]), event("click", "a")], ["a"], False),
    ],
)
def test_lucenes_internal_numbers_are_no_ids(documents: list[Document], known: list[str], refused: bool) -> None:
    tally = SessionTally()
    list(ubi.sessions([("k", 1, d) for d in documents], known, EventTypes(), tally))
    assert bool(tally.problems) is refused
    assert all("ext.ubi.object_id_field" in problem for problem in tally.problems)


SESSION = {"session_id": "s", "search_query": "lamp", "search_results": []}


@pytest.mark.parametrize(
    ("records", "name"),
    [
        ([SESSION], "Sessions"),
        ([query()], "UBI"),
        ([event("click", "a")], "UBI"),
        ([{"index": {"_index": "ubi_queries"}}, query()], "UBI"),
        ([{"index": {"_index": "clicks"}}, SESSION], "Sessions"),
        ([{"took": 1, "hits": {"hits": [{"_source": query()}]}}], "UBI"),
        ([{"junk": 1}, {}, query()], "UBI"),
        ([SESSION, query()], "Sessions"),
        ([{"junk": 1}], "Sessions"),
        ([], "Sessions"),
    ],
)
def test_the_format_is_found_from_the_first_records(records: list[Document], name: str) -> None:
    assert found([("k", 1, record) for record in records]) == name


def test_a_format_that_the_method_names_is_not_looked_for() -> None:
    tally = SessionTally()
    lines = [("k", 1, query())]
    assert list(sessions_of(lines, Clickstream(format="Sessions"), "abc", tally)) == lines
    assert list(sessions_of(lines, Clickstream(), "abc", tally, find=False)) == lines
    (line,) = sessions_of([("k", 1, query())], Clickstream(format="UBI"), "abc", tally)
    assert (line[2]["search_query"], tally.format) == ("lamp", "UBI")


def batch() -> list[Document]:
    made: list[Document] = []
    for n in range(60):
        name = f"q{n}"
        made += [query(name, f"lamp {n}"), *seen("abc", name), event("click", "b", 1, name)]
    return made


def check(store: Any) -> CheckReport:
    return loading.check(store, ONE, MethodPlan(), TextFineTuningMethod(), stop=threading.Event())


def bulk(documents: list[Document]) -> str:
    return "".join(
        json.dumps(part) + "\n" for d in documents for part in ({"index": {"_index": "ubi_events", "_id": "1"}}, d)
    )


def response(documents: list[Document]) -> Document:
    return {"took": 1, "hits": {"total": {"value": 1}, "hits": [{"_source": d} for d in documents]}}


SHAPES = {
    "lines": ("part.jsonl", "".join(json.dumps(d) + "\n" for d in batch())),
    "_bulk": ("part.ndjson", bulk(batch())),
    "a _search response": ("part.json", json.dumps(response(batch()), indent=1)),
    "_search responses in lines": ("part.jsonl", "".join(json.dumps(response([d])) + "\n" for d in batch())),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_batch_of_ubi_is_checked_like_any_other(good_store: Any, shape: str) -> None:
    name, text = SHAPES[shape]
    good_store.delete("clickstream/b1/part.jsonl")
    good_store.put(f"clickstream/b1/{name}", text.encode())
    report = check(good_store)
    assert (report.problems, report.format, report.broken_lines) == ([], "UBI", 0)
    assert (report.sessions, report.sessions_with_clicks, report.results, report.clicks_by_place) == (
        60,
        60,
        180,
        [0, 60],
    )
    assert {t.type: t.events for t in report.event_types} == {"impression": 180, "click": 60}
    assert report.notes[0] == "the batch was read as UBI, as it looks"


def test_internal_numbers_fail_the_check_with_what_to_set(good_store: Any) -> None:
    good_store.write("clickstream/b1/part.jsonl", *internal(60, "b"))
    assert "ext.ubi.object_id_field" in " ".join(check(good_store).problems)
