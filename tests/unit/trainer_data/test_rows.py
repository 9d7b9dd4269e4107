"""Sessions that were logged more than once, and long ones, against a model that does one thing at a time."""

from typing import NamedTuple

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from bluetune_trainer.data.rows import Rows, cap, merge


class Line(NamedTuple):
    """A line: which search it is, what else it says, and the level of each of the search's results."""

    search: int
    content: int
    levels: list[int]


SHOWN = {search: [10 * search + at for at in range(search)] for search in range(5)}
"""Search n shows n items."""


@st.composite
def lines(draw: st.DrawFn) -> list[Line]:
    searches = draw(st.lists(st.integers(0, 4), max_size=12))
    level = st.integers(0, 3)
    return [Line(s, draw(st.integers(0, 1)), draw(st.lists(level, min_size=s, max_size=s))) for s in searches]


def rows(logged: list[Line]) -> Rows:
    lengths = [len(line.levels) for line in logged]
    return Rows(
        queries=[f"query {line.search}" for line in logged],
        created=np.arange(len(logged), dtype=np.float64),
        searches=np.array([line.search for line in logged], np.uint64),
        contents=np.array([line.content for line in logged], np.uint64),
        lengths=np.array(lengths, np.int64),
        items=np.array([item for line in logged for item in SHOWN[line.search]], np.int32),
        ranks=np.array([at for length in lengths for at in range(length)], np.int32),
        levels=np.array([level for line in logged for level in line.levels], np.uint8),
    )


def listed(found: Rows) -> list[tuple[str, float, list[int], list[int], list[int]]]:
    bounds = np.cumsum(found.lengths)[:-1]
    parts = zip(*(np.split(column, bounds) for column in (found.items, found.ranks, found.levels)), strict=True)
    return [
        (query, created, *(part.tolist() for part in columns))
        for query, created, columns in zip(found.queries, found.created.tolist(), parts, strict=False)
    ]


@settings(deadline=None, max_examples=60)
@given(lines(), st.integers(2, 4))
def test_each_search_is_one_session_of_the_first_line_with_the_best_level_of_all(logged: list[Line], most: int) -> None:
    first: dict[int, int] = {}
    best: dict[int, list[int]] = {}
    for at, line in enumerate(logged):
        first.setdefault(line.search, at)
        best[line.search] = [max(pair) for pair in zip(best.get(line.search, line.levels), line.levels, strict=True)]
    found = merge(rows(logged))
    assert found.duplicates == len(logged) - len({(line.search, line.content) for line in logged})
    assert found.duplicates + found.merged == len(logged) - len(first)
    expected = [
        (f"query {search}", float(at), SHOWN[search], list(range(search)), best[search]) for search, at in first.items()
    ]
    assert listed(found.rows) == expected

    for (*_, items, ranks, levels), before in zip(listed(cap(found.rows, most)), expected, strict=True):
        order = sorted(range(len(before[2])), key=lambda at: before[4][at] == 0)[:most]
        kept = sorted(order)
        assert (items, ranks, levels) == tuple([column[at] for at in kept] for column in before[2:])
