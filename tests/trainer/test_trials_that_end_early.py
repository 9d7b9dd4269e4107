"""A trial that stops early by the metric that it was told to, and one that is fed nothing."""

import logging
from collections.abc import Callable
from pathlib import Path
from threading import Event

import pytest
import torch
from torch import Tensor

from bluetune_api.method import Settings
from bluetune_trainer.errors import PlanInvalid
from bluetune_trainer.plugin import TextFineTuningMethod
from bluetune_trainer.training.keeper import TrialFailed
from bluetune_trainer.training.params import TrialParams, resolve_settings
from bluetune_trainer.training.parts import choose_parts
from bluetune_trainer.training.task import prepare
from bluetune_trainer.training.trial import TrialRun, run_trial, trial_steps
from trainer.learning_world import world, write_tiny_encoder

pytestmark = pytest.mark.slow
Train = Callable[..., TrialRun]


@pytest.fixture(scope="module")
def tiny(minilm: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_encoder(tmp_path_factory.mktemp("tiny"), minilm, layers=1)


@pytest.fixture
def train(tiny: Path, tmp_path: Path) -> Train:
    def go(settings: dict[str, object], plugin: TextFineTuningMethod | None = None, **params: object) -> TrialRun:
        catalogue, split = world(sessions=40)
        chosen = Settings(**{"precision": "FP32", "batch_size": 20, **settings})  # type: ignore[arg-type]
        parts = choose_parts(chosen, plugin or TextFineTuningMethod())
        task = prepare(tiny, catalogue, split, resolve_settings(chosen), parts, tmp_path, lambda: None)
        values = {"num_fixed_layers": 0, "items_lr": 1e-4, **params}
        return run_trial(
            task,
            TrialParams(**values),  # type: ignore[arg-type]
            number=0,
            plan=trial_steps(task),
            on_step=lambda share, epoch, spent: None,
            stop=Event(),
        )

    return go


class Unbounded(TextFineTuningMethod):
    """Ranks by a product of a thousand times the vectors: ranks differ by far more than 1."""

    def ranker(self, settings: Settings) -> Callable[[Tensor, Tensor], Tensor]:
        return lambda queries, items: 1e6 * (queries @ items.T)


@pytest.mark.parametrize(("mode", "epochs"), [("max", 3.0), (None, 6.0)])
def test_a_trial_stops_by_the_metric_that_it_monitors(train: Train, mode: str | None, epochs: float) -> None:
    """The loss falls in each epoch, so a trial that wants it to rise waits two validations and ends."""
    run = train({"num_epochs": 6, "early_stopping": {"monitor": "val_loss", "mode": mode, "patience": 2}})
    assert run.epochs == epochs


def test_a_metric_that_there_is_not_ends_the_run_before_anything_is_trained(train: Train) -> None:
    with pytest.raises(PlanInvalid, match=r"monitor: no validation reports 'ndgc@10'; did you mean 'ndcg@10'\?"):
        train({"num_epochs": 1, "early_stopping": {"monitor": "ndgc@10"}})


def test_without_strictness_it_costs_one_warning_and_trials_run_to_their_end(
    train: Train, caplog: pytest.LogCaptureFixture
) -> None:
    run = train({"num_epochs": 2, "early_stopping": {"monitor": "ndgc@10", "strict": False, "patience": 1}})
    assert run.epochs == 2
    warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert [record.message for record in warnings] == ["no trial stops early"]


def test_verbose_says_how_the_metric_stands(train: Train, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "bluetune_trainer")
    train({"num_epochs": 2, "early_stopping": {"verbose": True}})
    said = [record for record in caplog.records if record.message == "validations without improvement"]
    assert [record.monitor for record in said] == ["val_loss"] * 2  # type: ignore[attr-defined]


def test_thresholds_that_leave_every_pair_out_fail_the_trial_with_the_ranks_it_saw(train: Train) -> None:
    pairwise: dict[str, object] = {"num_epochs": 1, "loss": "ProbMarginRankingLoss"}
    with pytest.raises(TrialFailed, match=r"no example was fed: ranks of clicked and unclicked results differ by"):
        train(pairwise, Unbounded(), min_abs_difference_threshold=0.0, max_abs_difference_threshold=1e-6)
    run = train(pairwise, Unbounded())
    assert torch.isfinite(torch.tensor(run.quality))
