"""One trial: train a copy of the start version with some hyperparameters, and keep the best of its validations."""

import gc
import logging
import math
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Event
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, EarlyStopping
from pytorch_lightning.utilities.exceptions import SIGTERMException
from torch.utils.data import DataLoader

from bluetune_api.records import TrialPoint
from bluetune_trainer.errors import Stopped
from bluetune_trainer.training.adapters import Adapters, trained_state
from bluetune_trainer.training.embedder import freeze
from bluetune_trainer.training.history import History
from bluetune_trainer.training.module import EpochBatches, FeatureMaker, FineTuner, OneValidation
from bluetune_trainer.training.params import TrialParams
from bluetune_trainer.training.recording import Recorder
from bluetune_trainer.training.steps import StepPlan, plan_steps
from bluetune_trainer.training.task import TrainingTask

ShouldPrune = Callable[[int, float], bool]
"""(number of the rung from 0, objective there) → whether the trial ends here."""
OnStep = Callable[[float, int], None]
"""(share of the trial's steps that are done, epoch from 1), between steps."""


class TrialFailed(Exception):
    """The trial diverged; it has no quality."""


@dataclass
class TrialRun:
    """What came of a trial."""

    model_state: dict[str, torch.Tensor]
    """The trained weights at the best validation, on the CPU."""
    quality: float
    metrics: dict[str, float]
    epochs: float
    best_epoch: float
    pruned: bool
    rungs: list[float] = field(default_factory=list)
    history: list[TrialPoint] = field(default_factory=list)
    seconds: float = 0.0


def run_trial(
    task: TrainingTask,
    params: TrialParams,
    *,
    number: int,
    prune: ShouldPrune,
    on_step: OnStep,
    stop: Event,
) -> TrialRun:
    """Train. Raises TrialFailed when the loss is not finite, Stopped within a step of `stop` being set."""
    _quiet()
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    begin = time.perf_counter()
    settings = task.settings
    torch.manual_seed(int(np.random.default_rng([settings.seed, number]).integers(2**31)))
    model = task.new_model()
    embedder = freeze(task.table, params.num_fixed_layers, task.caches, bf16=task.bf16, recompute=settings.grad_cache)
    adapters = Adapters(model, settings.lora) if settings.lora is not None else None
    loss = task.new_loss(params)
    features = FeatureMaker(params, task.ranker, is_similarity=settings.is_similarity)
    batcher = task.batcher(params)
    plan = plan_steps(len(batcher.relevant), settings)
    recorder = Recorder(task.accumulators, plan)
    module = FineTuner(
        embedder,
        loss,
        features,
        lambda e: recorder.validated(task.evaluate(e, loss, features), task.evaluate_sample(e)),
        params,
        settings,
        plan,
    )
    keeper = _Keeper(lambda: trained_state(model, adapters), settings.objective, plan, prune, on_step, stop)
    trainer = pl.Trainer(
        accelerator="gpu" if model.device.type == "cuda" else "cpu",
        devices=1,
        # With two threads the backward of a gather adds rows in any order. On a GPU that would cost speed.
        deterministic="warn" if model.device.type == "cpu" else None,
        precision="32-true",  # the embedder casts by itself
        max_epochs=settings.num_epochs,
        val_check_interval=plan.batches_between_validations,
        accumulate_grad_batches=plan.accumulation,
        gradient_clip_val=settings.gradient_clipping,
        gradient_clip_algorithm="norm",
        num_sanity_val_steps=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=str(task.workdir),
        callbacks=[
            recorder,
            keeper,
            EarlyStopping(
                monitor="val_loss",
                mode="min",
                patience=settings.early_stopping.patience,
                min_delta=settings.early_stopping.min_delta,
                check_on_train_epoch_end=False,
            ),
        ],
    )
    batches = EpochBatches(
        lambda random: batcher.epoch(settings.batch_size, random), [settings.seed, number], plan.batches_per_epoch
    )
    try:
        validations = DataLoader(OneValidation(), batch_size=None)
        trainer.fit(module, DataLoader(batches, batch_size=None), validations)
        if keeper.epochs < keeper.epochs_done(trainer):  # the interval does not divide the epoch
            trainer.validate(module, validations, verbose=False)
    except SIGTERMException as error:
        raise Stopped from error
    except torch.OutOfMemoryError as error:
        raise TrialFailed(f"the GPU's memory did not suffice ({error}); lower settings.batchSize") from error
    finally:
        keeper.release()
        if adapters is not None:
            adapters.remove()
        del trainer, module
        free_memory()
    if keeper.best is None:
        raise TrialFailed("no validation took place")
    return TrialRun(
        model_state=keeper.best,
        quality=keeper.metrics[settings.objective],
        metrics=keeper.metrics,
        epochs=keeper.epochs,
        best_epoch=keeper.best_epoch,
        pruned=keeper.pruned,
        rungs=keeper.rungs,
        history=keeper.history.points,
        seconds=time.perf_counter() - begin,
    )


