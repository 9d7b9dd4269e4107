"""Phrases in a trial: they are made when a trial wants them, and items come nearer to what they are called."""

from pathlib import Path

import numpy as np
import pytest

from bluetune_trainer.training.params import TrialParams
from trainer.learning_runs import prepared, train
from trainer.learning_world import write_tiny_encoder


@pytest.fixture(scope="module")
def tiny(minilm: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_encoder(tmp_path_factory.mktemp("tiny"), minilm)


def test_the_table_holds_phrases_only_when_a_trial_wants_them(tiny: Path, tmp_path: Path) -> None:
    task = prepared(tiny, tmp_path)
    before = len(task.table)
    batch = next(task.batcher(TrialParams()).epoch(20, np.random.default_rng(0)))
    assert len(task.table) == before
    sessions = len(batch.query_at)
    assert 0 < sessions <= 20
    wanted = next(task.batcher(TrialParams(phrases_per_session=0.5)).epoch(20, np.random.default_rng(0)))
    assert len(task.table) > before
    assert len(wanted.query_at) == sessions + round(0.5 * sessions)
    assert (wanted.valid[sessions:].sum(1) == 1).all()
    assert np.isin(batch.texts, wanted.texts).all()


def test_nothing_is_made_for_a_loss_that_compares_results_of_one_session_only(tiny: Path, tmp_path: Path) -> None:
    task = prepared(tiny, tmp_path, loss="ProbMarginRankingLoss", matryoshka_dims=(8,))
    before = len(task.table)
    batch = next(task.batcher(TrialParams(phrases_per_session=2.0)).epoch(20, np.random.default_rng(0)))
    assert len(task.table) == before
    assert len(batch.query_at) <= 20


def test_the_same_trial_with_phrases_gives_the_same_weights_and_others_than_without(tiny: Path, tmp_path: Path) -> None:
    task = prepared(tiny, tmp_path)
    plain, first, again = (train(task, phrases_per_session=share).model_state for share in (0.0, 2.0, 2.0))
    assert all((first[name] == again[name]).all() for name in first)
    assert any((first[name] != plain[name]).any() for name in first)
