"""A worker process of a search: it prepares the task for itself, and runs one trial after the other.

It is told what to do, and knows nothing of who tells it, nor of the store: its checkpoints are files, which the first
process keeps.
"""

import os
import pickle
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event

import torch

from bluetune_trainer.errors import Crashed, as_trainer_error
from bluetune_trainer.plugin.blame import blaming
from bluetune_trainer.search.place import Failed, attempt
from bluetune_trainer.training.companions import Preparation
from bluetune_trainer.training.task import TrainingTask, prepare
from bluetune_trainer.training.trial import Order, TrialRun


@dataclass(frozen=True)
class Ending:
    """Why a worker cannot go on, in plain data."""

    exit_code: int
    reason: str
    message: str
    details: str
    """Stack trace of what nobody foresaw; else empty."""


@dataclass(frozen=True)
class Seen:
    """How far a worker is with a trial."""

    trial: int = -1
    share: float = 0.0
    epoch: int = 1
    seconds: float = 0.0
    checkpoints: int = 0
    """That were written in this run of the trial."""


@dataclass(frozen=True)
class Reply:
    """What came of an order: one of the two is there."""

    came: TrialRun | Failed | None
    ending: Ending | None
    seen: Seen


class TrialWorker:
    """Its methods are called one after the other, but `look` and `leave`, which another thread calls.

    Args:
        path: where modules are found, a plugin's among them.
        threads: to compute with.
    """

    def __init__(self, path: Sequence[str], threads: int) -> None:
        sys.path[:] = path
        self._threads = threads
        self._stop = Event()
        self._seen = Seen()
        self._task: TrainingTask | None = None
        self._begin: Preparation | None = None
        self._checkpoint_seconds = 0.0
        self._ending: Ending | None = None

    def ready(self) -> int:
        """The process's id."""
        return os.getpid()

    def prepare(self, begin: bytes, workdir: Path, checkpoint_seconds: float) -> None:
        """Prepare the task; what goes wrong is the answer to the next order.

        Args:
            begin: a pickled Preparation. It comes from the process that started this one.
            workdir: scratch space of this worker alone.
            checkpoint_seconds: least time between two checkpoints within a trial.
        """
        self._checkpoint_seconds = checkpoint_seconds
        torch.set_num_threads(self._threads)
        try:
            workdir.mkdir(parents=True, exist_ok=True)
            preparation = pickle.loads(begin)  # noqa: S301 - of the process that started this one, in memory
            assert isinstance(preparation, Preparation)  # noqa: S101
            self._begin = replace(preparation, workdir=workdir)
            with blaming(self._begin.plugin, *self._begin.parts.user_code):
                self._task = prepare(
                    self._begin.start_folder,
                    self._begin.catalogue,
                    self._begin.split,
                    self._begin.settings,
                    self._begin.parts,
                    workdir,
                    lambda: None,
                )
        except Exception as error:
            self._ending = _ending(error)

    def run(self, order: Order) -> Reply:
        """Run a trial. Of a paused one the weights stay in its checkpoint."""
        torch.set_num_threads(self._threads)
        self._seen = Seen(order.number)
        if self._task is None or self._begin is None or self._ending is not None:
            assert self._ending is not None  # noqa: S101 - what prevented the task is known
            return Reply(None, self._ending, self._seen)
        try:
            with blaming(self._begin.plugin, *self._begin.parts.user_code):
                came = attempt(
                    self._task,
                    order,
                    keep=self._kept,
                    checkpoint_seconds=self._checkpoint_seconds,
                    on_step=self._stepped,
                    stop=self._stop,
                )
        except Exception as error:
            return Reply(None, _ending(error), self._seen)
        if isinstance(came, TrialRun) and came.paused:
            came = replace(came, model_state={})
        return Reply(came, None, self._seen)

    def look(self) -> Seen:
        """How far it is."""
        return self._seen

    def leave(self) -> None:
        """Ask it to leave the trial with a checkpoint."""
        self._stop.set()

    def _stepped(self, share: float, epoch: int, spent: float) -> None:
        self._seen = replace(self._seen, share=share, epoch=epoch, seconds=spent)

    def _kept(self) -> None:
        self._seen = replace(self._seen, checkpoints=self._seen.checkpoints + 1)


def _ending(error: Exception) -> Ending:
    ending = as_trainer_error(error)
    details = "".join(traceback.format_exception(error)) if isinstance(ending, Crashed) else ""
    return Ending(int(ending.exit_code), ending.reason, ending.message, details)