class _Keeper(Callback):
    """Keeps the best weights, ends bad trials at rungs, and lets a stop through between steps."""

    def __init__(
        self,
        state: Callable[[], dict[str, torch.Tensor]],
        objective: str,
        plan: StepPlan,
        prune: ShouldPrune,
        on_step: OnStep,
        stop: Event,
    ) -> None:
        self.best: dict[str, torch.Tensor] | None = None
        self.metrics: dict[str, float] = {}
        self.best_epoch = 0.0
        self.epochs = 0.0
        self.pruned = False
        self.rungs: list[float] = []
        self.history = History()
        self._state: Callable[[], dict[str, torch.Tensor]] | None = state
        self._objective = objective
        self._plan = plan
        self._prune: ShouldPrune | None = prune
        self._on_step: OnStep | None = on_step
        self._stop = stop
        self._validations = 0

    def release(self) -> None:
        """Let go of what belongs to the search."""
        self._prune = self._on_step = self._state = None

    def epochs_done(self, trainer: pl.Trainer) -> float:
        """Epochs that were trained, in batches between them."""
        return round((trainer.fit_loop.epoch_loop.total_batch_idx + 1) / self._plan.batches_per_epoch, 4)

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if self._stop.is_set():
            raise Stopped
        if self._on_step is not None:
            total = self._plan.batches_per_epoch * self._plan.epochs
            self._on_step(trainer.fit_loop.epoch_loop.total_batch_idx / total, trainer.current_epoch + 1)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        loss = outputs["loss"] if isinstance(outputs, dict) else outputs
        if not torch.isfinite(loss):
            raise TrialFailed(f"the loss became {float(loss)} at step {trainer.global_step}; lower items_lr")
        self.history.stepped(float(loss) * self._plan.accumulation / self._plan.weight(batch_idx))

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        if not math.isfinite(metrics["val_loss"]):
            raise TrialFailed(f"val_loss became {metrics['val_loss']} at step {trainer.global_step}; lower items_lr")
        self._validations += 1
        self.epochs = self.epochs_done(trainer)
        value = metrics[self._objective]
        self.history.validated(self.epochs, value, metrics["val_loss"])
        if self.best is None or value > self.metrics[self._objective]:
            self.metrics, self.best_epoch = metrics, self.epochs
            self.best = self._state() if self._state is not None else None
        if self._validations in self._plan.rungs:
            self.rungs.append(self.metrics[self._objective])
            if self._prune is not None and self._prune(len(self.rungs) - 1, self.rungs[-1]):
                self.pruned = True
                trainer.should_stop = True


def free_memory() -> None:
    """Give a finished trial's memory back before the next one begins."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _quiet() -> None:
    """Lightning's banners say nothing to a user of the trainer."""
    for name in ("pytorch_lightning", "lightning.pytorch", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"pytorch_lightning\..*")
