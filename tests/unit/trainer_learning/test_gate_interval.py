"""The gate's interval: paired, by query, and how often it lets noise or a real gain pass."""

import numpy as np
import pytest
from numpy.typing import NDArray

from bluetune_api.gate_verdict import gate_verdict
from bluetune_api.model import Gate
from bluetune_trainer.search.evidence import Evidence, Ranking
from bluetune_trainer.search.gate import by_people
from bluetune_trainer.search.judged import Judgment, by_query

SPREAD = 0.17
"""Standard deviation of the difference of NDCG@10 by session, as the quality benchmark's gates had it."""


def queries(count: int) -> list[str]:
    return [f"query {i}" for i in range(count)]


def differences(gain: float, count: int, seed: int) -> NDArray[np.float64]:
    """By session: most are ranked as before, the others better or worse."""
    random = np.random.default_rng([seed, 7])
    changed = random.random(count) < 0.5
    return np.where(changed, random.normal(0, SPREAD * 2**0.5, count), 0) + gain


def passes(difference: NDArray[np.float64], asked: list[str], gate: Gate) -> bool:
    nothing = np.zeros((len(asked), 10), np.int64)
    sides = (Ranking(nothing, nothing > 0, {gate.metric: values}) for values in (0 * difference, difference))
    report = by_people(Evidence(asked, *sides), gate, against="v000000000001").report
    return gate_verdict(report, gate).reason == "GatePassed"


def share(gain: float, count: int, gate: Gate, runs: int = 120) -> float:
    asked = queries(count)
    return sum(passes(differences(gain, count, seed), asked, gate) for seed in range(runs)) / runs


@pytest.mark.slow
@pytest.mark.parametrize("count", [100, 1000])
def test_the_default_gate_refuses_noise_which_the_mean_alone_promotes_half_of_the_time(count: int) -> None:
    assert share(0.0, count, Gate()) <= 0.06
    assert share(0.0, count, Gate(confidence=0)) == pytest.approx(0.5, abs=0.12)


@pytest.mark.slow
@pytest.mark.parametrize(("count", "gain"), [(100, 0.046), (1000, 0.0143)])
def test_the_default_gate_finds_four_times_in_five_what_its_error_says_it_can(count: int, gain: float) -> None:
    assert share(gain, count, Gate()) == pytest.approx(0.8, abs=0.09)


def test_one_better_query_of_a_hundred_is_no_proof() -> None:
    difference = np.zeros(100)
    difference[3] = 1.0
    assert not passes(difference, queries(100), Gate())
    assert not passes(np.zeros(100), queries(100), Gate())


def test_queries_that_have_nothing_relevant_are_left_out() -> None:
    grades = by_query([Judgment("a", 1, 0.0), Judgment("a", 2, 2.0), Judgment("b", 1, 0.0), Judgment("a", 1, 1.0)])
    assert grades == {"a": {1: 1.0, 2: 2.0}}
