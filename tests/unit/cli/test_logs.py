"""From pod to pod of a task, and each line of a log once."""

from typing import Any

import pytest

from bluetune.core.logs import Position, longest_pause, next_pod


def pod(name: str, created: str, phase: str = "Running") -> dict[str, Any]:
    return {"metadata": {"name": name, "creationTimestamp": created}, "status": {"phase": phase}}


CHECK, TRAIN, AGAIN = pod("check", "1", "Succeeded"), pod("train", "2"), pod("again", "3", "Pending")


@pytest.mark.parametrize(
    ("pods", "position", "expected"),
    [
        ([], None, None),
        ([AGAIN], None, "again"),
        ([AGAIN, CHECK, TRAIN], None, "train"),  # the newest that has started
        ([AGAIN, CHECK, TRAIN], Position("train", "2"), "train"),
        ([AGAIN, CHECK, TRAIN], Position("train", "2", done=True), "again"),
        ([AGAIN, CHECK, TRAIN], Position("check", "1", done=True), "train"),  # none is passed over
        ([AGAIN, CHECK], Position("train", "2"), "again"),  # it was deleted
        ([CHECK, TRAIN], Position("train", "2", done=True), None),
        ([pod("b", "2")], Position("a", "2", done=True), "b"),  # of the same second
    ],
)
def test_the_next_pod(pods: list[dict[str, Any]], position: Position | None, expected: str | None) -> None:
    found = next_pod(pods, position)
    assert (found and found["metadata"]["name"]) == expected


def lines(*times_and_texts: str) -> list[str]:
    return [f"2026-01-31T{line}" for line in times_and_texts]


A = lines("12:00:01.1Z one", "12:00:01.1Z two", "12:00:01.1Z two", "12:00:02.2Z three four")


@pytest.mark.parametrize(
    ("before", "again", "expected"),
    [
        (A, [], []),
        (A, A, []),
        (A[:1], A, ["two", "two", "three four"]),  # of the same time as the last line
        (A[:2], A, ["two", "three four"]),  # the same line once more
        ([A[3], A[0]], [A[3], A[0], A[1]], ["two"]),  # out of order
        (A[:1], lines("12:00:05.1Z one"), ["one"]),  # another file: the container was started again
        (A[:1], ["unable to retrieve container logs"], ["unable to retrieve container logs"]),  # the kubelet's own
        (["2026-01-31 no time"], ["2026-01-31 no time"], []),
    ],
)
def test_a_log_that_is_asked_for_again_shows_each_line_once(
    before: list[str], again: list[str], expected: list[str]
) -> None:
    position = Position("p", "1")
    assert position.ask() is None
    assert all(position.shown(line) for line in before)
    for asked in (again, again):  # whatever comes twice
        position.ask()
        assert [text for line in asked if (text := position.shown(line)) is not None] == expected
        expected = []


@pytest.mark.parametrize(
    ("stamp", "since"),
    [
        ("2026-01-31T12:00:05.123456789Z", "2026-01-31T12:00:04Z"),
        ("2026-01-31T20:00:05.123456789+08:00", "2026-01-31T12:00:04Z"),
        ("2026-01-31T12:00:05+00:00", "2026-01-31T12:00:04Z"),
    ],
)
def test_a_log_is_asked_for_from_a_moment_before_its_last_line_in_utc(stamp: str, since: str) -> None:
    position = Position("p", "1")
    position.shown(f"{stamp} x")
    position.shown("unable to retrieve container logs")
    assert position.ask() == since


def test_a_position_keeps_the_lines_of_its_last_moments_only() -> None:
    position = Position("p", "1")
    for second in range(60):
        position.shown(f"2026-01-31T12:00:{second:02}Z x")
    assert len(position._recent) == 2


def test_pauses_grow_and_have_a_bound() -> None:
    assert [longest_pause(failures) for failures in (1, 2, 3, 10_000)] == [2, 4, 8, 30]
