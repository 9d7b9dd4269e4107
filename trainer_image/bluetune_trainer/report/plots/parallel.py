"""Parallel coordinates: an axis a parameter and one for the quality, a line through them a trial."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from bluetune_trainer.report import numbers
from bluetune_trainer.report.plots.scale import Scale, log_ticks, padded, tick_labels, ticks
from bluetune_trainer.report.plots.svg import CHARACTER, WIDTH, el, figure, line, path, text
from bluetune_trainer.report.trials import Row, shade

LOG_FROM = 20
"""Positive values that span a larger ratio get a logarithmic axis."""
WIDE, MAX_UPRIGHT = 860, 7
GAP = 62
Place = Callable[[int, float], tuple[float, float]]
"""(number of an axis, place on it between 0 and 1) → pixels."""


@dataclass(frozen=True)
class Axis:
    """A parameter's values between 0 and 1, and its marks."""

    name: str
    marks: list[tuple[float, str]]
    places: list[float | None]
    """One for each row."""


def axis(name: str, values: Sequence[object]) -> Axis:
    """An axis for the values of a parameter: numeric if all are numbers, else one mark for each different value."""
    given = [value for value in values if value is not None]
    figures = [float(v) for v in given if isinstance(v, int | float) and not isinstance(v, bool)]
    if figures and len(figures) == len(given) and all(map(math.isfinite, figures)):
        return _numeric(name, values, figures)
    names = sorted({numbers.value(value) for value in given})
    scale = Scale(-0.5, len(names) - 0.5, 0, 1)
    place = {told: scale(i) for i, told in enumerate(names)}
    places = [None if value is None else place[numbers.value(value)] for value in values]
    return Axis(name, [(at, told) for told, at in place.items()], places)


def _numeric(name: str, values: Sequence[object], figures: list[float]) -> Axis:
    low, high = min(figures), max(figures)
    log = low > 0 and high / low >= LOG_FROM
    few = sorted(set(figures))
    if log:
        room = (high / low) ** 0.06
        scale = Scale(low / room, high * room, 0, 1, log=True)
        at = few if len(few) <= 4 else log_ticks(scale.low, scale.high)
        told = [numbers.number(value) for value in at]
    else:
        scale = Scale(*padded(figures), 0, 1)
        at = few if len(few) <= 4 else ticks(scale.low, scale.high)
        told = [numbers.number(value) for value in at] if len(few) <= 4 else tick_labels(at)
    places = [scale(float(v)) if isinstance(v, int | float) else None for v in values]
    return Axis(name, _apart([(scale(v), t) for v, t in zip(at, told, strict=True)]), places)


def _apart(marks: list[tuple[float, str]], least: float = 0.13) -> list[tuple[float, str]]:
    kept: list[tuple[float, str]] = []
    for place, told in marks:
        if not kept or place - kept[-1][0] >= least:
            kept.append((place, told))
    return kept


def axes_of(names: Sequence[str], rows: Sequence[Row], objective: str) -> list[Axis]:
    """One for each varying parameter, and the objective last."""
    found = [axis(name, [row.values[i] for row in rows]) for i, name in enumerate(names)]
    return [*found, axis(numbers.metric_name(objective), [row.quality for row in rows])]


def stacked(axes: Sequence[Axis], rows: Sequence[Row], width: float = WIDTH) -> Markup:
    """Axes lie one below the other: for a phone, and for many parameters."""
    left, right = 14.0, width - 14.0
    ys = [28.0 + GAP * i for i in range(len(axes))]
    parts: list[Markup] = []
    for one, y in zip(axes, ys, strict=True):
        parts += [line(left, y, right, y, "axis"), text(0, y - 12, one.name, "label strong halo")]
        for place, told in _fitting(one.marks, right - left):
            x = left + place * (right - left)
            half = len(told) * CHARACTER / 2
            parts.append(line(x, y - 3, x, y + 3, "axis"))
            parts.append(text(min(max(x, half), width - half), y + 15, told, "tick halo", "middle"))
    parts[:0] = _lines(axes, rows, lambda i, place: (left + place * (right - left), ys[i]))
    return figure(width, ys[-1] + 24, "Parameters and quality of the trials", *parts)


def upright(axes: Sequence[Axis], rows: Sequence[Row]) -> Markup:
    """Axes stand side by side: for a wide page and few parameters."""
    top, bottom = 40.0, 300.0
    step = (WIDE - 120) / max(len(axes) - 1, 1)
    xs = [60 + step * i for i in range(len(axes))]
    parts: list[Markup] = []
    for i, (one, x) in enumerate(zip(axes, xs, strict=True)):
        anchor = "start" if i == 0 else "end" if i == len(axes) - 1 else "middle"
        at = {"start": 0.0, "end": float(WIDE), "middle": x}[anchor]
        parts.append(line(x, top, x, bottom, "axis"))
        parts.append(text(at, 14 if i % 2 == 0 or len(axes) <= 4 else 28, one.name, "label strong", anchor))
        for place, told in one.marks:
            y = bottom - place * (bottom - top)
            last = i == len(axes) - 1
            parts.append(line(x - 3, y, x + 3, y, "axis"))
            parts.append(text(x + (8 if last else -8), y + 4, told, "tick halo", "start" if last else "end"))
    parts[:0] = _lines(axes, rows, lambda i, place: (xs[i], bottom - place * (bottom - top)))
    return figure(WIDE, bottom + 12, "Parameters and quality of the trials", *parts)


def _lines(axes: Sequence[Axis], rows: Sequence[Row], at: Place) -> list[Markup]:
    qualities = [row.quality for row in rows if row.quality is not None]
    drawn = []
    for number, row in reversed(list(enumerate(rows))):  # the best one on top
        points = [at(i, place) for i, one in enumerate(axes) if (place := one.places[number]) is not None]
        if not points:
            continue
        quality = "failed" if row.quality is None else f"{axes[-1].name} {numbers.metric(row.quality)}"
        end = points[-1]
        cross = f"M{end[0] - 4:.1f} {end[1] - 4:.1f}l8 8m0 -8l-8 8" if row.state == "failed" else None
        drawn.append(
            el(
                "g",
                el("title", f"trial {row.number}: {quality}"),
                el("path", d=path(points)),
                *([el("path", d=cross, class_="cross")] if cross else []),
                *[el("circle", cx=round(x, 1), cy=round(y, 1), r=2.4) for x, y in points],
                class_=f"trial coordinates {row.state} shade{shade(row.quality, qualities)}",
                data_trial=row.number,
            )
        )
    return drawn


def _fitting(marks: list[tuple[float, str]], width: float) -> list[tuple[float, str]]:
    """Marks whose texts do not touch each other."""
    kept: list[tuple[float, str]] = []
    free = -math.inf
    for place, told in sorted(marks):
        half = len(told) * CHARACTER / 2 + 3
        if place * width - half >= free:
            kept.append((place, told))
            free = place * width + half
    return kept
