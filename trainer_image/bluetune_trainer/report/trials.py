"""The trials as rows of a table and as lines through axes. Pure."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from bluetune_api.records import Trial
from bluetune_trainer.report import numbers

State = Literal["best", "ended", "pruned", "failed"]


@dataclass(frozen=True)
class Row:
    """A trial."""

    number: int
    state: State
    quality: float | None
    delta: float | None
    """Against the start version."""
    epochs: float
    best_epoch: float | None
    seconds: float
    message: str | None
    values: list[object]
    """Values of the parameters that vary, in the order of `varying`."""


def varying(trials: Sequence[Trial]) -> list[str]:
    """Parameters that are not the same in all trials, by name."""
    names = sorted({name for trial in trials for name in trial.params})
    return [name for name in names if len({_key(trial.params.get(name)) for trial in trials}) > 1]


def constant(trials: Sequence[Trial]) -> list[tuple[str, str]]:
    """The other ones, with their value."""
    moving = set(varying(trials))
    first = trials[0].params if trials else {}
    return [(name, numbers.value(first[name])) for name in sorted(first) if name not in moving]


def of_preset(trials: Sequence[Trial], named: Collection[str]) -> list[str]:
    """Parameters that the preset gave, by name; none where they are those of a version's ancestors."""
    return sorted({name for trial in trials if trial.origin is None for name in trial.params} - set(named))


def rows(trials: Sequence[Trial], best: int, baseline: float | None) -> list[Row]:
    """Rows by rank: the best first, failed ones last."""
    names = varying(trials)
    return [
        Row(
            number=trial.trial,
            state=state(trial, best),
            quality=trial.quality,
            delta=None if trial.quality is None or baseline is None else trial.quality - baseline,
            epochs=trial.epochs,
            best_epoch=trial.best_epoch,
            seconds=trial.seconds,
            message=trial.message,
            values=[trial.params.get(name) for name in names],
        )
        for trial in sorted(trials, key=Trial.rank)
    ]


def state(trial: Trial, best: int) -> State:
    """What became of it."""
    if trial.status == "fail":
        return "failed"
    if trial.trial == best:
        return "best"
    return "pruned" if trial.pruned else "ended"


def shade(quality: float | None, qualities: Sequence[float]) -> int:
    """0 to 4: where a quality lies between the worst and the best."""
    if quality is None or not qualities:
        return 0
    low, high = min(qualities), max(qualities)
    return 4 if high == low else min(int(5 * (quality - low) / (high - low)), 4)


def _key(value: object) -> str:
    return f"{type(value).__name__}:{value!r}"
