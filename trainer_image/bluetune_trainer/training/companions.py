"""What the processes beside the first one do: prepare the same task, and run the trials that the first one runs."""

import math
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event

from bluetune_trainer.data.types import Catalogue, Split
from bluetune_trainer.training.checkpoint import TrialCheckpoint
from bluetune_trainer.training.params import TrainingSettings
from bluetune_trainer.training.parts import Parts
from bluetune_trainer.training.ranks import rank, told
from bluetune_trainer.training.task import prepare
from bluetune_trainer.training.trial import TrialFailed, run_trial


@dataclass(frozen=True)
class Preparation:
    """What a task is prepared from."""

    start_folder: Path
    catalogue: Catalogue
    split: Split
    settings: TrainingSettings
    parts: Parts
    workdir: Path


def follow(begin: Preparation) -> None:
    """Run one trial after the other, until rank 0 ends this process. Results are left to rank 0."""
    workdir = begin.workdir / f"rank-{rank()}"
    workdir.mkdir(parents=True, exist_ok=True)
    task = prepare(begin.start_folder, begin.catalogue, begin.split, begin.settings, begin.parts, workdir, lambda: None)
    while True:
        params, number, plan, until, path = told(None)
        with suppress(TrialFailed):  # it fails on all ranks alike, and rank 0 says so
            run_trial(
                task,
                params,
                number=number,
                plan=plan,
                until=until,
                checkpoint=None if path is None else TrialCheckpoint(path, lambda: None, math.inf),
                on_step=lambda share, epoch, spent: None,
                stop=Event(),
            )
