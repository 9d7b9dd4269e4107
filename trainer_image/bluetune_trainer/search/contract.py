"""What the search asks of its surroundings, and what it gives back. Kept apart, so that reading it needs no torch."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from bluetune_api.records import Progress, Trial
from bluetune_trainer.data.types import Sessions
from bluetune_trainer.search.comparison import Comparison
from bluetune_trainer.training.cutting import CutTexts

ReportProgress = Callable[[Progress], None]
"""Called between steps. `percent` and `eta_seconds` are of the search alone; the caller fits them into the run."""


class TrialLog(Protocol):
    """Where trials outlive the process: `runs/<uid>/trials`, `rungs`, `checkpoints` and `best`."""

    def finished(self) -> list[Trial]:
        """All trials that ended, in any order."""
        ...

    def record(self, trial: Trial, model: Path | None) -> None:
        """Write a finished trial down, once. A trial that was recorded before stays as it is.

        `model` is the folder of its model if it is the best so far; it must be stored complete before the trial
        itself is, so that the best recorded trial always has a model. Its checkpoint may be removed after that.
        """
        ...

    def fetch_best(self, trial: int, into: Path) -> None:
        """Put the stored model of that trial (the best of the finished ones) into the folder `into`."""
        ...

    def waiting(self) -> list[Trial]:
        """Every trial that did not end, as it was at the last rung it reached; those that reached one."""
        ...

    def record_rung(self, trial: Trial) -> None:
        """Write down, once, how a trial stood at the last of its `rungs`."""
        ...

    def keep_checkpoint(self, trial: int, path: Path) -> None:
        """Store the state of a running trial in place of the one before, whole or not at all."""
        ...

    def fetch_checkpoint(self, trial: int, path: Path) -> None:
        """Put the stored state of a trial into a file; no file if there is none."""
        ...


class FoldLog(Protocol):
    """Where comparisons of folds outlive the process: `runs/<uid>/folds`."""

    def fetch_fold(self, number: int) -> bytes | None:
        """What was stored of a fold; None if nothing was."""
        ...

    def record_fold(self, number: int, content: bytes) -> None:
        """Store what a fold came to, once."""
        ...


@dataclass(frozen=True)
class CrossFit:
    """Asks a search to judge the parameters that it chose on all training queries, fold by fold."""

    folds: int
    """How many trainings that is; two at least."""
    compare: Callable[[Path, Sessions], Comparison | None]
    """The model in a folder against the live version, on these sessions; None if none of them says anything."""
    log: FoldLog
    on_step: Callable[[float], None]
    """Told what share of all folds is done."""

    @property
    def trainings(self) -> float:
        """Full trainings that the folds take: each leaves out its share of the sessions."""
        return self.folds - 1


@dataclass(frozen=True)
class Candidate:
    """Parameters to be tried in place of a search."""

    params: dict[str, object]
    origin: str
    """The version whose they are."""


@dataclass(frozen=True)
class SearchOutcome:
    """How a search ended."""

    best: Trial
    """Trial with the highest quality; it may be worse than the baseline, which is for the gate to judge."""
    model_folder: Path
    """Its model in the sentence-transformers layout."""
    baseline: dict[str, float]
    """Metrics of the start version on the validation sessions."""
    trials: list[Trial]
    """All finished trials by number."""
    dimension: int
    """Dimension of the vectors."""
    query_prompt: str
    """Put before each query."""
    item_prompt: str
    """Put before each item."""
    cut: CutTexts | None = None
    """Items that are longer than the model's window; None where they are no texts, or are split."""
    comparison: Comparison | None = None
    """The folds against the live version, where the search was asked to cross-fit."""
