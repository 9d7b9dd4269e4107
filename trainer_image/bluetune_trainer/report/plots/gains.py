"""How the gain is spread over the queries."""

from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from bluetune_trainer.report import numbers
from bluetune_trainer.report.plots.scale import Scale, tick_labels, ticks
from bluetune_trainer.report.plots.svg import WIDTH, el, figure, line, text
from bluetune_trainer.search.evidence import Floats

EACH_SIDE = 10
"""Bars on each side of those that did not change."""
NOTHING = 1e-9
"""A smaller change is none: the two versions show the same ten results."""
FURTHEST = 0.99
"""Share of the queries that the axis reaches; those beyond are in its last bars."""


@dataclass(frozen=True)
class Spread:
    """How many queries gained, lost, and stayed as they were."""

    gained: int
    lost: int
    same: int


def spread(gains: Floats) -> Spread:
    """Count them."""
    gained, lost = int((gains > NOTHING).sum()), int((gains < -NOTHING).sum())
    return Spread(gained, lost, len(gains) - gained - lost)


def gains_by_query(gains: Floats) -> Markup:
    """Bars of how many queries changed by how much; the one in the middle did not change."""
    changed = np.abs(gains[np.abs(gains) > NOTHING])
    if not len(changed):
        return Markup("")
    reach = float(np.quantile(changed, FURTHEST))
    counts = _bars(gains, reach)
    left, right, top, bottom, height = 40.0, WIDTH - 6.0, 22.0, 150.0, 190.0
    y = Scale(0, max(int(counts.max()), 1), bottom, top)
    slot = (right - left) / len(counts)
    parts: list[Markup] = []
    for tick in ticks(0, int(counts.max()), 4):
        if tick == int(tick):
            parts.append(line(left, y(tick), right, y(tick), "grid"))
            parts.append(text(left - 6, y(tick) + 4, numbers.count(int(tick)), anchor="end"))
    step = reach / EACH_SIDE
    for i, count in enumerate(counts.tolist()):
        at = i - EACH_SIDE
        if not count:
            continue
        tone = "same" if at == 0 else "good" if at > 0 else "bad"
        told = _told(at, step, count)
        parts.append(
            el(
                "rect",
                el("title", told),
                x=round(left + i * slot + slot * 0.08, 1),
                y=round(y(count), 1),
                width=round(slot * 0.84, 1),
                height=round(bottom - y(count), 1),
                rx=1,
                class_=f"bar {tone}",
            )
        )
    parts.append(line(left, bottom, right, bottom, "axis"))
    middle = (left + right) / 2
    x = Scale(0, reach, middle + slot / 2, right)
    marks = [mark for mark in ticks(0, reach, 3) if mark > 0]
    for mark, told in zip(marks, tick_labels([0.0, *marks])[1:], strict=True):
        parts.append(text(x(mark), bottom + 15, f"+{told}", anchor="middle"))
        parts.append(text(2 * middle - x(mark), bottom + 15, f"{numbers.MINUS}{told}", anchor="middle"))
    parts.append(text(middle, bottom + 15, "0", anchor="middle"))
    parts.append(text(middle, height - 6, "change of a query, after minus before", "label", "middle"))
    parts.append(text(0, 11, "queries", "label"))
    return figure(WIDTH, height, "How many queries changed by how much", *parts)


def _bars(gains: Floats, reach: float) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """[2 · EACH_SIDE + 1] queries: those that lost, the most lost first, those that stayed, those that gained."""
    width = reach / EACH_SIDE
    by = np.clip(np.ceil(np.abs(gains) / width - NOTHING), 1, EACH_SIDE)
    at = np.where(np.abs(gains) > NOTHING, np.sign(gains) * by, 0).astype(np.int64)
    return np.bincount(at + EACH_SIDE, minlength=2 * EACH_SIDE + 1)


def _told(at: int, step: float, count: int) -> str:
    queries = f"{numbers.count(count)} {'query' if count == 1 else 'queries'}"
    if at == 0:
        return f"{queries}: no change"
    low, high = sorted((numbers.change(np.sign(at) * (abs(at) - 1) * step), numbers.change(at * step)))
    return f"{queries}: {low} to {high}"
