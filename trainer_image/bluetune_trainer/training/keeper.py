"""What watches a trial while it trains: keeps its best weights, pauses it at rungs, and writes its checkpoints."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from threading import Event
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback

from bluetune_api.records import TrialPoint
from bluetune_trainer.errors import Stopped
from bluetune_trainer.training.checkpoint import TrialCheckpoint
from bluetune_trainer.training.history import History
from bluetune_trainer.training.ranks import told
from bluetune_trainer.training.steps import StepPlan

OnStep = Callable[[float, int, float], None]
"""(share of the trial's steps that are done, epoch from 1, seconds spent on the trial), between steps."""
MAX_TIME_FOR_CHECKPOINTS = 0.05
"""Share of the time that checkpoints may take which nothing but the time asks for."""


class TrialFailed(Exception):
    """The trial diverged or collapsed; it has no quality."""


class Paused(Exception):
    """The trial reached the rung up to which it was to run; its checkpoint is written."""


@dataclass
class Best:
    """The best planned validation so far; before the first of them, the last rung.

    A rung compares a trial with others that are as far. It is no validation: the luckiest of several early looks would
    be kept instead of the weights that learned most.
    """

    metrics: dict[str, float]
    epoch: float
    batches: int
    """Fed before it."""
    weights: dict[str, torch.Tensor]
    """What is trained, on the CPU."""
    planned: bool = True


class Keeper(Callback):
    """Stands behind EarlyStopping in the list of callbacks, whose state after a validation it saves.

    Args:
        weights: copies of what is trained, by its name in the plain model, on the CPU.
        objective: metric that trials are judged by.
        plan: how the trial is cut.
        plain: whether `weights` are what the module trains, as it is; not with adapters, and not on the way to it.
        until: rung at which the trial pauses.
        evaluate: a validation beside the planned ones, for a rung.
        checkpoint: where the state goes.
        on_step: told between steps.
        stop: asks to leave.
    """

    def __init__(
        self,
        weights: Callable[[], dict[str, torch.Tensor]],
        objective: str,
        plan: StepPlan,
        *,
        plain: bool,
        until: int | None,
        evaluate: Callable[[], dict[str, float]],
        checkpoint: TrialCheckpoint | None,
        on_step: OnStep,
        stop: Event,
    ) -> None:
        self.best: Best | None = None
        self.epochs = 0.0
        self.rungs: list[float] = []
        self.history = History()
        self.batches = 0
        """Fed so far, by all processes."""
        self._weights: Callable[[], dict[str, torch.Tensor]] | None = weights
        self._plain = plain
        self._objective = objective
        self._plan = plan
        self._until = until
        self._evaluate: Callable[[], dict[str, float]] | None = evaluate
        self._checkpoint = checkpoint
        self._on_step: OnStep | None = on_step
        self._stop = stop
        self._seconds_before = 0.0
        self._began = self._saved = time.monotonic()
        self._cost = 0.0
        self._random: dict[str, torch.Tensor] | None = None

    @property
    def epochs_fed(self) -> float:
        """Epochs that were trained; `epochs` is what of it was validated."""
        return round(self.batches / self._plan.batches_per_epoch, 4)

    @property
    def seconds(self) -> float:
        """Spent on this trial by all processes that worked on it, as far as checkpoints tell."""
        return self._seconds_before + time.monotonic() - self._began

    def release(self) -> None:
        """Let go of what belongs to the search."""
        self._evaluate = self._on_step = self._checkpoint = self._weights = None

    def state_dict(self) -> dict[str, Any]:
        """Weights that were the best just now are those of the model, and not kept twice."""
        best = self.best
        random = {"cpu": torch.get_rng_state()}
        if torch.cuda.is_available():
            random["cuda"] = torch.cuda.get_rng_state()
        return {
            "batches": self.batches,
            "epochs": self.epochs,
            "rungs": self.rungs,
            "seconds": self.seconds,
            "points": [point.wire() for point in self.history.points],
            "losses": torch.tensor(self.history.losses, dtype=torch.float64),
            "random": random,
            "best": best
            and {
                "metrics": best.metrics,
                "epoch": best.epoch,
                "batches": best.batches,
                "planned": best.planned,
                "weights": None if self._plain and best.batches == self.batches else best.weights,
            },
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Everything but the best weights, if those are the model's own."""
        self.batches = state_dict["batches"]
        self.epochs = state_dict["epochs"]
        self.rungs = state_dict["rungs"]
        self._seconds_before = state_dict["seconds"]
        self.history.points = [TrialPoint.model_validate(point) for point in state_dict["points"]]
        self.history.losses = state_dict["losses"].tolist()
        self._random = state_dict["random"]

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        self.best = best_in(checkpoint)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self._random is not None:  # what came since, such as the loaders' seeds, came in the first process, too
            torch.set_rng_state(self._random["cpu"])
            if "cuda" in self._random and torch.cuda.is_available():
                torch.cuda.set_rng_state(self._random["cuda"])

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if self._on_step is not None:
            self._on_step(self.batches / self._plan.batches, trainer.current_epoch + 1, self.seconds)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        loss = outputs["loss"] if isinstance(outputs, dict) else outputs
        if not torch.isfinite(loss):
            raise TrialFailed(f"the loss became {float(loss)} at step {trainer.global_step}; lower items_lr")
        self.history.stepped(float(loss) * self._plan.accumulation / self._plan.weight(batch_idx))
        self.batches = trainer.current_epoch * self._plan.batches_per_epoch + batch_idx + 1
        if self._plan.validates_after(batch_idx + 1) or not self._plan.pausable(self.batches):
            if self._stop.is_set():  # a validation may take long, and the checkpoint before will do
                raise Stopped
            return
        if self._at_rung() and self._evaluate is not None:
            self._take(self._evaluate(), trainer, planned=False)
        self._maybe_leave(trainer)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._take({name: float(value) for name, value in trainer.callback_metrics.items()}, trainer, planned=True)
        if self._plan.pausable(self.batches) and not trainer.should_stop:
            self._maybe_leave(trainer)

    def _take(self, metrics: dict[str, float], trainer: pl.Trainer, *, planned: bool) -> None:
        """Metrics of the weights as they are now."""
        if not math.isfinite(metrics["val_loss"]):
            raise TrialFailed(f"val_loss became {metrics['val_loss']} at step {trainer.global_step}; lower items_lr")
        self.epochs = self.epochs_fed
        value = metrics[self._objective]
        self.history.validated(self.epochs, value, metrics["val_loss"])
        if self._weights is not None and self._is_best(value, planned=planned):
            self.best = Best(metrics, self.epochs, self.batches, self._weights(), planned)
        if self._at_rung():
            self.rungs.append(value)

    def _is_best(self, value: float, *, planned: bool) -> bool:
        if self.best is None or not self.best.planned:
            return True
        return planned and value > self.best.metrics[self._objective]

    def _at_rung(self) -> bool:
        return len(self.rungs) < len(self._plan.rungs) and self.batches == self._plan.rungs[len(self.rungs)]

    def _maybe_leave(self, trainer: pl.Trainer) -> None:
        paused = self._until is not None and len(self.rungs) > self._until
        stop, due = told((self._stop.is_set(), self._due()))
        if paused or stop or due:
            self._save(trainer)
        if paused:
            raise Paused
        if stop:
            raise Stopped

    def _due(self) -> bool:
        if self._checkpoint is None or not self._checkpoint.seconds:
            return self._checkpoint is not None
        return time.monotonic() - self._saved >= max(self._checkpoint.seconds, self._cost / MAX_TIME_FOR_CHECKPOINTS)

    def _save(self, trainer: pl.Trainer) -> None:
        if self._checkpoint is None:
            return
        begin = time.monotonic()
        trainer.save_checkpoint(self._checkpoint.path)
        if trainer.is_global_zero:
            self._checkpoint.keep()
        self._saved = time.monotonic()
        self._cost = self._saved - begin


def best_in(checkpoint: Mapping[str, Any]) -> Best | None:
    """The best validation that a checkpoint knows of."""
    stored = checkpoint["callbacks"][Keeper.__qualname__]["best"]
    if stored is None:
        return None
    weights = stored["weights"]
    if weights is None:
        prefix = "model."
        weights = {n.removeprefix(prefix): w for n, w in checkpoint["state_dict"].items() if n.startswith(prefix)}
    weights = {n: w.cpu().clone() for n, w in weights.items()}
    return Best(stored["metrics"], stored["epoch"], stored["batches"], weights, stored["planned"])
