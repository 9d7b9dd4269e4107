"""Each guard refuses what it is there for, lets pass what it must not hinder, and says what it did not measure."""

import numpy as np
import pytest

from bluetune_trainer.evidence import guards
from bluetune_trainer.evidence.guards import SliceGain
from bluetune_trainer.evidence.observations import Scores

IDS = [f"sku-{i}" for i in range(200)]


def falling(first: list[int], size: int = 200) -> Scores:
    """Scores by which these documents are the best, in this order, and then the others by position."""
    order = [*first, *(i for i in range(size) if i not in first)]
    scores = np.empty(size, np.float32)
    scores[order] = -np.arange(size)
    return scores


@pytest.mark.parametrize(
    ("common", "documents", "passed"),
    [(10, 200, True), (2, 200, True), (1, 200, False), (0, 200, False), (0, 99, None)],
)
def test_a_ranker_that_shares_less_than_the_floor_is_refused(common: int, documents: int, passed: bool | None) -> None:
    live = guards.best_of(np.stack([falling(list(range(10)))] * 3))
    candidate = guards.best_of(np.stack([falling([*range(common), *range(100, 110 - common)])] * 3))
    found = guards.agreement(live, candidate, documents, 0.2)
    assert (found.passed, found.after) == (passed, None if passed is None else common / 10)
    assert "not measured" in found.detail or "0.2 is asked for" in found.detail


def test_ranks_are_among_the_documents_that_count_and_equal_scores_share_theirs() -> None:
    scores = np.array([[3, 2, 1, 0], [1, 1, 1, 0], [5, 4, 3, 2]], np.float32)
    others = np.array([[True, True, True, True], [True, True, True, True], [False, True, True, True]])
    found = guards.reciprocal_ranks(scores, np.array([2, 0, 1]), others)
    assert found.tolist() == [1 / 3, 1 / 2, 1]


@pytest.mark.parametrize(
    ("lost", "count", "passed"),
    [(0.0, 100, True), (0.015, 100, True), (0.2, 100, False), (-0.2, 100, True), (0.2, 29, None)],
)
def test_a_version_that_no_longer_finds_what_nobody_was_shown_is_refused(
    lost: float, count: int, passed: bool | None
) -> None:
    before = np.full(count, 0.7)
    after = before - lost + np.random.default_rng(0).normal(size=count) * 0.01
    found = guards.forgetting(before, after, 5000, 0.02, 0.95)
    assert found.passed is passed
    assert (found.before is None) == (passed is None)


def test_a_drop_that_may_be_chance_is_no_forgetting() -> None:
    random = np.random.default_rng(0)
    before = random.random(40)
    after = before - 0.05 + random.normal(size=40) * 0.5
    assert guards.forgetting(before, after, 5000, 0.02, 0.95).passed


@pytest.mark.parametrize(
    ("gain", "error", "passed"), [(0.05, 0.01, True), (-0.005, 1e-4, True), (-0.05, 0.1, True), (-0.05, 0.005, False)]
)
def test_a_slice_is_refused_only_when_it_surely_lost_more_than_a_hundredth(
    gain: float, error: float, passed: bool
) -> None:
    (found,) = guards.slices({"tail": SliceGain(0.4, 0.4 + gain, 50, error)}, 0.95)
    assert (found.passed, found.name) == (passed, "slice tail")


def test_many_slices_share_the_risk() -> None:
    lost = SliceGain(0.4, 0.385, 50, 0.0025)
    assert not guards.slices({"tail": lost}, 0.95)[0].passed
    assert all(guard.passed for guard in guards.slices({str(i): lost for i in range(8)}, 0.95))


@pytest.mark.parametrize(
    ("expect", "unknown", "candidate", "passed", "said"),
    [
        pytest.param(["sku-5"], [], [5, 0], True, "'sku-5' stay", id="it stays"),
        pytest.param(["sku-5"], [], list(range(50, 80)), False, "'sku-5' is at rank 36 now, it was at 6", id="lost"),
        pytest.param(["sku-99"], [], [5], True, "'sku-99' are not among the live", id="the live version has it not"),
        pytest.param([], [], [3, 4, 5, 6, 7, 8, 9, 2, 1, 0], True, "'sku-0', 'sku-1', 'sku-2' stay", id="three best"),
        pytest.param([], [], list(range(50, 58)), False, "'sku-2' is at rank 11 now, it was at 3", id="third is lost"),
        pytest.param(["gone"], ["gone"], [5], None, "'gone' are no ids of the catalogue", id="unknown id"),
        pytest.param(["sku-5", "gone"], ["gone"], [5], True, "'gone' are no ids", id="one unknown id"),
    ],
)
def test_a_guarded_query_keeps_what_the_live_version_finds(
    expect: list[str], unknown: list[str], candidate: list[int], passed: bool | None, said: str
) -> None:
    expected = {name: IDS.index(name) for name in expect if name not in unknown}
    found = guards.guarded_query("red shoes", expected, unknown, falling([]), falling(candidate), IDS)
    assert (found.passed, found.name) == (passed, "query 'red shoes'")
    assert said in found.detail


def test_a_version_that_cannot_tell_documents_apart_has_lost_them() -> None:
    found = guards.guarded_query("red shoes", {"sku-0": 0}, [], falling([]), np.zeros(200, np.float32), IDS)
    assert not found.passed
