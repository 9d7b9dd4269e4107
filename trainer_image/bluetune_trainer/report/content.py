"""What a report says, as plain data: the run's records, and what is counted from its sessions. Pure."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bluetune_api.records import CheckReport, GateReport, Manifest, Plan, Trial
from bluetune_trainer.data.types import Split
from bluetune_trainer.search.evidence import Evidence
from bluetune_trainer.training.cutting import CutTexts

MAX_POSITIONS = 20


@dataclass(frozen=True)
class Positions:
    """How often a result was shown and clicked, by the position at which it was shown, from 1."""

    shown: NDArray[np.int64]
    """[n, at most 20]"""
    clicked: NDArray[np.int64]
    """The same length."""
    deeper_shown: int = 0
    """Beyond the last of these positions."""
    deeper_clicked: int = 0


@dataclass(frozen=True)
class Stage:
    """A part of the run, in the attempt that finished it."""

    name: str
    seconds: float


@dataclass(frozen=True)
class RunFacts:
    """All that is known of a finished run."""

    plan: Plan
    check: CheckReport
    objective: str
    """Metric that trials were judged by."""
    trials: Sequence[Trial]
    """All finished ones, by number."""
    best: Trial
    baseline: dict[str, float]
    """The start version on the validation sessions."""
    gate: GateReport | None
    evidence: Evidence | None
    """Queries of the gate; of the validation sessions where the gate had none."""
    texts: Sequence[str]
    """The catalogue's, which the evidence points into."""
    positions: Positions
    split_sizes: tuple[int, int, int]
    """Sessions for training, validation and gate."""
    informative: tuple[int, int]
    """Validation and gate sessions in which one result was clicked and another was not."""
    cut: CutTexts | None
    """Items that are longer than the model's window; None where they are no texts, or are split."""
    version: str
    uri: str
    digest: str
    manifest: Manifest
    stages: Sequence[Stage] = field(default_factory=list)
    left_out: int = 0
    """Sessions of judged queries, which nothing was trained or chosen by."""
    named: Collection[str] = frozenset()
    """Parameters that method, task or plugin name; the preset gave the others."""


def click_positions(split: Split) -> Positions:
    """Count over all sessions of a split."""
    shown, clicked = np.zeros(0, np.int64), np.zeros(0, np.int64)
    for part in (split.train, split.validation, split.gate):
        ranks = part.places()
        shown = _add(shown, np.bincount(ranks))
        clicked = _add(clicked, np.bincount(ranks[part.clicked]))
    clicked = _add(clicked, np.zeros(len(shown), np.int64))
    return Positions(
        shown[:MAX_POSITIONS],
        clicked[:MAX_POSITIONS],
        int(shown[MAX_POSITIONS:].sum()),
        int(clicked[MAX_POSITIONS:].sum()),
    )


def _add(one: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.int64]:
    total = np.zeros(max(len(one), len(other)), np.int64)
    total[: len(one)] += one
    total[: len(other)] += other
    return total
