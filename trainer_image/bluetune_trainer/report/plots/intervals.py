"""Gains with their intervals, around zero and around what is asked for."""

from collections.abc import Sequence

from markupsafe import Markup

from bluetune_api.records import GateJudge
from bluetune_trainer.report import numbers
from bluetune_trainer.report.decision import JUDGES, tone_of
from bluetune_trainer.report.plots.scale import Scale, padded, tick_labels, ticks
from bluetune_trainer.report.plots.svg import WIDTH, el, figure, line, text

ROW = 44


def intervals(judges: Sequence[GateJudge], asked: float, metric: str) -> Markup:
    """A dot and a whisker for each judge; what is asked for is a dashed line, unless it is zero."""
    if not judges:
        return Markup("")
    left, right, bottom = 8.0, WIDTH - 12.0, len(judges) * ROW + 8.0
    x = Scale(*padded([0.0, asked, *(v for judge in judges for v in (judge.low, judge.high))]), left, right)
    marks = ticks(x.low, x.high, 5)
    parts: list[Markup] = []
    for mark, told in zip(marks, tick_labels(marks), strict=True):
        parts.append(line(x(mark), 4, x(mark), bottom, "axis" if mark == 0 else "grid"))
        parts.append(text(x(mark), bottom + 15, told if mark <= 0 else f"+{told}", anchor="middle"))
    if asked:
        parts.append(line(x(asked), 4, x(asked), bottom, "reference"))
    for i, judge in enumerate(judges):
        y = i * ROW + 32
        tone = tone_of(judge.delta, judge.low, asked)
        told = f"{numbers.change(judge.delta)}, from {numbers.change(judge.low)} to {numbers.change(judge.high)}"
        parts.append(text(left, y - 13, JUDGES[judge.name], "label strong halo"))
        parts.append(text(right, y - 13, numbers.change(judge.delta), f"value {tone}", "end"))
        parts.append(el("title", f"{JUDGES[judge.name]}: {told}"))
        parts.append(line(x(judge.low), y, x(judge.high), y, f"whisker {tone}"))
        parts += [line(x(end), y - 5, x(end), y + 5, f"whisker {tone}") for end in (judge.low, judge.high)]
        parts.append(el("circle", cx=round(x(judge.delta), 1), cy=y, r=5, class_=f"dot {tone}"))
    note = f"gain in {numbers.metric_name(metric)} over the live version"
    parts.append(text((left + right) / 2, bottom + 32, note, "label", "middle"))
    return figure(WIDTH, bottom + 40, "What each judge says, with its interval", *parts)
