"""One trial: train a copy of the start version with some hyperparameters, and keep the best of its validations."""

import gc
import logging
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from pydantic import TypeAdapter
from torch.utils.data import DataLoader

from bluetune_api.records import TrialPoint
from bluetune_trainer.errors import Crashed, Stopped
from bluetune_trainer.ranking.ties import RanksNotFinite
from bluetune_trainer.training.adapters import Adapters, trained_state, trained_weights
from bluetune_trainer.training.checkpoint import SafetensorsIO, TrialCheckpoint, load
from bluetune_trainer.training.early_stopping import EarlyStop, problem_with
from bluetune_trainer.training.embedder import Embedder, freeze
from bluetune_trainer.training.interpolation import Interpolation
from bluetune_trainer.training.keeper import Keeper, OnStep, Paused, TrialFailed, best_in
from bluetune_trainer.training.launch import confirm
from bluetune_trainer.training.module import EpochBatches, FeatureMaker, FineTuner, OneValidation
from bluetune_trainer.training.params import TrialParams
from bluetune_trainer.training.ranks import rank, told, world
from bluetune_trainer.training.recording import Recorder
from bluetune_trainer.training.steps import StepPlan, plan_steps
from bluetune_trainer.training.strategy import trainer_options
from bluetune_trainer.training.task import Collapsed, Fold, TrainingTask

STOP_SECONDS = 5.0
"""Seconds that a step may take after it was asked to stop."""

__all__ = ["Order", "TrialFailed", "TrialRun", "run_trial", "trial_steps"]


@dataclass(frozen=True)
class Order:
    """A trial that rank 0 begins, for the other ranks."""

    params: TrialParams
    number: int
    plan: StepPlan
    until: int | None
    checkpoint: Path | None
    """If the file is there, the trial goes on from it."""
    fold: Fold | None = None
    """What is left out of the training sessions."""

    def tell(self) -> None:
        """Begin it on all ranks."""
        told({**asdict(self), "checkpoint": None if self.checkpoint is None else str(self.checkpoint)})

    @staticmethod
    def taken() -> "Order | None":
        """The next one; None if there is none left."""
        order = told(None)
        return None if order is None else TypeAdapter(Order).validate_python(order)


@dataclass
class TrialRun:
    """What came of a trial, at its end or at the rung where it paused."""

    model_state: dict[str, torch.Tensor]
    """The trained weights at the best validation, on the CPU."""
    quality: float
    metrics: dict[str, float]
    epochs: float
    best_epoch: float
    paused: bool
    rungs: list[float] = field(default_factory=list)
    history: list[TrialPoint] = field(default_factory=list)
    seconds: float = 0.0


def trial_steps(task: TrainingTask, rungs: Sequence[float] = ()) -> StepPlan:
    """How a trial of this task is cut into steps, with rungs at these shares of it."""
    return plan_steps(int(task.train.with_click().sum()), task.settings, rungs)


def run_trial(
    task: TrainingTask,
    params: TrialParams,
    *,
    number: int,
    plan: StepPlan,
    until: int | None = None,
    checkpoint: TrialCheckpoint | None = None,
    on_step: OnStep,
    stop: Event,
) -> TrialRun:
    """Train to the end, or up to rung number `until` of the plan; from the checkpoint on, if there is one.

    Whether a trial was left and gone on with, and how often, changes nothing about what comes of it.

    Raises:
        TrialFailed: the loss or a rank is not finite, the model collapsed, no example was fed, or the metric to monitor
            is not reported.
        Stopped: within a step of `stop` being set, with a checkpoint.
    """
    _quiet()
    state = load(checkpoint.path) if checkpoint is not None else None  # one that cannot be used is gone after this
    if state is not None and until is not None and len(_kept(state)["rungs"]) > until:
        return _as_run(state, task.settings.objective)
    if rank() == 0:
        Order(params, number, plan, until, None if checkpoint is None else checkpoint.path, task.fold).tell()
    try:
        run = _run(task, params, number, plan, until, checkpoint, state, on_step, stop)
    except TrialFailed:
        confirm()
        raise
    finally:
        free_memory()
    confirm()
    return run


