"""The versions of a model as a graph: a row for each, the newest first, and lanes that lead down to its parent."""

import heapq
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from bluetune.core.versions import Version

MAX_ROWS = 60
MAX_LANES = 6
"""That are drawn beside each other; more lie on the last one."""


@dataclass(frozen=True)
class Row:
    """A version, and which lanes pass it."""

    version: Version
    lane: int
    above: tuple[int, ...]
    """Lanes that come from above and go on below."""
    joins: tuple[int, ...]
    """Lanes that come from above and end here: those of the version's children."""
    below: tuple[int, ...]
    """Lanes that lead from here, or past it, to the next row."""


@dataclass(frozen=True)
class Lineage:
    """Rows, and how many older versions are left out."""

    rows: tuple[Row, ...]
    lanes: int
    older: int


def lineage(known: Mapping[str, Version]) -> Lineage:
    """Each version above its parent, as late as its children let it.

    A lane is kept for a parent from its first child on. A parent that is not known ends its lane.
    """
    order = _children_first(known)
    shown = set(order[:MAX_ROWS])
    lanes: list[str | None] = []
    rows = []
    for name in order[:MAX_ROWS]:
        version = known[name]
        waiting = [lane for lane, awaited in enumerate(lanes) if awaited == name]
        passing = [lane for lane, awaited in enumerate(lanes) if awaited not in (None, name)]
        own = waiting[0] if waiting else next((i for i, awaited in enumerate(lanes) if awaited is None), len(lanes))
        for lane in waiting:
            lanes[lane] = None
        lanes += [None] * (own + 1 - len(lanes))
        lanes[own] = version.parent if version.parent in shown and version.parent != name else None
        below = [lane for lane, awaited in enumerate(lanes) if awaited is not None]
        rows.append(Row(version, _drawn(own), _all(passing), _all(waiting), _all(below)))
    return Lineage(tuple(rows), min(max(len(lanes), 1), MAX_LANES), max(len(order) - MAX_ROWS, 0))


def _drawn(lane: int) -> int:
    return min(lane, MAX_LANES - 1)


def _all(lanes: list[int]) -> tuple[int, ...]:
    return tuple(sorted({_drawn(lane) for lane in lanes}))


def _children_first(known: Mapping[str, Version]) -> list[str]:
    """Newest first, except that a version comes after its children."""
    place = {name: number for number, name in enumerate(reversed(list(known)))}
    missing = Counter(version.parent for version in known.values() if version.parent in known)
    ready = [place[name] for name in known if not missing[name]]
    heapq.heapify(ready)
    names = list(place)
    order: list[str] = []
    while ready:
        name = names[heapq.heappop(ready)]
        order.append(name)
        parent = known[name].parent
        if parent in known:
            missing[parent] -= 1
            if not missing[parent]:
                heapq.heappush(ready, place[str(parent)])
    return order + [name for name in names if name not in set(order)]  # a circle, which no trainer makes
