"""Trials on the small world, as tests of the training run them."""

from pathlib import Path
from threading import Event

from bluetune_api.method import Settings
from bluetune_trainer.training.params import TrainingSettings, TrialParams
from bluetune_trainer.training.parts import choose_parts
from bluetune_trainer.training.task import TrainingTask, prepare
from bluetune_trainer.training.trial import TrialRun, run_trial, trial_steps
from trainer.learning_world import world


def prepared(start: Path, workdir: Path, *, sessions: int = 90, **settings: object) -> TrainingTask:
    """The small world with these settings of a trial, in float32, 20 sessions a batch, for an epoch, at one rate."""
    catalogue, split = world(sessions=sessions)
    fixed: dict[str, object] = {
        "precision": "FP32",
        "batch_size": 20,
        "num_epochs": 1,
        "halving": False,
        "warmup": 0.0,
        "gamma": 1.0,
        **settings,
    }
    parts = choose_parts(Settings(loss=fixed.get("loss")))  # type: ignore[arg-type]
    training = TrainingSettings(**fixed)  # type: ignore[arg-type]
    return prepare(start, catalogue, split, training, parts, workdir, lambda: None)


def train(task: TrainingTask, number: int = 0, stop: Event | None = None, **params: object) -> TrialRun:
    """A trial that is never pruned."""
    fixed: dict[str, object] = {"num_fixed_layers": 1, "items_lr": 3e-3, "temperature": 0.1, **params}
    return run_trial(
        task,
        TrialParams(**fixed),  # type: ignore[arg-type]
        number=number,
        plan=trial_steps(task),
        on_step=lambda share, epoch, spent: None,
        stop=stop or Event(),
    )
