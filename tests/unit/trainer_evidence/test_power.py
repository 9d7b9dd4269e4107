"""How small a gain the gate sees: four times in five, by the normal distribution."""

import math
from statistics import NormalDist

import pytest

from bluetune_trainer.evidence.power import QUERY_NOISE, queries_for, seen_with, smallest_gain
from bluetune_trainer.evidence.risk import risk_of


def often(gain: float, error: float, risk: float) -> float:
    """How often a gain passes whose interval leaves out `risk`."""
    return NormalDist().cdf(gain / error - NormalDist().inv_cdf(1 - risk))


@pytest.mark.parametrize(("queries", "confidence"), [(50, 0.95), (1000, 0.95), (200, 0.8)])
def test_the_smallest_gain_passes_four_times_in_five(queries: int, confidence: float) -> None:
    gain, error = smallest_gain(queries, confidence), QUERY_NOISE / math.sqrt(queries)
    assert often(gain, error, risk_of(1, 1 - confidence)) == pytest.approx(0.8)
    assert queries_for(gain, QUERY_NOISE, 1, confidence) in (queries, queries + 1)


@pytest.mark.parametrize("attempt", [1, 2, 5])
def test_the_gain_that_was_visible_is_told_from_the_interval_and_its_risk(attempt: int) -> None:
    risk = risk_of(attempt, 0.05)
    reach = NormalDist().inv_cdf(1 - risk) * 0.01
    assert often(seen_with(reach, risk), 0.01, risk) == pytest.approx(0.8)


def test_without_a_query_no_gain_is_seen() -> None:
    assert smallest_gain(0, 0.95) == math.inf
