"""From pod to pod of a task, and each line of a log once."""

from typing import Any

import pytest

from bluetune.core.logs import Position, next_pod


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


def test_a_log_that_is_asked_for_again_shows_no_line_twice() -> None:
    position = Position("p", "1")
    assert position.since is None
    first, second = "2026-01-31T12:00:00.100000000Z one", "2026-01-31T12:00:00.200000000Z two words"
    assert [position.shown(first), position.shown(second)] == ["one", "two words"]
    assert position.since == "2026-01-31T12:00:00Z"
    assert [position.shown(first), position.shown(second)] == [None, None]
