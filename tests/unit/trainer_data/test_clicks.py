"""One session, good and broken."""

import copy
from datetime import UTC, datetime
from typing import Any

import pytest

from bluetune_trainer.data.clicks import BrokenSession, Session, rfc3339, seconds_of, session_of
from bluetune_trainer.data.event_types import EventTypes
from bluetune_trainer.data.tally import EventTally
from bluetune_trainer.errors import PlanInvalid

GOOD: dict[str, Any] = {
    "session_id": "s",
    "search_query": "lamp",
    "created_at": "2026-03-02T10:00:00Z",
    "search_results": [{"object_id": "a"}, {"object_id": "b"}],
    "events": [{"object_id": "b"}],
}
TEN = datetime(2026, 3, 2, 10, tzinfo=UTC).timestamp()


def _with(**changes: Any) -> dict[str, Any]:
    record = {**copy.deepcopy(GOOD), **changes}
    return {key: value for key, value in record.items() if value is not ...}


def _read(record: dict[str, Any], **gains: float) -> tuple[Session, EventTally]:
    tally = EventTally()
    return session_of(record, EventTypes(gains or None), tally), tally


def test_a_good_session_is_read() -> None:
    assert _read(GOOD)[0] == ("s", "lamp", TEN, ["a", "b"], None, {"b": 1.0}, False, None)


@pytest.mark.parametrize(
    ("changes", "results", "clicked"),
    [
        ({"events": ...}, ["a", "b"], set()),
        ({"events": None}, ["a", "b"], set()),
        ({"events": []}, ["a", "b"], set()),
        ({"is_irrelevant": True}, ["a", "b"], set()),
        ({"is_irrelevant": False}, ["a", "b"], {"b"}),
        ({"search_results": []}, [], {"b"}),
        ({"search_results": None}, [], {"b"}),
        ({"search_results": [{"object_id": 7}, {"object_id": "b"}]}, ["7", "b"], {"b"}),
        ({"events": [{"object_id": 7}]}, ["a", "b"], {"7"}),
        ({"search_results": [{"object_id": x} for x in "aba"]}, ["a", "b"], {"b"}),
        ({"search_results": [{"object_id": "a", "rank": 2}, {"object_id": "b", "rank": 1}]}, ["b", "a"], {"b"}),
        ({"search_results": [{"object_id": "a", "rank": 0.2}, {"object_id": "b", "rank": 0.1}]}, ["a", "b"], {"b"}),
        ({"search_results": [{"object_id": "a", "rank": 2}, {"object_id": "b"}]}, ["a", "b"], {"b"}),
        ({"session_id": 5}, ["a", "b"], {"b"}),
        ({"session_id": ..., "query_id": "q"}, ["a", "b"], {"b"}),
        ({"events": [{}]}, ["a", "b"], set()),
    ],
)
def test_what_loggers_do_differently_is_taken(changes: dict[str, Any], results: list[str], clicked: set[str]) -> None:
    found, _ = _read(_with(**changes))
    assert (found.results, set(found.clicked)) == (results, clicked)


@pytest.mark.parametrize(
    ("ranks", "order", "kept", "ignored"),
    [
        ([11, 12, 13], "abc", [11, 12, 13], False),
        ([3.0, 1.0, 2.0], "bca", [1, 2, 3], False),
        ([None, None, None], "abc", None, False),
        ([1, 2, None], "abc", None, True),
        ([1, 1, 2], "abc", None, True),
        ([0.9, 0.8, 0.1], "abc", None, True),
        ([-1, 0, 1], "abc", None, True),
        (["1", "2", "3"], "abc", None, True),
        ([True, 2, 3], "abc", None, True),
        ([10**9, 1, 2], "abc", None, True),
    ],
)
def test_ranks_are_kept_if_they_say_places(ranks: list[Any], order: str, kept: list[int] | None, ignored: bool) -> None:
    found, _ = _read(_with(search_results=[{"object_id": i, "rank": r} for i, r in zip("abc", ranks, strict=True)]))
    assert (found.results, found.ranks, found.ranks_ignored) == (list(order), kept, ignored)


def test_an_item_shown_twice_keeps_its_best_rank() -> None:
    found, _ = _read(_with(search_results=[{"object_id": i, "rank": r} for i, r in (("a", 9), ("b", 7), ("a", 5))]))
    assert (found.results, found.ranks) == (["a", "b"], [5, 7])


def _events(*kinds: str | None) -> list[dict[str, Any]]:
    return [{"object_id": "a", "event_type": kind} for kind in kinds]


@pytest.mark.parametrize("kind", [None, "", "click", "CLICK", "add_to_cart", "Add To Cart", "addToCart", "purchase"])
def test_events_that_are_clicks_count(kind: str | None) -> None:
    assert _read(_with(events=_events(kind)))[0].clicked == {"a": 1.0}


@pytest.mark.parametrize("kind", ["impression", "view", "product_hover", "scroll", "remove_from_cart", "thumbs_down"])
def test_other_events_are_counted_and_are_no_clicks(kind: str) -> None:
    found, tally = _read(_with(events=_events(kind, "click", kind)))
    assert found.clicked == {"a": 1.0}
    assert tally.types == {kind: 2, "click": 1}
    assert _read(_with(events=_events(kind)))[0].clicked == {}


