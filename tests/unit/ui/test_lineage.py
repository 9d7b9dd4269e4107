"""Versions as rows with lanes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bluetune.core.page.lineage import MAX_LANES, MAX_ROWS, lineage
from bluetune.core.versions import Version


def rows(*pairs: str) -> list[tuple[str, int, tuple[int, ...], tuple[int, ...], tuple[int, ...]]]:
    """From `child<parent`, oldest first."""
    known = {pair[0]: Version(pair[0], parent=pair[2:] or None) for pair in pairs}
    return [(row.version.id, row.lane, row.above, row.joins, row.below) for row in lineage(known).rows]


@pytest.mark.parametrize(
    ("pairs", "drawn"),
    [
        ([], []),
        (["a"], [("a", 0, (), (), ())]),
        (["a", "b<a", "c<b"], [("c", 0, (), (), (0,)), ("b", 0, (), (0,), (0,)), ("a", 0, (), (0,), ())]),
        # c and b were trained from a
        (["a", "b<a", "c<a"], [("c", 0, (), (), (0,)), ("b", 1, (0,), (), (0, 1)), ("a", 0, (), (0, 1), ())]),
        # the parent is not known
        (["b<x", "c<b"], [("c", 0, (), (), (0,)), ("b", 0, (), (0,), ())]),
        # told in a wrong order: the child is above its parent nevertheless
        (["b<a", "a"], [("b", 0, (), (), (0,)), ("a", 0, (), (0,), ())]),
        (["a<a"], [("a", 0, (), (), ())]),
    ],
)
def test_a_version_is_above_its_parent_and_its_lane_leads_there(
    pairs: list[str], drawn: list[tuple[str, int, tuple[int, ...], tuple[int, ...], tuple[int, ...]]]
) -> None:
    assert rows(*pairs) == drawn


@given(st.lists(st.integers(0, 80), max_size=80))
def test_every_graph_is_drawn_once_and_whole(parents: list[int]) -> None:
    known = {str(n): Version(str(n), parent=str(parent)) for n, parent in enumerate(parents)}
    made = lineage(known)
    assert len(made.rows) + made.older == len(known)
    assert len({row.version.id for row in made.rows}) == len(made.rows) <= MAX_ROWS
    below: tuple[int, ...] = ()
    for row in made.rows:  # what leads down from a row arrives at the next one
        assert set(below) == {*row.above, *row.joins}
        assert max([row.lane, *row.below]) < MAX_LANES
        below = row.below
