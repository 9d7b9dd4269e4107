"""Clicks after which the user was back at once: left out where the method says so, in every format, and said."""

from typing import Any

import pytest

from bluetune_api.clickstream import Clickstream, EventColumns, EventTable
from bluetune_trainer.data import event_table, ubi
from bluetune_trainer.data.clicks import BrokenSession, session_of
from bluetune_trainer.data.event_types import types_of
from bluetune_trainer.data.notes import notes
from bluetune_trainer.data.tally import SessionTally

TEN = Clickstream(min_dwell="10s")


def clicked(events: list[dict[str, Any]], clickstream: Clickstream = TEN) -> tuple[dict[str, float], SessionTally]:
    tally = SessionTally()
    shown = [{"object_id": name} for name in "abc"]
    record = {"session_id": "s", "search_query": "q", "created_at": 1, "search_results": shown, "events": events}
    return session_of(record, types_of(clickstream), tally.events).clicked, tally


def click(item: str, **more: Any) -> dict[str, Any]:
    return {"object_id": item, **more}


def test_a_click_counts_if_the_user_stayed_long_enough_or_nobody_knows() -> None:
    found, tally = clicked([click("a", dwell_seconds=9.9), click("b", dwell_seconds=10), click("c")])
    assert found == {"b": 1.0, "c": 1.0}
    said = " ".join(notes(tally, types_of(TEN), TEN))
    assert "stayed for less than 10s (clickstream.minDwell), which do not count: 1" in said


def test_without_a_minimum_nobody_looks_at_it() -> None:
    found, tally = clicked([click("a", dwell_seconds=0), click("b", dwell_seconds="soon")], Clickstream())
    assert found == {"a": 1.0, "b": 1.0}
    assert tally.events.with_dwell == 0


@pytest.mark.parametrize("value", ["12", -1, float("nan"), float("inf"), True, [3]])
def test_what_is_no_number_of_seconds_is_named(value: object) -> None:
    with pytest.raises(BrokenSession, match=r"events\[0\]\.dwell_seconds: a number of seconds is expected"):
        clicked([click("a", dwell_seconds=value)])


def test_a_minimum_that_nothing_is_measured_by_is_said() -> None:
    _, tally = clicked([click("a")])
    said = "no event says how long the user stayed, so clickstream.minDwell changes nothing"
    assert said in notes(tally, types_of(TEN), TEN)


def test_ubi_says_it_in_the_attributes() -> None:
    def event(item: str, dwell: float | None) -> dict[str, Any]:
        attributes: dict[str, Any] = {"object": {"object_id": item}}
        more = {} if dwell is None else {"dwell_time": dwell}
        return {"action_name": "click", "query_id": "q1", "timestamp": 2, "event_attributes": attributes | more}

    documents = [
        {"query_id": "q1", "user_query": "lamp", "timestamp": 1, "query_response_hit_ids": ["a", "b", "c"]},
        event("a", 0.5),
        event("b", 39.3),
        event("c", None),
    ]
    tally = SessionTally()
    lines = [("k", number, document) for number, document in enumerate(documents)]
    ((_, _, record),) = ubi.sessions(lines, {"a", "b", "c"}, types_of(TEN), tally)
    assert [one["object_id"] for one in record["search_results"]] == ["a", "b", "c"]
    session = session_of(record, types_of(TEN), tally.events)
    assert (session.clicked, tally.events.left_soon, dict(tally.events.types)) == (
        {"b": 1.0, "c": 1.0},
        1,
        {"click": 3},
    )


def test_a_table_says_it_in_a_column() -> None:
    rows = [
        {"user_id": "u", "timestamp": 1, "event_type": "search", "query": "lamp", "item_id": None},
        *({"user_id": "u", "timestamp": 2, "event_type": "impression", "item_id": name} for name in "ab"),
        {"user_id": "u", "timestamp": 3, "event_type": "click", "item_id": "a", "stayed": 3},
        {"user_id": "u", "timestamp": 4, "event_type": "click", "item_id": "b", "stayed": 30.0},
    ]
    table = EventTable(columns=EventColumns(dwell="stayed"))
    tally = SessionTally()
    lines = [("k", number, row) for number, row in enumerate(rows)]
    ((_, _, record),) = event_table.sessions(lines, table, types_of(TEN), tally)
    assert session_of(record, types_of(TEN), tally.events).clicked == {"b": 1.0}
    rows[3]["stayed"] = "long"
    list(event_table.sessions(lines, table, types_of(TEN), tally := SessionTally()))
    assert "stayed: a number of seconds is expected, this is 'long'" in tally.offences[0].problem