def _run(
    task: TrainingTask,
    params: TrialParams,
    number: int,
    plan: StepPlan,
    until: int | None,
    checkpoint: TrialCheckpoint | None,
    state: dict[str, Any] | None,
    on_step: OnStep,
    stop: Event,
) -> TrialRun:
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    settings = task.settings
    torch.manual_seed(int(np.random.default_rng([settings.seed, number]).integers(2**31)))
    model = task.new_model()
    batcher = task.batcher(params)
    embedder = freeze(
        task.table,
        params.num_fixed_layers,
        task.caches,
        task.filling(batcher, Patience(stop)) if params.num_fixed_layers else None,
        bf16=task.bf16,
        recompute=settings.grad_cache,
    )
    adapters = Adapters(model, settings.lora) if settings.lora is not None else None
    loss = task.new_loss(params)
    features = FeatureMaker(params, task.loss_ranker, is_similarity=settings.is_similarity)
    recorder = Recorder(task.accumulators, plan)

    kept = Interpolation(trained_weights(model, adapters), params.interpolation)

    def evaluate(embedder: Embedder) -> dict[str, float]:
        if (problem := module.nothing_was_fed()) is not None:
            raise TrialFailed(problem)
        try:
            with kept:
                found = task.evaluate(embedder, loss, features, params)
                metrics = recorder.validated(found, task.evaluate_sample(embedder))
        except Collapsed as error:
            raise TrialFailed(f"the model collapsed, {error}; lower items_lr") from error
        except RanksNotFinite as error:
            raise TrialFailed(f"{error}; lower items_lr") from error
        missing = problem_with(settings.early_stopping, metrics) if settings.early_stopping.strict else None
        if missing is not None:
            raise TrialFailed(missing)
        return metrics

    def weights() -> dict[str, torch.Tensor]:
        with kept:
            return trained_state(model, adapters)

    module = FineTuner(
        embedder,
        loss,
        features,
        evaluate,
        params,
        settings,
        plan,
    )
    keeper = Keeper(
        weights,
        settings.objective,
        plan,
        until=until,
        plain=adapters is None and params.interpolation == 1,
        evaluate=lambda: evaluate(embedder),
        checkpoint=checkpoint,
        on_step=on_step,
        stop=stop,
    )
    trainer = pl.Trainer(
        accelerator="gpu" if model.device.type == "cuda" else "cpu",
        **trainer_options(),
        # With two threads the backward of a gather adds rows in any order. On a GPU that would cost speed.
        deterministic="warn" if model.device.type == "cpu" else None,
        precision="32-true",  # the embedder casts by itself
        max_epochs=plan.epochs,
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
        plugins=[SafetensorsIO()],
        callbacks=[
            recorder,
            EarlyStop(settings.early_stopping),
            keeper,
        ],
    )
    # Lightning would answer SIGTERM inside of whatever the processes do together; here `stop` asks to leave.
    trainer._signal_connector.register_signal_handlers = lambda: None  # type: ignore[method-assign]
    batches = EpochBatches(
        lambda random: batcher.epoch(settings.batch_size, random, plan.passes),
        [settings.seed, number],
        plan.batches_per_epoch,
        lambda: trainer.current_epoch,
        divmod(_kept(state)["batches"] if state is not None else 0, plan.batches_per_epoch),
    )
    paused = False
    try:
        validations = DataLoader(OneValidation(), batch_size=None)
        trainer.fit(
            module,
            DataLoader(batches, batch_size=None),
            validations,
            ckpt_path=None if state is None or checkpoint is None else checkpoint.path,
        )
        if keeper.epochs < keeper.epochs_fed:  # the interval does not divide the epoch
            trainer.validate(module, validations, verbose=False)
    except Paused:
        paused = True
    except torch.OutOfMemoryError as error:
        problem = f"the GPU's memory did not suffice ({error}); lower settings.batchSize"
        if world() > 1:  # the other ranks are in the middle of a step that this one cannot take
            raise Crashed(problem, reason="OutOfMemory") from error
        raise TrialFailed(problem) from error
    finally:
        keeper.release()
        if adapters is not None:
            adapters.remove()
    if keeper.best is None:
        raise TrialFailed("no validation took place")
    if not paused and all(point.train_loss == 0 for point in keeper.history.points):
        raise TrialFailed(
            "no step had a pair of results to learn from; the ranks' differences lie outside of"
            " min_abs_difference_threshold and max_abs_difference_threshold, or all sessions are clicked throughout"
        )
    return TrialRun(
        model_state=keeper.best.weights,
        quality=keeper.best.metrics[settings.objective],
        metrics=keeper.best.metrics,
        epochs=keeper.epochs,
        best_epoch=keeper.best.epoch,
        paused=paused,
        rungs=keeper.rungs,
        history=keeper.history.points,
        seconds=keeper.seconds,
    )


def _kept(state: Mapping[str, Any]) -> dict[str, Any]:
    kept: dict[str, Any] = state["callbacks"][Keeper.__qualname__]
    return kept


def _as_run(state: Mapping[str, Any], objective: str) -> TrialRun:
    """What a checkpoint at a rung says, without training."""
    kept, best = _kept(state), best_in(state)
    assert best is not None  # noqa: S101 - a rung is reached by an evaluation
    return TrialRun(
        model_state=best.weights,
        quality=best.metrics[objective],
        metrics=best.metrics,
        epochs=kept["epochs"],
        best_epoch=best.epoch,
        paused=True,
        rungs=kept["rungs"],
        history=[TrialPoint.model_validate(point) for point in kept["points"]],
        seconds=kept["seconds"],
    )


class Patience:
    """Gives the current step some seconds to end after `stop` was set: it may compute frozen layers for many texts.

    A step that ends leaves a checkpoint. If the step is broken off, the checkpoint before it remains.
    """

    def __init__(self, stop: Event, seconds: float = STOP_SECONDS) -> None:
        self._stop = stop
        self._seconds = seconds
        self._since: float | None = None

    def __call__(self) -> None:
        if not self._stop.is_set():
            return
        if self._since is None:
            self._since = time.monotonic()
        if time.monotonic() - self._since >= self._seconds:
            raise Stopped


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
