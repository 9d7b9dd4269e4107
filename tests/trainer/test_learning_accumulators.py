"""Metrics that a plugin follows over a trial, on a small random encoder."""

from collections.abc import Sequence
from pathlib import Path
from threading import Event

import numpy as np
import pytest

from bluetune_api.method import Settings
from bluetune_trainer.errors import PluginFailed
from bluetune_trainer.plugin import TextFineTuningMethod
from bluetune_trainer.ranking.accumulators import MetricsAccumulator, MetricValue
from bluetune_trainer.ranking.metrics import LossMetric, MetricCalculator, RankedSessions
from bluetune_trainer.training.params import TrialParams, resolve_settings
from bluetune_trainer.training.parts import choose_parts
from bluetune_trainer.training.task import TrainingTask, prepare
from bluetune_trainer.training.trial import TrialRun, run_trial, trial_steps
from trainer.learning_world import world, write_tiny_encoder

NAMES = [
    f"{side}_{name}"
    for side in ("train", "test")
    for name in ("loss", "not_irrelevant_dist_shift", "irrelevant_dist_shift")
]
AGGREGATES = ("", "mean_", "sliding_", "min_", "max_")


class ShownResults(MetricCalculator):
    """How many results were shown."""

    def __call__(self, sessions: RankedSessions) -> list[MetricValue]:
        return [MetricValue("shown", float(sessions.valid.sum()))]


class Following(TextFineTuningMethod):
    """Follows whatever it is told to."""

    def __init__(self, names: list[str]) -> None:
        self.names = names

    def accumulators(self, settings: Settings) -> Sequence[MetricsAccumulator]:
        return [MetricsAccumulator(name, True, True, True, True) for name in self.names]

    def metrics(self, settings: Settings) -> Sequence[MetricCalculator]:
        return [ShownResults(), LossMetric()]


@pytest.fixture(scope="module")
def tiny(minilm: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_encoder(tmp_path_factory.mktemp("tiny"), minilm)


def task_of(tiny: Path, folder: Path, names: list[str]) -> TrainingTask:
    catalogue, split = world(sessions=80)
    # Every fourth session has no click: what the irrelevant shift speaks of.
    for part in (split.train, split.validation):
        silent = np.arange(len(part)) % 4 == 0
        part.clicked[np.repeat(silent, np.diff(part.offsets))] = False
    settings = Settings(precision="FP32", batch_size=20, num_epochs=4, test_each_n_inputs=0.5)
    parts = choose_parts(settings, Following(names))
    return prepare(tiny, catalogue, split, resolve_settings(settings), parts, folder, lambda: None)


def train(task: TrainingTask) -> TrialRun:
    return run_trial(
        task,
        TrialParams(num_fixed_layers=1, items_lr=3e-3, temperature=0.1),
        number=0,
        plan=trial_steps(task),
        on_step=lambda share, epoch, spent: None,
        stop=Event(),
    )


def test_a_trial_reports_what_the_plugin_follows(tiny: Path, tmp_path: Path) -> None:
    task = task_of(tiny, tmp_path, [*NAMES, "test_ndcg@10", "test_shown"])
    metrics = train(task).metrics
    assert {prefix + name for prefix in AGGREGATES for name in NAMES} <= set(metrics)
    assert metrics["test_loss"] == pytest.approx(metrics["val_loss"])
    assert metrics["loss"] == pytest.approx(metrics["val_loss"])
    assert metrics["test_not_irrelevant_dist_shift"] == pytest.approx(metrics["not_irrelevant_dist_shift"])
    assert metrics["test_irrelevant_dist_shift"] == pytest.approx(metrics["irrelevant_dist_shift"])
    assert metrics["max_test_ndcg@10"] == pytest.approx(metrics["ndcg@10"])  # the best validation is the one kept
    assert metrics["test_shown"] == metrics["shown"] == float(task.validation.valid.sum())
    for name in NAMES:
        assert metrics["min_" + name] <= metrics["mean_" + name] <= metrics["max_" + name]
        assert metrics[name] != 0.0
    assert metrics["train_not_irrelevant_dist_shift"] != pytest.approx(metrics["test_not_irrelevant_dist_shift"])


def test_what_is_followed_changes_nothing_about_the_training(tiny: Path, tmp_path: Path) -> None:
    plain, followed = train(task_of(tiny, tmp_path, [])), train(task_of(tiny, tmp_path, NAMES))
    assert plain.metrics.items() <= followed.metrics.items()
    assert not {name for name in plain.metrics if name.startswith(("train_", "test_", "mean_"))}


def test_a_metric_that_the_run_does_not_have_is_refused_with_a_hint(tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(PluginFailed, match=r"no metric 'test_not_irelevant_dist_shift'; did you mean 'test_not_irr"):
        task_of(tiny, tmp_path, ["test_not_irelevant_dist_shift"])
