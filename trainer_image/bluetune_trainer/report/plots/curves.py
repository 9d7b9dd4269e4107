"""Learning curves: one picture a quantity, one line a trial."""

from collections.abc import Callable, Sequence

from markupsafe import Markup

from bluetune_api.records import Trial, TrialPoint
from bluetune_trainer.report import numbers
from bluetune_trainer.report.plots.scale import Scale, padded, tick_labels, ticks
from bluetune_trainer.report.plots.svg import WIDTH, el, figure, line, path, text
from bluetune_trainer.report.trials import state

Quantity = Callable[[TrialPoint], float | None]
HEIGHT = 230.0


def curves(
    trials: Sequence[Trial], best: int, title: str, quantity: Quantity, reference: float | None = None
) -> Markup:
    """A quantity over the epochs.

    Args:
        reference: a level to compare with; it is also where lines begin, at epoch 0.
    """
    lines = [(trial, _points(trial, quantity, reference)) for trial in trials]
    lines = [(trial, points) for trial, points in lines if points]
    if not lines:
        return Markup("")
    values = [value for _, points in lines for _, value in points]
    left, right, top, bottom = 46.0, WIDTH - 10.0, 26.0, HEIGHT - 40
    x = Scale(0, max(epoch for _, points in lines for epoch, _ in points), left, right)
    y = Scale(*padded(values if reference is None else [*values, reference]), bottom, top)
    parts: list[Markup] = [text(0, 12, title, "label strong")]
    marks = ticks(y.low, y.high, 5)
    for mark, told in zip(marks, tick_labels(marks), strict=True):
        parts += [line(left, y(mark), right, y(mark), "grid"), text(left - 6, y(mark) + 4, told, anchor="end")]
    across = ticks(0, x.high, 6)
    for mark, told in zip(across, tick_labels(across), strict=True):
        parts.append(text(x(mark), bottom + 15, told, anchor="middle"))
    parts.append(line(left, bottom, right, bottom, "axis"))
    parts.append(text((left + right) / 2, HEIGHT - 6, "epochs", "label", "middle"))
    if reference is not None:
        parts.append(line(left, y(reference), right, y(reference), "reference"))
    for trial, points in sorted(lines, key=lambda pair: pair[0].trial == best):
        drawn = [(x(epoch), y(value)) for epoch, value in points]
        last = points[-1][1]
        told = f"trial {trial.trial}: {title} {numbers.number(last)} at the end"
        dots = [el("circle", cx=round(px, 1), cy=round(py, 1), r=2.4) for px, py in drawn] if len(drawn) <= 12 else []
        kind = f"trial {state(trial, best)}"
        parts.append(el("g", el("title", told), el("path", d=path(drawn)), *dots, class_=kind, data_trial=trial.trial))
    return figure(WIDTH, HEIGHT, f"{title} over the epochs, one line for each trial", *parts)


def _points(trial: Trial, quantity: Quantity, start: float | None) -> list[tuple[float, float]]:
    points = [(point.epoch, quantity(point)) for point in trial.history]
    found = [(epoch, value) for epoch, value in points if value is not None]
    return [(0.0, start), *found] if found and start is not None else found
