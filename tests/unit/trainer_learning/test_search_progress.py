"""Halving, and how far a search is."""

import itertools
from datetime import UTC, datetime

import pytest

from bluetune_api.method import Settings
from bluetune_api.records import Trial
from bluetune_trainer.search.halving import should_stop
from bluetune_trainer.search.progress import search_progress
from bluetune_trainer.training.params import resolve_settings
from bluetune_trainer.training.steps import plan_steps

NOW = datetime(2024, 1, 2, tzinfo=UTC)


@pytest.mark.parametrize(
    ("reached", "value", "stops"),
    [
        ([], 0.1, False),
        ([0.5], 0.4, True),
        ([0.5], 0.5, False),
        ([0.5], 0.6, False),
        ([0.5, 0.4], 0.45, False),
        ([0.5, 0.4], 0.3, True),
        ([0.9, 0.8, 0.7], 0.75, True),
        ([0.9, 0.8, 0.7], 0.85, False),
    ],
)
def test_a_trial_goes_on_while_it_is_among_the_best_half(reached: list[float], value: float, stops: bool) -> None:
    assert should_stop(reached, value) is stops


def test_the_best_of_any_order_is_never_stopped() -> None:
    for order in itertools.permutations([0.1, 0.2, 0.3, 0.4]):
        reached = list(order[: order.index(0.4)])
        assert not should_stop(reached, 0.4)


@pytest.mark.parametrize(
    ("sessions", "settings", "steps", "between", "rungs"),
    [
        (100, {"batch_size": 10, "num_epochs": 2, "test_each_n_inputs": 0.5}, 10, 5, (1, 2)),
        (100, {"batch_size": 10, "num_epochs": 4, "test_each_n_inputs": 0.5}, 10, 5, (2, 4)),
        (100, {"batch_size": 10, "num_epochs": 2, "test_each_n_inputs": 30.0}, 10, 3, (2, 3)),
        (100, {"batch_size": 10, "num_epochs": 1, "test_each_n_inputs": 1e9}, 10, 10, ()),
        (7, {"batch_size": 32, "num_epochs": 1, "test_each_n_inputs": 0.5}, 1, 1, ()),
        (100, {"batch_size": 10, "num_epochs": 4, "test_each_n_inputs": 0.5, "halving": False}, 10, 5, ()),
    ],
)
def test_validations_are_counted_in_sessions(
    sessions: int, settings: dict[str, object], steps: int, between: int, rungs: tuple[int, ...]
) -> None:
    plan = plan_steps(sessions, resolve_settings(Settings.model_validate(settings)))
    assert (plan.batches_per_epoch, plan.batches_between_validations, plan.rungs) == (steps, between, rungs)


def trial(number: int, quality: float | None, seconds: float = 10.0) -> Trial:
    return Trial(
        trial=number, status="ok" if quality is not None else "fail", params={}, quality=quality, seconds=seconds
    )


def test_progress_names_the_best_and_estimates_the_rest() -> None:
    done = [trial(0, 0.4), trial(1, None), trial(2, 0.6)]
    found = search_progress(done, 6, trial=3, share=0.5, epoch=2, elapsed=4.0, baseline=0.3, now=NOW)
    assert (found.percent, found.eta_seconds, found.trials_done, found.trials_total) == (58, 26, 3, 6)
    assert found.best is not None
    assert (found.best.trial, found.best.quality) == (2, 0.6)
    assert [t.trial for t in found.top_trials] == [2, 0]
    assert (found.epoch, found.baseline, found.updated_at) == (2, 0.3, "2024-01-02T00:00:00Z")


def test_the_first_trial_estimates_from_its_own_pace() -> None:
    found = search_progress([], 4, trial=0, share=0.25, epoch=1, elapsed=10.0, baseline=0.3, now=NOW)
    assert (found.percent, found.eta_seconds) == (6, 150)


def test_at_most_ten_trials_are_named() -> None:
    found = search_progress(
        [trial(i, i / 100) for i in range(50)], 50, trial=None, share=0, epoch=None, elapsed=0, baseline=None, now=NOW
    )
    assert [t.trial for t in found.top_trials] == list(range(49, 39, -1))
    assert (found.percent, found.eta_seconds) == (100, 0)
