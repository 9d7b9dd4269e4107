"""Changes with their intervals, around zero."""

from collections.abc import Sequence

from markupsafe import Markup

from bluetune_trainer.report import numbers
from bluetune_trainer.report.comparison import Change, judgement
from bluetune_trainer.report.plots.scale import Scale, padded, tick_labels, ticks
from bluetune_trainer.report.plots.svg import WIDTH, el, figure, line, text

ROW = 44


def intervals(changes: Sequence[Change], confidence: float) -> Markup:
    """A dot and a whisker for each change that has an interval."""
    shown = [c for c in changes if c.low is not None and c.high is not None]
    if not shown:
        return Markup("")
    left, right, bottom = 8.0, WIDTH - 12.0, len(shown) * ROW + 8.0
    x = Scale(*padded([0.0, *(v for c in shown for v in (c.low or 0.0, c.high or 0.0))]), left, right)
    marks = ticks(x.low, x.high, 5)
    parts: list[Markup] = []
    for mark, told in zip(marks, tick_labels(marks), strict=True):
        parts.append(line(x(mark), 4, x(mark), bottom, "axis" if mark == 0 else "grid"))
        parts.append(text(x(mark), bottom + 15, told if mark <= 0 else f"+{told}", anchor="middle"))
    for i, change in enumerate(shown):
        low, high = change.low or 0.0, change.high or 0.0
        y = i * ROW + 32
        tone = judgement(change.delta, low, high)[1]
        parts.append(text(left, y - 13, numbers.metric_name(change.name), "label strong halo"))
        parts.append(text(right, y - 13, numbers.change(change.delta), f"value {tone}", "end"))
        parts.append(line(x(low), y, x(high), y, f"whisker {tone}"))
        parts += [line(x(end), y - 5, x(end), y + 5, f"whisker {tone}") for end in (low, high)]
        parts.append(el("circle", cx=round(x(change.delta), 1), cy=y, r=5, class_=f"dot {tone}"))
    note = f"after minus before, {numbers.percent(confidence)} interval"
    parts.append(text((left + right) / 2, bottom + 32, note, "label", "middle"))
    return figure(WIDTH, bottom + 40, "Changes of the metrics with their intervals", *parts)
