"""Which inputs are computed together."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bluetune_trainer.training.batches import NumberedSessions
from bluetune_trainer.training.filling import FillOrder, in_sessions


def chunks(order: FillOrder, *missing: int) -> list[list[int]]:
    return [rows.tolist() for rows in order.together(np.array(missing, np.int64))]


@pytest.mark.parametrize(
    ("units", "size", "expected"),
    [
        (None, 3, [[5, 2, 7], [1, 0, 9], [3]]),
        ([0, 0, 0, 0, 0, 1, 1, 1], 3, [[5, 2, 7, 1], [0, 9, 3]]),
        ([0, 0, 1, 1, 1, 2, 2, 2], 3, [[5, 2, 7, 1], [0, 9, 3]]),
        ([0, 0, 1, 1, 1, 2, 2, 2], 5, [[5, 2, 7, 1, 0, 9, 3]]),
        ([4, 5, 6, 7, 8, 9, 10, 11], 1, [[5], [2], [7], [1], [0], [9], [3]]),
    ],
)
def test_a_chunk_ends_with_the_session_in_which_it_is_full(
    units: list[int] | None, size: int, expected: list[list[int]]
) -> None:
    order = FillOrder()
    order.add(np.array([5, 2, 5, 7, 1, 0, 9, 3]), None if units is None else np.array(units), size=size)
    assert chunks(order, *range(10)) == [*expected, [4], [6], [8]]
    assert order.rows.tolist() == [row for chunk in expected for row in chunk]


def test_what_needs_one_row_gets_its_chunk_and_a_row_of_no_chunk_comes_alone() -> None:
    order = FillOrder()
    assert chunks(order, 3, 1) == [[3], [1]]
    order.add(np.arange(6), size=2)
    assert chunks(order, 4) == [[4, 5]]
    assert chunks(order, 100, 5, 0, 4) == [[0, 1], [4, 5], [100]]
    assert chunks(order) == []


@given(st.data())
def test_every_row_is_in_one_chunk_which_later_additions_leave_as_it_is(data: st.DataObject) -> None:
    rows = st.lists(st.integers(0, 30), max_size=40).map(lambda found: np.array(found, np.int64))
    first, second = data.draw(rows), data.draw(rows)
    size = data.draw(st.integers(1, 9))
    order, again = FillOrder(), FillOrder()
    order.add(first, size=size)
    before = chunks(order, *first.tolist())
    order.add(second, size=size)
    order.add(first, size=size)
    assert chunks(order, *first.tolist()) == before
    assert sorted(order.rows.tolist()) == sorted({*first.tolist(), *second.tolist()})
    found = chunks(order, *second.tolist(), *first.tolist())
    assert sorted(row for chunk in found for row in chunk) == sorted(order.rows.tolist())
    again.add(first, size=size)
    again.add(second, size=size)
    assert again.rows.tolist() == order.rows.tolist()


def test_inputs_of_sessions_are_each_query_and_its_results() -> None:
    sessions = NumberedSessions(
        queries=np.array([10, 11, 12]),
        items=np.array([1, 2, 3, 1, 4]),
        clicked=np.zeros(5, np.bool_),
        offsets=np.array([0, 2, 3, 5]),
        shown_rank=np.zeros(5, np.int32),
    )
    numbers, owners = in_sessions(sessions, np.array([2, 0]))
    assert numbers.tolist() == [12, 1, 4, 10, 1, 2]
    assert owners.tolist() == [0, 0, 0, 1, 1, 1]
    assert in_sessions(sessions, np.zeros(0, np.int64))[0].tolist() == []
