"""Where trials run. The search gives orders, and is told what came of them; it knows no more of a place."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from threading import Event
from typing import Protocol

from bluetune_trainer.training.checkpoint import TrialCheckpoint
from bluetune_trainer.training.keeper import TrialFailed
from bluetune_trainer.training.task import TrainingTask
from bluetune_trainer.training.trial import Order, TrialRun, run_trial


@dataclass(frozen=True)
class Failed:
    """A trial that has no quality."""

    message: str


@dataclass(frozen=True)
class Heard:
    """What a place tells of a trial that runs, in the search's own thread."""

    step: Callable[[int, float, int, float], None]
    """(trial, share of its steps that are done, epoch from 1, seconds spent on it)"""
    keep: Callable[[int], None]
    """(trial): its checkpoint's file was written; makes it outlive this machine."""


class Place(Protocol):
    """Where trials run."""

    at_once: int
    """How many of them run at the same time."""

    def run(self, orders: Sequence[Order], heard: Heard) -> Iterator[tuple[Order, TrialRun | Failed]]:
        """Run them, and tell what came of each as soon as it ended. Of a paused one the weights may be left out.

        Raises:
            Stopped: the search's `stop` was set; what runs has a checkpoint, which is kept.
            TrainerError: the run cannot go on.
        """
        ...


class Here:
    """This process: one trial after the other."""

    at_once = 1

    def __init__(self, task: TrainingTask, checkpoint_seconds: float, stop: Event) -> None:
        self._task = task
        self._checkpoint_seconds = checkpoint_seconds
        self._stop = stop

    def run(self, orders: Sequence[Order], heard: Heard) -> Iterator[tuple[Order, TrialRun | Failed]]:
        for order in orders:
            yield order, self._one(order, heard)

    def _one(self, order: Order, heard: Heard) -> TrialRun | Failed:
        number = order.number
        return attempt(
            self._task,
            order,
            keep=partial(heard.keep, number),
            checkpoint_seconds=self._checkpoint_seconds,
            on_step=partial(heard.step, number),
            stop=self._stop,
        )


def attempt(
    task: TrainingTask,
    order: Order,
    *,
    keep: Callable[[], None],
    checkpoint_seconds: float,
    on_step: Callable[[float, int, float], None],
    stop: Event,
) -> TrialRun | Failed:
    """Run one trial in this process, as `run_trial` does, but that its failure is an answer."""
    path = order.checkpoint
    try:
        return run_trial(
            task,
            order.params,
            number=order.number,
            plan=order.plan,
            until=order.until,
            checkpoint=None if path is None else TrialCheckpoint(path, keep, checkpoint_seconds),
            on_step=on_step,
            stop=stop,
        )
    except TrialFailed as error:
        return Failed(str(error))