def test_a_result_gains_by_the_best_of_its_events_as_the_method_says() -> None:
    found, _ = _read(_with(events=_events("click", "purchase", "add_to_cart")), click=1, add_to_cart=3, purchase=5)
    assert found.clicked == {"a": 5.0}
    assert _read(_with(events=_events("click")), purchase=5)[0].clicked == {}


def test_a_type_that_is_declared_twice_is_refused() -> None:
    with pytest.raises(PlanInvalid, match=r"clickstream\.eventTypes: 'AddToCart' is there twice"):
        EventTypes({"add_to_cart": 1, "AddToCart": 3})


def test_events_without_an_object_do_nothing_and_are_counted_if_their_type_counts() -> None:
    found, tally = _read(_with(events=[{"event_type": "scroll"}, {"event_type": "click", "object_id": None}]))
    assert (found.clicked, tally.without_object) == ({}, 1)


def test_a_visits_searches_are_told_apart_by_query_id() -> None:
    one, other, none = (_read(_with(**more))[0].search for more in ({"query_id": "1"}, {"query_id": 2}, {}))
    assert len({one, other, none}) == 3


@pytest.mark.parametrize(
    ("changes", "field", "value"),
    [
        ({"session_id": ...}, "session_id", "fields are 'search_query, created_at"),
        ({"query_id": ""}, "query_id", "''"),
        ({"query_id": "q", "session_id": ""}, "session_id", "''"),
        ({"session_id": ""}, "session_id", "''"),
        ({"session_id": True}, "session_id", "True"),
        ({"search_query": ...}, "search_query", "fields are 'session_id, created_at"),
        ({"search_query": "  "}, "search_query", "'  '"),
        ({"search_query": 5}, "search_query", "5"),
        ({"search_results": ...}, "search_results: a list is expected, fields are", "session_id, search_query"),
        ({"search_results": {"a": 1}}, "search_results", "{'a': 1}"),
        ({"search_results": ["a"]}, "search_results[0]", "'a'"),
        ({"search_results": [{"object_id": "a"}, {"id": "b"}]}, "search_results[1].object_id is missing", "'id'"),
        ({"search_results": [{"object_id": None}]}, "search_results[0].object_id", "None"),
        ({"search_results": [{"object_id": 1.5}]}, "search_results[0].object_id", "1.5"),
        ({"search_results": [{"object_id": ["x"]}]}, "search_results[0].object_id", "['x']"),
        ({"search_results": [{"object_id": ""}]}, "search_results[0].object_id", "''"),
        ({"events": "click"}, "events", "'click'"),
        ({"events": {}}, "events", "{}"),
        ({"events": [{"object_id": "b", "event_type": False}]}, "events[0].event_type", "False"),
        ({"is_irrelevant": "true"}, "is_irrelevant", "'true'"),
        ({"events": [{"object_id": {}}]}, "events[0].object_id", "{}"),
        ({"events": [{"object_id": ""}]}, "events[0].object_id", "''"),
        ({"events": ["b"]}, "events[0]", "'b'"),
        ({"events": [{"object_id": "b", "event_type": 7}]}, "events[0].event_type", "7"),
        ({"created_at": ...}, "created_at", "None"),
        ({"created_at": "yesterday"}, "created_at", "'yesterday'"),
        ({"created_at": -1}, "created_at", "-1"),
        ({"created_at": True}, "created_at", "True"),
    ],
)
def test_a_broken_session_names_the_field_and_the_value(changes: dict[str, Any], field: str, value: str) -> None:
    with pytest.raises(BrokenSession) as error:
        _read(_with(**changes))
    assert str(error.value).startswith(field)
    assert value in str(error.value)


@pytest.mark.parametrize(
    "value",
    [
        "2026-03-02T10:00:00Z",
        "2026-03-02T11:00:00+01:00",
        "2026-03-02T10:00:00",
        "2026-03-02 10:00:00.000",
        TEN,
        int(TEN),
        int(TEN * 1000),
        int(TEN * 1_000_000),
        int(TEN * 1_000_000_000),
        str(int(TEN)),
        str(int(TEN * 1000)),
        "2026-03-02 10:00:00 UTC",
        "2026-03-02T10:00:00.000+0000",
        datetime(2026, 3, 2, 10, tzinfo=UTC),
        datetime(2026, 3, 2, 10),
    ],
)
def test_times_are_read_in_all_forms(value: object) -> None:
    assert seconds_of(value) == TEN
    assert rfc3339(seconds_of(value)) == "2026-03-02T10:00:00Z"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e300, [], "9" * 400])
def test_what_is_no_time_is_refused(value: object) -> None:
    with pytest.raises(BrokenSession, match="created_at"):
        seconds_of(value)


def test_digits_that_are_a_date_are_one() -> None:
    assert rfc3339(seconds_of("20260302")) == "2026-03-02T00:00:00Z"


def test_a_time_that_is_refused_is_called_by_its_fields_name() -> None:
    with pytest.raises(BrokenSession, match="timestamp: a time is expected"):
        seconds_of("soon", "timestamp")


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00", "1969-12-31T23:59:59Z"])
def test_a_time_that_no_report_could_say_is_refused(moment: str) -> None:
    with pytest.raises(BrokenSession, match="created_at"):
        seconds_of(moment)
