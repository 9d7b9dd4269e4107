"""Metrics that a plugin wants followed: fed after each step and validation, part of a trial's metrics."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from bluetune_trainer.errors import PluginFailed
from bluetune_trainer.plugin.loading import alternatives
from bluetune_trainer.ranking.accumulators import MetricsAccumulator, MetricValue
from bluetune_trainer.training.steps import StepPlan

TRAIN, TEST, LOSS = "train_", "test_", "loss"


def wants_training_metrics(accumulators: Iterable[MetricsAccumulator]) -> bool:
    """Whether any follows a metric of training sessions, beside their loss."""
    return any(a.name.startswith(TRAIN) and a.name != TRAIN + LOSS for a in accumulators)


def check_names(accumulators: Iterable[MetricsAccumulator], metrics: Iterable[str]) -> None:
    """Raises PluginFailed for an accumulator of a metric that this run does not compute."""
    known = {side + name for side in (TRAIN, TEST) for name in (*metrics, LOSS)}
    for accumulator in accumulators:
        if accumulator.name not in known:
            raise PluginFailed(
                f"accumulators: this run has no metric {accumulator.name!r}; {alternatives(accumulator.name, known)}"
            )


class Recorder(Callback):
    """One trial's accumulators: `train_loss` after every step; all others after every validation.

    `test_<metric>` is a metric of the validation sessions, and `test_loss` is `val_loss`. `train_<metric>` is one of a
    fixed sample of the training sessions. State and all, it is plain data, so it goes into a trial's checkpoint.
    """

    def __init__(self, accumulators: Sequence[MetricsAccumulator], plan: StepPlan) -> None:
        self._accumulators = [accumulator.fresh() for accumulator in accumulators]
        self._plan = plan

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self._accumulators:
            loss = outputs["loss"] if isinstance(outputs, dict) else outputs
            self._take(TRAIN + LOSS, float(loss) * self._plan.accumulation / self._plan.weight(batch_idx))

    def validated(self, metrics: Mapping[str, float], of_training: Mapping[str, float]) -> dict[str, float]:
        """Take in a validation. Returns its metrics with the aggregates of everything so far."""
        self._take(TEST + LOSS, metrics["val_loss"])
        for prefix, values in ((TEST, metrics), (TRAIN, of_training)):
            for name, value in values.items():
                if name != LOSS:
                    self._take(prefix + name, value)
        return {**metrics, **dict(pair for accumulator in self._accumulators for pair in accumulator.aggregate())}

    def _take(self, name: str, value: float) -> None:
        for accumulator in self._accumulators:
            accumulator.accumulate(MetricValue(name, value))

    def state_dict(self) -> dict[str, Any]:
        return {"accumulators": [accumulator.state() for accumulator in self._accumulators]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        for accumulator, state in zip(self._accumulators, state_dict["accumulators"], strict=True):
            accumulator.restore(state)
