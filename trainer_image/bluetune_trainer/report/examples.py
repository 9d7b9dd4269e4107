"""Ten queries with their results before and after: those that gained and lost most, and some between. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bluetune_trainer.data.splits import normalised
from bluetune_trainer.report.numbers import one_line
from bluetune_trainer.search.evidence import Evidence, Floats, Ranking

EXAMPLES = 10
MAX_GAINED, MAX_LOST = 5, 3
RESULTS = 5
LONGEST_QUERY, LONGEST_TEXT = 200, 110


@dataclass(frozen=True)
class Hit:
    """A result in a list."""

    text: str
    relevant: bool
    other: int | None
    """Its place in the other list, from 1; None if it is not among the first ten there."""


@dataclass(frozen=True)
class Example:
    """A query before and after."""

    query: str
    why: str
    before: float
    after: float
    hits_before: list[Hit]
    hits_after: list[Hit]


def examples(evidence: Evidence, metric: str, texts: Sequence[str]) -> list[Example]:
    """At most ten queries, each once: best first, worst last."""
    before, after = evidence.before.metrics[metric], evidence.after.metrics[metric]
    chosen = choose(evidence.queries, after - before)
    return [_example(evidence, i, float(before[i]), float(after[i]), why, texts) for i, why in chosen]


def choose(queries: Sequence[str], gains: Floats) -> list[tuple[int, str]]:
    """Positions and why, by descending gain: at most five that gained, three that lost, and what lies between.

    Where few gained, or few lost, others take their places; a query that was asked often is there once.
    """
    order = [int(i) for i in np.argsort(-gains, kind="stable")]
    seen: set[str] = set()
    distinct: list[int] = []
    for i in order:
        name = normalised(queries[i])
        if name not in seen:
            seen.add(name)
            distinct.append(i)
    gained = [i for i in distinct if gains[i] > 0]
    lost = [i for i in distinct if gains[i] < 0]
    top, bottom = gained[:MAX_GAINED], lost[-MAX_LOST:]
    middle = [i for i in distinct if i not in top and i not in bottom]
    room = EXAMPLES - len(top) - len(bottom)
    begin = max((len(middle) - room) // 2, 0)
    why = dict.fromkeys(top, "gained most") | dict.fromkeys(bottom, "lost most")
    for i in middle[begin : begin + room]:
        why[i] = "in between" if gains[i] else "as good as before"
    return [(i, why[i]) for i in distinct if i in why]


def _example(evidence: Evidence, i: int, before: float, after: float, why: str, texts: Sequence[str]) -> Example:
    return Example(
        query=one_line(evidence.queries[i], LONGEST_QUERY),
        why=why,
        before=before,
        after=after,
        hits_before=_hits(evidence.before, evidence.after, i, texts),
        hits_after=_hits(evidence.after, evidence.before, i, texts),
    )


def _hits(own: Ranking, other: Ranking, i: int, texts: Sequence[str]) -> list[Hit]:
    elsewhere = {item: place for place, item in enumerate(other.items[i].tolist(), 1) if item >= 0}
    return [
        Hit(one_line(str(texts[item]), LONGEST_TEXT), bool(relevant), elsewhere.get(item))
        for item, relevant in zip(own.items[i].tolist()[:RESULTS], own.relevant[i], strict=False)
        if item >= 0
    ]
