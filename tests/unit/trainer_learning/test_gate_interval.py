"""The bootstrap interval of the gate, and judgments by query."""

import numpy as np
import pytest

from bluetune_trainer.search.evidence import bootstrap_interval
from bluetune_trainer.search.gate import Judgment, by_query


def test_the_interval_is_the_same_for_the_same_seed_and_holds_the_mean() -> None:
    difference = np.random.default_rng(0).normal(0.1, 0.2, 200)
    low, high = bootstrap_interval(difference, 0.95, seed=4)
    assert (low, high) == bootstrap_interval(difference, 0.95, seed=4)
    assert low < difference.mean() < high
    error = difference.std() / np.sqrt(200)
    assert high - low == pytest.approx(2 * 1.96 * error, rel=0.1)


def test_a_lower_confidence_gives_a_narrower_interval() -> None:
    difference = np.random.default_rng(0).normal(0.1, 0.2, 200)
    wide, narrow = bootstrap_interval(difference, 0.99, 0), bootstrap_interval(difference, 0.8, 0)
    assert wide[0] < narrow[0] < narrow[1] < wide[1]


def test_queries_that_have_nothing_relevant_are_left_out() -> None:
    grades = by_query([Judgment("a", 1, 0.0), Judgment("a", 2, 2.0), Judgment("b", 1, 0.0), Judgment("a", 1, 1.0)])
    assert grades == {"a": {1: 1.0, 2: 2.0}}
