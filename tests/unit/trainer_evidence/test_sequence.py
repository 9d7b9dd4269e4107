"""Runs against one live version share one risk, and their evidence adds up."""

import numpy as np
import pytest

from bluetune_trainer.evidence.power import QUERY_NOISE, queries_for, smallest_gain
from bluetune_trainer.evidence.risk import risk_of
from bluetune_trainer.evidence.sequence import Run, together


def test_all_runs_together_take_the_whole_risk_and_no_more() -> None:
    spent = [risk_of(n, 0.05) for n in range(1, 10_000)]
    assert spent[0] == pytest.approx(0.035)
    assert sum(spent) == pytest.approx(0.05, abs=1e-5)
    assert sum(spent) < 0.05
    assert spent == sorted(spent, reverse=True)


def _run(random: np.random.Generator, gain: float, night: int, queries: int = 30) -> Run:
    values = gain + random.normal(size=queries) * 0.15
    mean = float(values.mean())
    return Run(mean, {f"{night}-{i}": float(v - mean) / queries for i, v in enumerate(values)})


def _night_of_promotion(random: np.random.Generator, gain: float, nights: int) -> int | None:
    runs: list[Run] = []
    for night in range(1, nights + 1):
        runs.append(_run(random, gain, night))
        found = together(runs)
        if runs[-1].value > 0 and found.value - found.reach(risk_of(night, 0.05)) > 0:
            return night
    return None


def test_noise_every_night_passes_seldom_over_three_weeks() -> None:
    random = np.random.default_rng(0)
    passed = sum(_night_of_promotion(random, 0.0, 21) is not None for _ in range(80))
    assert passed / 80 <= 0.05


def test_a_small_gain_that_one_night_cannot_show_passes_after_some() -> None:
    random = np.random.default_rng(1)
    nights = [_night_of_promotion(random, 0.04, 20) for _ in range(60)]
    assert sum(night == 1 for night in nights) < 30
    assert sum(night is not None for night in nights) >= 57


def test_the_same_queries_again_are_no_new_queries() -> None:
    random = np.random.default_rng(2)
    one = _run(random, 0.02, 1)
    assert together([one, one, one]).error == pytest.approx(together([one]).error)
    other = _run(random, 0.02, 2)
    assert together([one, other]).error < 0.8 * together([one]).error
    assert together([one, other]).queries == 60


def test_the_smallest_gain_goes_with_the_root_of_the_queries() -> None:
    assert smallest_gain(400, 0.95) == pytest.approx(smallest_gain(100, 0.95) / 2)
    assert smallest_gain(0, 0.95) == float("inf")
    assert smallest_gain(100, 0.99) > smallest_gain(100, 0.95)


def test_the_queries_that_decide_are_those_at_which_the_gain_is_the_smallest_one() -> None:
    error = QUERY_NOISE / 100**0.5
    needed = queries_for(0.01, error, 100, 0.95)
    assert smallest_gain(needed, 0.95) == pytest.approx(0.01, rel=0.01)
