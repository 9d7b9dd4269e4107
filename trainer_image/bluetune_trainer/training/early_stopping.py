"""When a trial gives up before its last epoch: which metric is watched, and what comes of one that there is not."""

import logging
from collections.abc import Collection, Iterable
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning import callbacks

from bluetune_api.method import EarlyStopping
from bluetune_trainer.plugin.loading import alternatives
from bluetune_trainer.ranking.accumulators import MetricsAccumulator, MetricValue
from bluetune_trainer.ranking.metrics import VAL_LOSS

log = logging.getLogger(__name__)


def mode_of(settings: EarlyStopping) -> str:
    """Whether less or more of the metric is better; where nobody says, a loss is to fall and all else to rise."""
    return settings.mode or ("min" if settings.monitor.endswith("loss") else "max")


def known_metrics(of_start: Iterable[str], accumulators: Iterable[MetricsAccumulator]) -> set[str]:
    """Names that a validation may report: those of the start version, losses, and what accumulators make of them."""
    followed = (a.fresh().accumulate(MetricValue(a.name, 0.0)) for a in accumulators)
    return {*of_start, VAL_LOSS, "loss", *(name for pairs in followed for name, _ in pairs)}


def problem_with(settings: EarlyStopping, known: Collection[str]) -> str | None:
    """Why the metric cannot be monitored, or None if it can."""
    if settings.monitor in known:
        return None
    return (
        f"settings.earlyStopping.monitor: no validation reports {settings.monitor!r};"
        f" {alternatives(settings.monitor, known)}"
    )


class EarlyStop(callbacks.EarlyStopping):
    """Lightning's, as the settings have it. Its `verbose` speaks in the trainer's log."""

    def __init__(self, settings: EarlyStopping) -> None:
        super().__init__(
            monitor=settings.monitor,
            mode=mode_of(settings),
            patience=settings.patience,
            min_delta=settings.min_delta,
            strict=False,  # a metric that is missing is judged where a trial can fail with its name
            verbose=False,
            check_on_train_epoch_end=False,
        )
        self._speaks = settings.verbose

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        super().on_validation_end(trainer, pl_module)
        if not self._speaks:
            return
        facts: dict[str, Any] = {"monitor": self.monitor, "best": float(self.best_score), "without": self.wait_count}
        log.info("trial stops early" if trainer.should_stop else "validations without improvement", extra=facts)
