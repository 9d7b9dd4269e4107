"""Two processes that train a trial together come to what one process comes to."""

from pathlib import Path
from threading import Event

import pytest

from bluetune_api.method import SearchDimension, Settings
from bluetune_api.records import MethodPlan
from bluetune_trainer.search.contract import SearchOutcome
from bluetune_trainer.search.run import run_search
from trainer.learning_world import FolderTrials, world, write_tiny_encoder

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def search(start: Path, folder: Path, **settings: object) -> tuple[SearchOutcome, FolderTrials]:
    catalogue, split = world(sessions=80)
    fixed = {"precision": "FP32", "batch_size": 20, "num_epochs": 1, "halving": False, **settings}
    plan = MethodPlan(
        settings=Settings.model_validate(fixed),
        initial_params={
            "num_fixed_layers": SearchDimension(choice=[1]),
            "items_lr": SearchDimension(choice=[1e-3]),
            "temperature": SearchDimension(choice=[0.1]),
        },
        initial_max_evals=1,
    )
    (folder / "trials").mkdir(parents=True)
    log = FolderTrials(folder / "trials")
    return run_search(start, catalogue, split, plan, log, lambda told: None, Event(), folder), log


def test_two_processes_take_the_steps_of_one_and_write_each_trial_once(minilm: Path, tmp_path: Path) -> None:
    start = write_tiny_encoder(tmp_path / "start", minilm, layers=2)
    alone, _ = search(start, tmp_path / "alone")
    both, log = search(start, tmp_path / "both", devices=2)
    assert [trial.trial for trial in log.written] == [0]
    assert both.baseline == pytest.approx(alone.baseline, abs=1e-5)
    assert both.best.metrics == pytest.approx(alone.best.metrics, abs=1e-4)
    for one, other in zip(alone.best.history, both.best.history, strict=True):
        assert other.train_loss == pytest.approx(one.train_loss, abs=1e-5)
        assert other.val_loss == pytest.approx(one.val_loss, abs=1e-5)
    assert (tmp_path / "both" / "rank-1").is_dir()
