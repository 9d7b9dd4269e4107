"""The start version is scored when its scores are first needed, and not before a first step."""

from collections.abc import Callable
from pathlib import Path
from threading import Event

import pytest
import torch

from bluetune_trainer.errors import Stopped
from bluetune_trainer.training.params import TrialParams
from bluetune_trainer.training.task import TrainingTask
from bluetune_trainer.training.trial import run_trial, trial_steps
from trainer import learning_runs
from trainer.learning_runs import train
from trainer.learning_world import write_tiny_encoder


@pytest.fixture(scope="module")
def tiny(minilm: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_encoder(tmp_path_factory.mktemp("tiny"), minilm, layers=2)


@pytest.fixture
def prepared(tiny: Path, tmp_path: Path) -> Callable[..., TrainingTask]:
    return lambda **settings: learning_runs.prepared(tiny, tmp_path, **settings)


def test_a_first_step_waits_for_no_score_of_the_start_version(prepared: Callable[..., TrainingTask]) -> None:
    task = prepared()
    stop = Event()

    def on_step(share: float, epoch: int, spent: float) -> None:
        if share:
            stop.set()

    with pytest.raises(Stopped):
        run_trial(
            task,
            TrialParams(items_lr=1e-3, num_fixed_layers=1),
            number=0,
            plan=trial_steps(task),
            on_step=on_step,
            stop=stop,
        )
    assert task.start.known is None


def test_scores_are_those_of_the_start_version_whenever_they_are_asked_for(
    prepared: Callable[..., TrainingTask],
) -> None:
    before = prepared()
    scores = before.start.scores()
    after = prepared()
    run, again = train(before, items_lr=3e-3), train(after, items_lr=3e-3)
    assert after.start.known is not None
    assert torch.equal(after.start.known.previous, scores.previous)
    assert after.baseline == before.baseline
    assert after.baseline["ndcg@10"] != run.metrics["ndcg@10"]
    assert again.metrics == run.metrics
    assert all(torch.equal(again.model_state[name], run.model_state[name]) for name in run.model_state)
