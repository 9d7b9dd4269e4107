"""Corrections of clicks for the places at which results were shown."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bluetune_api.method import Propensity
from bluetune_trainer.ranking.losses import InfoNCELoss, ListwiseSoftmaxLoss, ProbMarginRankingLoss
from bluetune_trainer.training.batches import Batcher, NumberedSessions
from bluetune_trainer.training.position_bias import ClickWeights, clipped_chances
from trainer.ranking_references import Result, Rules, Session
from trainer.ranking_strategies import features

EYE_TRACKING = [0.68, 0.61, 0.48, 0.34, 0.28, 0.20, 0.11, 0.10, 0.08, 0.06]


def shown(rows: list[list[bool]]) -> NumberedSessions:
    """Sessions by their clicks, in the order shown; all results differ."""
    lengths = [len(row) for row in rows]
    return NumberedSessions(
        queries=np.arange(len(rows)) + 1000,
        items=np.arange(sum(lengths)),
        clicked=np.array([click for row in rows for click in row], np.bool_),
        offsets=np.cumsum([0, *lengths]),
        shown_rank=np.concatenate([np.arange(n, dtype=np.int32) for n in lengths]),
    )


@pytest.mark.parametrize(
    ("propensity", "expected"),
    [
        (Propensity(), [1, 1 / 2, 1 / 3, 0.1]),
        (Propensity(eta=2), [1, 1 / 4, 1 / 9, 0.1]),
        (Propensity(eta=0), [1, 1, 1, 1]),
        (Propensity(clip=0.4), [1, 0.5, 0.4, 0.4]),
        (Propensity(examination=[0.8, 0.5]), [0.8, 0.5, 0.5, 0.5]),
        (Propensity(examination=[0.8, 0.5], eta=2, clip=0.3), [0.64, 0.3, 0.3, 0.3]),
    ],
)
def test_chances_are_those_of_the_place_raised_and_clipped(propensity: Propensity, expected: list[float]) -> None:
    assert clipped_chances(propensity, np.array([0, 1, 2, 40], np.int32)).tolist() == pytest.approx(expected)


@given(st.lists(st.lists(st.booleans(), min_size=1, max_size=12), min_size=1, max_size=8), st.floats(0, 3))
def test_training_clicks_weigh_one_on_average_and_their_ratio_is_that_of_the_inverse_chances(
    rows: list[list[bool]], eta: float
) -> None:
    train = shown(rows)
    propensity = Propensity(eta=eta)
    weights = ClickWeights.of(propensity, train)(train)
    clicks = train.clicked
    if not clicks.any():
        return
    assert weights[clicks].mean() == pytest.approx(1.0, rel=1e-5)
    inverse = 1 / np.maximum((1 / (train.shown_rank + 1.0)) ** eta, 0.1)
    assert (weights / weights[0]).tolist() == pytest.approx((inverse / inverse[0]).tolist(), rel=1e-5)


def test_weighed_clicks_show_relevance_where_plain_ones_show_the_place() -> None:
    """Under the position-based model, on simulated users: every place is equally often relevant."""
    random = np.random.default_rng(0)
    chances = np.array(EYE_TRACKING)
    relevant = random.random((40_000, 10)) < 0.3
    clicked = relevant & (random.random((40_000, 10)) < chances)
    train = shown(clicked.tolist())
    weights = ClickWeights.of(Propensity(examination=EYE_TRACKING, clip=0.01), train)(train).reshape(-1, 10)
    plain, weighed = clicked.mean(0), (clicked * weights).mean(0)
    assert plain[0] > 8 * plain[9]
    assert weighed.tolist() == pytest.approx([weighed.mean()] * 10, rel=0.1)


def test_a_batch_carries_the_weights_and_places_of_its_results_and_none_of_borrowed_ones() -> None:
    sessions = shown([[False, True, False], [False, False]])
    weights = np.array([9, 2, 9, 9, 9], np.float32)
    confidences = np.ones(5, np.float32)
    (batch,) = Batcher(sessions, confidences, use_irrelevant=True, click_weights=weights, skip_above=True).epoch(
        1, np.random.default_rng(0)
    )
    assert batch.weights is not None
    assert batch.shown_rank is not None
    assert batch.texts[batch.item_at][batch.result_at[0]].tolist() == [0, 1, 2, 3, 4]
    assert batch.shown_rank.tolist() == [[0, 1, 2, -1, -1]]
    assert batch.weights[batch.clicked].tolist() == [2.0]
    (plain,) = Batcher(sessions, confidences).epoch(1, np.random.default_rng(0))
    assert plain.weights is None
    assert plain.shown_rank is None


def test_places_follow_their_results_through_down_sampling() -> None:
    sessions = shown([[False] * 6 + [True] + [False] * 6])
    (batch,) = Batcher(sessions, np.ones(13, np.float32), negative_downsampling=0.5, skip_above=True).epoch(
        1, np.random.default_rng(0)
    )
    assert batch.shown_rank is not None
    assert len(batch.shown_rank[0]) == 7
    assert batch.shown_rank[0].tolist() == batch.texts[batch.item_at][batch.result_at[0]].tolist()


SESSION = Session(
    [
        Result(0.9, False, place=0),
        Result(0.2, True, place=1),
        Result(0.5, False, place=2),
        Result(0.4, True, place=3),
        Result(0.7, False, place=4),
        Result(0.6, False, place=-1),
    ]
)


def test_with_skip_above_each_click_is_compared_with_what_was_passed_over_above_it() -> None:
    def pairs(skip_above: bool) -> set[tuple[int, int]]:
        _, clicks, others = features([SESSION], Rules(high=2, skip_above=skip_above)).pair_index()
        return set(zip(clicks.tolist(), others.tolist(), strict=True))

    assert pairs(False) == {(p, n) for p in (1, 3) for n in (0, 2, 4, 5)}
    # 2 and 4 were below the first click, 4 below the second; 5 is another session's and has no place here.
    assert pairs(True) == {(1, 0), (1, 5), (3, 0), (3, 2), (3, 5)}


def test_with_skip_above_a_click_at_the_top_teaches_nothing_by_itself() -> None:
    top = Session([Result(0.1, True, place=0), Result(0.9, False, place=1)])
    for loss in (ProbMarginRankingLoss(0.2), ListwiseSoftmaxLoss(0.1), InfoNCELoss(0.1)):
        assert float(loss(features([top], Rules(skip_above=True)))) == 0.0
        assert float(loss(features([top], Rules()))) > 0.0


def test_a_clicks_weight_multiplies_its_part_of_the_loss_and_no_normalisation_takes_it_back() -> None:
    def session(weight: float) -> Session:
        return Session([Result(0.2, True, weight=weight), Result(0.3, False)])

    for loss in (ProbMarginRankingLoss(0.2), ListwiseSoftmaxLoss(0.1), InfoNCELoss(0.1)):
        one = float(loss(features([session(1.0)], Rules())))
        assert float(loss(features([session(3.0)], Rules()))) == pytest.approx(3 * one)
        assert float(loss(features([session(3.0), session(1.0)], Rules()))) == pytest.approx(2 * one)


def test_a_clip_bounds_the_heaviest_click() -> None:
    train = shown([[False] * 99 + [True], [True]])
    weights = ClickWeights.of(Propensity(clip=0.05), train)(train)[train.clicked]
    assert weights[0] / weights[1] == pytest.approx(20)
    assert math.isclose(weights.sum(), 2, rel_tol=1e-6)
    assert torch.from_numpy(weights).dtype == torch.float32
