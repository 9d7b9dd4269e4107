"""Where the lines of plots lie. Templates draw them."""

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bluetune.core.page.words import MINUS, Tone, gain, metric
from bluetune_api.records import GateReport, JudgeName, Trial

WIDTH = 360.0
"""Drawn for a phone; wider columns scale it."""
ROW = 44.0
CURVES_HEIGHT = 220.0
MAX_CURVES = 60
"""Trials that are drawn: the best ones of more."""
JUDGES: dict[JudgeName, str] = {
    "Local": "clicks, local judge",
    "Symmetric": "clicks, symmetric judge",
    "People": "people's judgments",
}


@dataclass(frozen=True)
class Scale:
    """Maps [low, high] to [begin, end]; a range of no width lies in the middle."""

    low: float
    high: float
    begin: float
    end: float

    def __call__(self, value: float) -> float:
        if self.high == self.low:
            return round((self.begin + self.end) / 2, 1)
        return round(self.begin + (value - self.low) / (self.high - self.low) * (self.end - self.begin), 1)


@dataclass(frozen=True)
class Mark:
    """A place on an axis."""

    at: float
    told: str
    zero: bool = False


@dataclass(frozen=True)
class Whisker:
    """An interval."""

    name: str
    y: float
    low: float
    middle: float
    high: float
    gain: str
    told: str
    """The gain with its interval."""
    tone: Tone


@dataclass(frozen=True)
class Intervals:
    """The gate's evidence: a whisker for each judge, around zero and around what is asked for."""

    height: float
    marks: tuple[Mark, ...]
    asked: float | None
    """Where minDelta is, unless it is zero."""
    whiskers: tuple[Whisker, ...]
    words: str
    """The same for whoever does not see it."""


def intervals(report: GateReport, asked: float) -> Intervals | None:
    """None where the trainer gave no interval."""
    rows = [(JUDGES.get(j.name, j.name), j.low, j.delta, j.high) for j in report.judges]
    if report.low is not None and report.high is not None and len(rows) != 1:
        rows.append(("together", report.low, report.delta, report.high))
    if not rows:
        return None
    x = Scale(*padded([0.0, asked, *(v for _, *values in rows for v in values)]), 8.0, WIDTH - 12.0)
    whiskers = tuple(
        Whisker(
            name,
            number * ROW + 32,
            x(low),
            x(middle),
            x(high),
            gain(middle),
            f"{gain(middle)}, from {gain(low)} to {gain(high)}",
            "good" if low > asked else "bad" if middle <= asked else "quiet",
        )
        for number, (name, low, middle, high) in enumerate(rows)
    )
    words = "; ".join(f"{whisker.name}: {whisker.told}" for whisker in whiskers)
    marks = _marks(x, 5, signed=True)
    return Intervals(len(rows) * ROW + 48, marks, x(asked) if asked else None, whiskers, words)


@dataclass(frozen=True)
class Curve:
    """A trial's line."""

    points: str
    dots: tuple[tuple[float, float], ...]
    told: str
    kind: str
    """best, pruned or other."""


@dataclass(frozen=True)
class Curves:
    """The objective over the epochs, a line for each trial."""

    height: float
    across: tuple[Mark, ...]
    up: tuple[Mark, ...]
    lines: tuple[Curve, ...]
    words: str


def curves(trials: Iterable[Trial], best: int | None) -> Curves | None:
    """None where no trial has a validation yet. The best trial's line is drawn last, above all others."""
    having = sorted((trial for trial in trials if trial.history), key=Trial.rank)[:MAX_CURVES]
    if not having:
        return None
    values = [point.quality for trial in having for point in trial.history]
    x = Scale(0, max(point.epoch for trial in having for point in trial.history), 46.0, WIDTH - 10.0)
    y = Scale(*padded(values), CURVES_HEIGHT - 40, 12.0)
    lines = [_curve(trial, x, y, trial.trial == best) for trial in having]
    lines.sort(key=lambda line: line.kind == "best")
    top = next((trial for trial in having if trial.trial == best), having[0])
    words = f"{len(having)} trials; the best is trial {top.trial} with {metric(top.quality or 0.0)}"
    return Curves(CURVES_HEIGHT, _marks(x, 6), _marks(y, 5), tuple(lines), words)


def _curve(trial: Trial, x: Scale, y: Scale, best: bool) -> Curve:
    places = tuple((x(point.epoch), y(point.quality)) for point in trial.history)
    kind = "best" if best else "pruned" if trial.pruned else "other"
    told = f"trial {trial.trial}: {metric(trial.history[-1].quality)} at epoch {trial.history[-1].epoch:g}"
    dots = places if best or len(places) == 1 else ()
    return Curve(" ".join(f"{px:g},{py:g}" for px, py in places), dots, told, kind)


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round numbers in [low, high], 1, 2 or 5 times a power of ten apart, at most `most` of them."""
    if high <= low:
        return [low]
    step = 10 ** math.floor(math.log10((high - low) / most))
    for factor in (1, 2, 5, 10, 20, 50):
        first, last = math.ceil(low / (step * factor) - 1e-9), math.floor(high / (step * factor) + 1e-9)
        if last - first + 1 <= most:
            return [round(n * step * factor, 12) for n in range(first, last + 1)]
    return [low, high]


def padded(values: Sequence[float], share: float = 0.06) -> tuple[float, float]:
    """Least and greatest, with some room."""
    low, high = min(values), max(values)
    room = (high - low) * share or abs(high) * 0.02 or 1.0
    return low - room, high + room


def _marks(scale: Scale, most: int, *, signed: bool = False) -> tuple[Mark, ...]:
    values = ticks(scale.low, scale.high, most)
    gaps = [b - a for a, b in itertools.pairwise(values) if b > a]
    decimals = max(0, -math.floor(math.log10(min(gaps)) + 1e-9)) if gaps else 3
    told = [f"{value + 0.0:{'+' if signed and value > 0 else ''}.{decimals}f}".replace("-", MINUS) for value in values]
    return tuple(Mark(scale(value), text, value == 0) for value, text in zip(values, told, strict=True))
