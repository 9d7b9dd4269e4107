"""Several batches for one run: which are new, which are learned again."""

import pytest
from pydantic import ValidationError

from bluetune_api.batch_window import MAX_BATCHES, Batches, CompleteBatch, Window, selection, window

DAY = 86400.0
STORE = [CompleteBatch(f"dt={day}", day * DAY) for day in range(1, 8)]


def test_the_last_ones_are_the_newest_that_were_not_learned_from() -> None:
    found = window(STORE, {"dt=7", "dt=3"}, Batches(last=3), now=8 * DAY)
    assert found == Window(["dt=6", "dt=5", "dt=4"], ["dt=7", "dt=3"])


def test_since_counts_from_when_a_batch_was_complete() -> None:
    assert window(STORE, (), Batches(since="2d"), now=8 * DAY).new == ["dt=7", "dt=6"]
    assert window(STORE, (), Batches(since="30d", last=1), now=8 * DAY).new == ["dt=7"]
    assert window(STORE, (), Batches(since="1h"), now=9 * DAY).new == []


def test_a_window_ends_with_the_batch_that_is_named() -> None:
    assert window(STORE, {"dt=3"}, Batches(last=3), now=8 * DAY, named="dt=5") == Window(
        ["dt=5", "dt=4", "dt=2"], ["dt=3"]
    )
    assert window(STORE, {"dt=5"}, Batches(since="4d"), now=8 * DAY, named="dt=5").new == ["dt=5", "dt=4"]
    assert window(STORE, (), Batches(last=1), now=8 * DAY, named="dt=5").new == ["dt=5"]


def test_a_batch_inside_a_learned_folder_is_learned() -> None:
    hours = [CompleteBatch("dt=1/hour=05", DAY), CompleteBatch("dt=2/hour=05", 2 * DAY)]
    assert window(hours, {"dt=1"}, Batches(last=9), now=3 * DAY) == Window(["dt=2/hour=05"], ["dt=1/hour=05"])


def test_a_window_without_end_stops_at_the_maximum() -> None:
    many = [CompleteBatch(f"b{n:04}", float(n)) for n in range(MAX_BATCHES + 5)]
    found = window(many, (), Batches(since="365d"), now=1000.0)
    assert (len(found.new), found.new[0]) == (MAX_BATCHES, "b0204")


def test_old_batches_are_replayed_only_if_asked_for() -> None:
    found = Window(["b2"], ["b1"])
    assert selection(found, Batches(last=5)).replay == []
    asked = selection(found, Batches(last=5, replay=0.3, half_life="14d"))
    assert (asked.learn, asked.replay, asked.replay_share, asked.half_life) == (["b2"], ["b1"], 0.3, "14d")
    assert selection(Window(["b2"], []), Batches(last=5, replay=0.3)).replay_share is None


def test_a_window_needs_an_end() -> None:
    with pytest.raises(ValidationError, match="one of last and since must be set"):
        Batches(replay=0.5)
