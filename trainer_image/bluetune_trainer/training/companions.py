"""What the processes beside the first one do: prepare the same task, and run the trials that the first one runs."""

import math
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event

from bluetune_trainer.data.types import Catalogue, Split
from bluetune_trainer.plugin.blame import blaming
from bluetune_trainer.training.checkpoint import TrialCheckpoint
from bluetune_trainer.training.params import TrainingSettings
from bluetune_trainer.training.parts import Parts
from bluetune_trainer.training.ranks import rank
from bluetune_trainer.training.task import prepare
from bluetune_trainer.training.trial import Order, TrialFailed, run_trial


@dataclass(frozen=True)
class Preparation:
    """What a task is prepared from."""

    start_folder: Path
    catalogue: Catalogue
    split: Split
    settings: TrainingSettings
    parts: Parts
    workdir: Path
    plugin: str
    """Its name, for what it raises."""


def follow(begin: Preparation) -> None:
    """Run one trial after the other, until rank 0 says that there is none left. Results are left to rank 0."""
    with blaming(begin.plugin, *begin.parts.user_code):
        _follow(begin)


def _follow(begin: Preparation) -> None:
    workdir = begin.workdir / f"rank-{rank()}"
    workdir.mkdir(parents=True, exist_ok=True)
    task = prepare(begin.start_folder, begin.catalogue, begin.split, begin.settings, begin.parts, workdir, lambda: None)
    while (order := Order.taken()) is not None:
        with suppress(TrialFailed):  # it fails on all ranks alike, and rank 0 says so
            run_trial(
                task if order.fold is None else task.without(order.fold),
                order.params,
                number=order.number,
                plan=order.plan,
                until=order.until,
                checkpoint=None if order.checkpoint is None else TrialCheckpoint(order.checkpoint, _nothing, math.inf),
                on_step=lambda share, epoch, spent: None,
                stop=Event(),
            )


def _nothing() -> None:
    """Rank 0 keeps the checkpoint."""
