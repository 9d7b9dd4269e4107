"""One session, good and broken."""

import copy
from datetime import UTC, datetime
from typing import Any

import pytest

from bluetune_trainer.data.clicks import BrokenSession, rfc3339, seconds_of, session_of

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


def test_a_good_session_is_read() -> None:
    assert session_of(GOOD) == ("s", "lamp", TEN, ["a", "b"], {"b"})


@pytest.mark.parametrize(
    ("changes", "results", "clicked"),
    [
        ({"events": ...}, ["a", "b"], ()),
        ({"events": None}, ["a", "b"], ()),
        ({"events": []}, ["a", "b"], ()),
        ({"is_irrelevant": True}, ["a", "b"], ()),
        ({"is_irrelevant": False}, ["a", "b"], {"b"}),
        ({"search_results": []}, [], {"b"}),
        ({"search_results": [{"object_id": 7}, {"object_id": "b"}]}, ["7", "b"], {"b"}),
        ({"events": [{"object_id": 7}]}, ["a", "b"], {"7"}),
        ({"search_results": [{"object_id": x} for x in "aba"]}, ["a", "b"], {"b"}),
        ({"search_results": [{"object_id": "a", "rank": 2}, {"object_id": "b", "rank": 1}]}, ["b", "a"], {"b"}),
        ({"search_results": [{"object_id": "a", "rank": 0.2}, {"object_id": "b", "rank": 0.1}]}, ["a", "b"], {"b"}),
        ({"search_results": [{"object_id": "a", "rank": 2}, {"object_id": "b"}]}, ["a", "b"], {"b"}),
        ({"session_id": 5}, ["a", "b"], {"b"}),
    ],
)
def test_what_loggers_do_differently_is_taken(changes: dict[str, Any], results: list[str], clicked: Any) -> None:
    found = session_of(_with(**changes))
    assert (found.results, found.clicked) == (results, clicked)


@pytest.mark.parametrize(
    ("changes", "field", "value"),
    [
        ({"session_id": ...}, "session_id", "None"),
        ({"session_id": ""}, "session_id", "''"),
        ({"session_id": True}, "session_id", "True"),
        ({"search_query": ...}, "search_query", "None"),
        ({"search_query": "  "}, "search_query", "'  '"),
        ({"search_query": 5}, "search_query", "5"),
        ({"search_results": ...}, "search_results", "None"),
        ({"search_results": {"a": 1}}, "search_results", "{'a': 1}"),
        ({"search_results": ["a"]}, "search_results[0]", "'a'"),
        ({"search_results": [{"object_id": "a"}, {"id": "b"}]}, "search_results[1].object_id is missing", "'id'"),
        ({"search_results": [{"object_id": None}]}, "search_results[0].object_id", "None"),
        ({"search_results": [{"object_id": 1.5}]}, "search_results[0].object_id", "1.5"),
        ({"search_results": [{"object_id": ["x"]}]}, "search_results[0].object_id", "['x']"),
        ({"search_results": [{"object_id": ""}]}, "search_results[0].object_id", "''"),
        ({"events": "click"}, "events", "'click'"),
        ({"events": [{"object_id": {}}]}, "events[0].object_id", "{}"),
        ({"events": [{}]}, "events[0].object_id is missing", "{}"),
        ({"created_at": ...}, "created_at", "None"),
        ({"created_at": "yesterday"}, "created_at", "'yesterday'"),
        ({"created_at": -1}, "created_at", "-1"),
        ({"created_at": True}, "created_at", "True"),
    ],
)
def test_a_broken_session_names_the_field_and_the_value(changes: dict[str, Any], field: str, value: str) -> None:
    with pytest.raises(BrokenSession) as error:
        session_of(_with(**changes))
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


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00", "1969-12-31T23:59:59Z"])
def test_a_time_that_no_report_could_say_is_refused(moment: str) -> None:
    with pytest.raises(BrokenSession, match="created_at"):
        seconds_of(moment)
