"""Batches, optimizer steps and the learning rate, on numbers."""

import numpy as np
import pytest
import torch

from bluetune_trainer.training.dealing import deal
from bluetune_trainer.training.params import TrainingSettings
from bluetune_trainer.training.steps import (
    MIN_STEPS,
    plan_steps,
    rate_factor,
    rate_of,
    stepped_rate_factor,
    warmup_steps,
)


@pytest.mark.parametrize(
    ("sessions", "batch_size", "accumulation", "batches", "steps"),
    [(100, 10, 1, 10, 10), (100, 10, 4, 10, 3), (101, 10, 4, 11, 3), (5, 10, 4, 1, 1), (0, 10, 4, 1, 1)],
)
def test_an_epoch_has_a_last_step_of_fewer_batches(
    sessions: int, batch_size: int, accumulation: int, batches: int, steps: int
) -> None:
    settings = TrainingSettings(batch_size=batch_size, accumulate_batches=accumulation, num_epochs=3)
    plan = plan_steps(sessions, settings)
    assert (plan.batches_per_epoch, plan.steps_per_epoch, plan.steps) == (batches, steps, steps * 3)


@pytest.mark.parametrize("sessions", [7, 40, 95, 101])
def test_the_weights_of_a_step_make_every_session_count_alike(sessions: int) -> None:
    plan = plan_steps(sessions, TrainingSettings(batch_size=10, accumulate_batches=4, num_epochs=1))
    batches = deal(np.arange(sessions), np.arange(sessions), 10, np.random.default_rng(0))
    sizes = [len(batch) for batch in batches]
    assert len(sizes) == plan.batches_per_epoch
    for first in range(0, len(sizes), 4):
        inside = sizes[first : first + 4]
        # Lightning divides by 4; a batch's loss is the mean over its sessions
        found = [plan.weight(first + i) / 4 / size for i, size in enumerate(inside)]
        assert found == pytest.approx([1 / sum(inside)] * len(inside))


def test_without_accumulation_a_loss_is_what_it_is() -> None:
    plan = plan_steps(95, TrainingSettings(batch_size=10, num_epochs=1))
    assert [plan.weight(batch) for batch in range(10)] == [1.0] * 10


@pytest.mark.parametrize(
    ("warmup", "steps", "expected"), [(0, 50, 0), (0.1, 50, 5), (0.99, 100, 99), (1, 50, 1), (7, 50, 7)]
)
def test_a_warmup_is_a_number_of_steps_or_a_share_of_the_trial(warmup: float, steps: int, expected: int) -> None:
    assert warmup_steps(warmup, steps) == expected


@pytest.mark.parametrize(
    ("sessions", "settings", "steps", "epochs", "passes"),
    [
        (80, {}, 102, 2, 17),
        (1000, {}, 128, 2, 2),
        (1600, {}, 100, 2, 1),
        (100_000, {}, 6250, 2, 1),
        (80, {"num_epochs": 2}, 6, 2, 1),
        (80, {"num_epochs": 40}, 120, 40, 1),
        (80, {"accumulate_batches": 3}, 100, 2, 50),
        (80, {"accumulate_batches": 4}, 102, 2, 67),
        (1, {}, 100, 2, 50),
    ],
)
def test_few_sessions_are_gone_through_until_there_are_steps_enough_unless_epochs_are_named(
    sessions: int, settings: dict[str, int], steps: int, epochs: int, passes: int
) -> None:
    plan = plan_steps(sessions, TrainingSettings(**settings))  # type: ignore[arg-type]
    assert (plan.steps, plan.epochs, plan.passes) == (steps, epochs, passes)
    assert "num_epochs" in settings or plan.steps >= MIN_STEPS


@pytest.mark.parametrize("accumulation", [1, 3])
def test_every_session_counts_alike_in_every_pass_of_an_epoch(accumulation: int) -> None:
    plan = plan_steps(70, TrainingSettings(accumulate_batches=accumulation))
    assert plan.passes > 1
    sizes = [24, 23, 23] * plan.passes
    for first in range(0, len(sizes), accumulation):
        inside = sizes[first : first + accumulation]
        found = [plan.weight(first + i) / accumulation / size for i, size in enumerate(inside)]
        assert found == pytest.approx([1 / sum(inside)] * len(inside))


def test_the_rate_rises_over_the_warmup_and_then_falls_to_0_at_the_end() -> None:
    found = [rate_factor(step, warmup=4, steps=8) for step in range(9)]
    assert found == [0.25, 0.5, 0.75, 1.0, 1.0, 0.75, 0.5, 0.25, 0.0]
    assert rate_factor(0, warmup=0, steps=1) == 1.0


def test_by_steps_the_rate_falls_every_step_size() -> None:
    found = [stepped_rate_factor(step, warmup=4, step_size=3, gamma=0.5) for step in range(12)]
    assert found == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.25, 0.25]


@pytest.mark.parametrize(
    ("settings", "factors"),
    [
        ({}, [0.5, 1.0, 1.0, 0.75, 0.5, 0.25]),
        ({"gamma": 1.0}, [0.5, 1.0, 1.0, 1.0, 1.0, 1.0]),
        ({"step_size": 2}, [0.5, 1.0, 1.0, 1.0, 0.9, 0.9]),
        ({"step_size": 1, "gamma": 0.5, "warmup": 0}, [1.0, 0.5, 0.25, 0.125, 0.0625, 0.03125]),
    ],
)
def test_whoever_names_the_steps_or_the_factor_of_the_fall_gets_no_linear_one(
    settings: dict[str, float], factors: list[float]
) -> None:
    factor = rate_of(TrainingSettings(**{"warmup": 2.0, **settings}), 6)  # type: ignore[arg-type]
    assert [factor(step) for step in range(6)] == pytest.approx(factors)


@pytest.mark.parametrize(("step_size", "gamma"), [(1, 0.9), (3, 0.5), (500, 0.1), (2, 1.0)])
def test_without_a_warmup_the_rate_is_that_of_steplr(step_size: int, gamma: float) -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, step_size, gamma)
    for step in range(20):
        assert stepped_rate_factor(step, 0, step_size, gamma) == pytest.approx(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
