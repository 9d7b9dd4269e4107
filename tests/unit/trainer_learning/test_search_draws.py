"""What is drawn lies in the space, and the history goes on exactly."""

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bluetune_api.method import SearchDimension
from bluetune_api.records import Trial
from bluetune_trainer.search.space import Space
from bluetune_trainer.search.suggest import rebuild, suggest


def space(**dimensions: dict[str, Any]) -> Space:
    return Space({name: SearchDimension.model_validate_json(json.dumps(value)) for name, value in dimensions.items()})


def draws(where: Space, count: int, seed: int) -> list[Trial]:
    """A search with an objective that pulls to the low end; every fourth trial fails."""
    trials: list[Trial] = []
    for number in range(count):
        point = suggest(where, trials, number, seed, count)
        params = where.params(point)
        failed = number % 4 == 3
        trials.append(
            Trial(
                trial=number,
                status="fail" if failed else "ok",
                params=params,
                quality=None if failed else -sum(v for v in params.values() if isinstance(v, float)),
                space=where.indices(point),
            )
        )
    return trials


@settings(max_examples=4, deadline=None)
@given(seed=st.integers(0, 1000), low=st.floats(1e-6, 0.1), factor=st.floats(1.5, 9.0), steps=st.integers(1, 5))
def test_every_draw_lies_within_its_bounds_and_on_its_steps(seed: int, low: float, factor: float, steps: int) -> None:
    high = low * factor
    where = space(
        items_lr={"logUniform": {"low": low, "high": high}},
        margin={"uniform": {"low": low, "high": high}},
        num_fixed_layers={"quniform": {"low": 2, "high": 2 + 3 * steps, "q": 3}},
        temperature={"choice": [0.05, 0.5]},
    )
    for trial in draws(where, 5, seed):
        params = trial.params
        assert low * (1 - 1e-9) <= params["items_lr"] <= high * (1 + 1e-9)
        assert low <= params["margin"] <= high
        assert params["num_fixed_layers"] % 3 == 0
        assert 2 <= params["num_fixed_layers"] <= 2 + 3 * steps
        assert params["temperature"] in (0.05, 0.5)
        assert where.misfit(params) is None


def test_log_uniform_is_even_over_the_logarithm() -> None:
    where = space(items_lr={"logUniform": {"low": 1e-5, "high": 1e-1}})
    drawn = [math.log10(where.params(suggest(where, [], n, 0, 60))["items_lr"]) for n in range(60)]
    quarters = [sum(low <= value < low + 1 for value in drawn) for low in (-5, -4, -3, -2)]
    assert min(quarters) > 6


def test_the_history_is_the_same_after_the_trials_were_stored() -> None:
    seed = 3
    where = space(margin={"uniform": {"low": 0, "high": 1}}, examples_order={"choice": [[11], [3, 1]]})
    trials = draws(where, 9, seed)
    stored = [Trial.model_validate_json(json.dumps(trial.wire())) for trial in reversed(trials)]
    one, other = rebuild(where, trials), rebuild(where, stored)
    assert one.trials == other.trials
    assert [r["status"] for r in one.results] == ["ok", "ok", "ok", "fail"] * 2 + ["ok"]
    assert all("loss" not in r for r in one.results if r["status"] == "fail")
    for number in (2, 5, 8):
        before = [trial for trial in stored if trial.trial < number]
        assert where.params(suggest(where, before, number, seed, 9)) == trials[number].params


@pytest.mark.parametrize(
    ("params", "problem"),
    [
        ({"margin": 0.5, "temperature": 0.05}, None),
        ({"margin": 0.0, "temperature": 0.5}, None),
        ({"margin": 1.5, "temperature": 0.05}, "margin: 1.5"),
        ({"margin": 0.5, "temperature": 0.1}, "temperature: 0.1"),
        ({"margin": 0.5}, "they name margin, the space margin, temperature"),
        ({"margin": "wide", "temperature": 0.05}, "margin: 'wide'"),
    ],
)
def test_parameters_of_the_lineage_are_held_against_the_space(params: dict[str, Any], problem: str | None) -> None:
    where = space(margin={"uniform": {"low": 0, "high": 1}}, temperature={"choice": [0.05, 0.5]})
    found = where.misfit(params)
    assert found is None if problem is None else problem in (found or "")
