"""What the settings of a trial do to its steps, on numbers."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from bluetune_api.method import EarlyStopping
from bluetune_trainer.ranking.losses import ListwiseSoftmaxLoss
from bluetune_trainer.training.dealing import Ints
from bluetune_trainer.training.steps import batches_of
from bluetune_trainer.training.task import TrainingTask
from trainer import learning_runs
from trainer.learning_runs import train
from trainer.learning_world import write_tiny_encoder
from trainer.optimizer_log import OptimizerLog, watch

pytestmark = pytest.mark.slow
STILL = 1e-12
"""A learning rate that leaves the weights as they are, so that steps can be compared."""

Prepare = Callable[..., TrainingTask]


class ListwiseAlone(ListwiseSoftmaxLoss):
    """No session sees another's items."""

    def __init__(self) -> None:
        super().__init__(in_batch_negatives=False)


@pytest.fixture(scope="module")
def tiny(minilm: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_encoder(tmp_path_factory.mktemp("tiny"), minilm, layers=2)


@pytest.fixture
def prepared(tiny: Path, tmp_path: Path) -> Prepare:
    return partial(learning_runs.prepared, tiny, tmp_path)


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> OptimizerLog:
    return watch(monkeypatch)


def assert_close(found: list[torch.Tensor], expected: list[torch.Tensor], tolerance: float = 1e-6) -> None:
    for a, b in zip(found, expected, strict=True):
        assert torch.allclose(a, b, atol=tolerance, rtol=1e-4)


def test_accumulated_batches_give_the_gradients_of_one_large_batch(
    prepared: Prepare, log: OptimizerLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    def in_order(sessions: Ints, queries: Ints, size: int, random: np.random.Generator) -> list[Ints]:
        return np.array_split(sessions, batches_of(len(sessions), size))

    monkeypatch.setattr("bluetune_trainer.training.batches.deal", in_order)
    loss = f"{__name__}:ListwiseAlone"
    whole = train(prepared(sessions=80, batch_size=40, loss=loss), items_lr=STILL)
    steps = len(log.gradients)
    assert steps == 2
    parts = train(prepared(sessions=80, batch_size=8, accumulate_batches=5, loss=loss), items_lr=STILL)
    assert len(log.gradients) == 2 * steps
    for expected, found in zip(log.gradients[:steps], log.gradients[steps:], strict=True):
        assert_close(found, expected)
    assert parts.history[-1].train_loss == pytest.approx(whole.history[-1].train_loss, rel=0.2)


def test_gradients_longer_than_the_limit_are_scaled_to_it_and_others_stay(prepared: Prepare, log: OptimizerLog) -> None:
    train(prepared(), items_lr=STILL)
    free, free_norms = list(log.gradients), log.norms()
    limit = sorted(free_norms)[len(free_norms) // 2]
    log.gradients.clear()
    train(prepared(gradient_clipping=limit), items_lr=STILL)
    assert log.norms() == pytest.approx([min(norm, limit) for norm in free_norms], rel=1e-4)
    for norm, before, after in zip(free_norms, free, log.gradients, strict=True):
        assert_close(after, [gradient * min(1.0, limit / norm) for gradient in before])


def test_the_rate_warms_up_and_then_falls_by_gamma_every_step_size_optimizer_steps(
    prepared: Prepare, log: OptimizerLog
) -> None:
    settings = {"step_size": 2, "gamma": 0.5, "warmup": 4, "num_epochs": 2}
    train(prepared(**settings), items_lr=1e-3)
    rising = [0.25e-3, 0.5e-3, 0.75e-3, 1e-3]
    assert log.rates == pytest.approx([*rising, 1e-3, 1e-3, 0.5e-3, 0.5e-3, 0.25e-3, 0.25e-3])
    log.rates.clear()
    train(prepared(**{**settings, "warmup": 0.4}), items_lr=1e-3)
    assert log.rates == pytest.approx([*rising, 1e-3, 1e-3, 0.5e-3, 0.5e-3, 0.25e-3, 0.25e-3])


def test_the_rate_counts_optimizer_steps_not_batches(prepared: Prepare, log: OptimizerLog) -> None:
    train(prepared(batch_size=10, accumulate_batches=3, step_size=2, gamma=0.1, num_epochs=2), items_lr=1e-3)
    assert log.rates == pytest.approx([1e-3, 1e-3, 1e-4, 1e-4, 1e-5, 1e-5])


@pytest.mark.parametrize(("batch_size", "epochs", "steps"), [(20, 1, 5), (20, 3, 15), (45, 2, 4), (1000, 2, 2)])
def test_epochs_and_batch_size_give_the_number_of_steps(
    prepared: Prepare, log: OptimizerLog, batch_size: int, epochs: int, steps: int
) -> None:
    run = train(prepared(batch_size=batch_size, num_epochs=epochs))
    assert len(log.rates) == steps
    assert run.epochs == epochs


def test_the_end_of_a_trial_is_validated_although_the_interval_does_not_divide_the_epoch(prepared: Prepare) -> None:
    run = train(prepared(batch_size=20, num_epochs=2, test_each_n_inputs=40.0))  # 5 batches an epoch, 2 between
    assert [point.epoch for point in run.history] == [0.4, 0.8, 1.4, 1.8, 2.0]


@pytest.mark.parametrize(
    ("each", "batch_size", "epochs"),
    [
        (0.5, 15, [0.5, 1.0, 1.5, 2.0]),
        (1 / 3, 15, [1 / 3, 2 / 3, 1.0, 4 / 3, 5 / 3, 2.0]),
        (30.0, 15, [1 / 3, 2 / 3, 1.0, 4 / 3, 5 / 3, 2.0]),
        (30.0, 30, [1 / 3, 2 / 3, 1.0, 4 / 3, 5 / 3, 2.0]),
        (90.0, 15, [1.0, 2.0]),
    ],
)
def test_validations_come_after_so_many_sessions_whatever_the_batch_and_in_every_trial(
    prepared: Prepare, each: float, batch_size: int, epochs: list[float]
) -> None:
    task = prepared(test_each_n_inputs=each, batch_size=batch_size, num_epochs=2)
    for number in (0, 1):
        found = [point.epoch for point in train(task, number).history]
        assert found == pytest.approx(epochs, abs=1e-3)


@pytest.mark.parametrize("patience", [1, 3])
def test_a_trial_stops_after_its_patience_with_val_loss_and_keeps_the_best_validation_not_the_last(
    prepared: Prepare, patience: int
) -> None:
    stopping = EarlyStopping(patience=patience)
    task = prepared(num_epochs=30, early_stopping=stopping, test_each_n_inputs=1.0, gamma=1.0, objective="ndcg@10")
    run = train(task, items_lr=0.05)
    losses = [point.val_loss for point in run.history]
    worse = [
        all(losses[at] >= min(losses[:at]) for at in range(i - patience + 1, i + 1))
        for i in range(patience, len(losses))
    ]
    assert worse.index(True) + patience == len(losses) - 1  # the first time that patience ran out was its end
    qualities = [point.quality for point in run.history]
    assert run.quality == pytest.approx(max(qualities), abs=1e-5)
    assert run.best_epoch == run.history[qualities.index(max(qualities))].epoch
    assert run.best_epoch < run.epochs


def test_a_change_below_min_delta_is_no_improvement(prepared: Prepare) -> None:
    task = prepared(num_epochs=30, early_stopping=EarlyStopping(patience=2, min_delta=100.0), test_each_n_inputs=1.0)
    # of 5 batches 3: the first, and two that are not better by 100
    assert [point.epoch for point in train(task).history] == [0.2, 0.4, 0.6]


def test_the_first_step_of_adam_moves_a_weight_by_the_learning_rate(prepared: Prepare, log: OptimizerLog) -> None:
    for rate in (1e-4, 4e-4):
        log.weights.clear()
        train(prepared(), items_lr=rate, items_weight_decay=0.0)
        moved = torch.cat([(a - b).abs().flatten() for a, b in zip(*log.weights[:2], strict=True)])
        assert float(moved.quantile(0.9)) == pytest.approx(rate, rel=0.01)


def test_weight_decay_takes_its_share_of_a_weight_at_each_step(prepared: Prepare, log: OptimizerLog) -> None:
    after = []
    for decay in (0.0, 0.5):
        log.weights.clear()
        train(prepared(), items_lr=1e-2, items_weight_decay=decay)
        after.append(log.weights[1])
        start = log.weights[0]
    for weight, without, decayed in zip(start, *after, strict=True):
        share = 0.5 if weight.dim() > 1 else 0.0  # biases and norms keep theirs
        assert torch.allclose(without - decayed, 1e-2 * share * weight, atol=1e-6)


def test_the_preset_warms_up_over_a_tenth_and_falls_to_0_at_the_end(
    tiny: Path, tmp_path: Path, log: OptimizerLog
) -> None:
    task = learning_runs.prepared(tiny, tmp_path, batch_size=20, num_epochs=4, warmup=0.1, gamma=None)
    train(task, items_lr=1e-3)
    falling = [1e-3 * (20 - step) / 18 for step in range(2, 20)]
    assert log.rates == pytest.approx([0.5e-3, 1e-3, *falling])
