"""Difference thresholds leave pairs out only where they are set, and a trial that is fed nothing says why."""

import pytest
import torch

from bluetune_trainer.ranking.features import ExamplesType, RankingFeatures
from bluetune_trainer.training.examples_fed import ExamplesFed
from bluetune_trainer.training.params import TrialParams

RANKS = torch.tensor([[9.0, 2.0, 9.0]])
CLICKED = torch.tensor([[True, False, False]])
VALID = torch.ones(1, 3, dtype=torch.bool)


def features(clicked: torch.Tensor = CLICKED, *, allowed: bool = False, **changes: object) -> RankingFeatures:
    batch = {"batch_ranks": torch.zeros(1, 4), "batch_allowed": torch.full((1, 4), allowed)}
    return RankingFeatures(RANKS, clicked, VALID, VALID.float(), **{**batch, **changes})  # type: ignore[arg-type]


def test_without_thresholds_every_pair_is_fed_however_far_apart_or_tied_its_ranks_are() -> None:
    assert features().negative_ranks.tolist() == [2, 9]
    params = TrialParams()
    assert (params.min_abs_difference_threshold, params.max_abs_difference_threshold) == (None, None)


@pytest.mark.parametrize(
    ("low", "high", "negatives"), [(0.0, None, [2]), (None, 7.0, [9]), (None, 7.5, [2, 9]), (0.0, 1.0, [])]
)
def test_each_threshold_leaves_out_its_side(low: float | None, high: float | None, negatives: list[float]) -> None:
    assert features(min_abs_difference=low, max_abs_difference=high).negative_ranks.tolist() == negatives


def test_hard_medium_and_soft_are_divided_at_1_and_0_where_no_thresholds_are_set() -> None:
    hard, medium, soft = (
        features(examples=kind).negative_ranks.tolist()
        for kind in (ExamplesType.hard_all, ExamplesType.medium_all, ExamplesType.soft_all)
    )
    assert (hard, medium, soft) == ([2], [], [9])


def test_a_trial_whose_pairs_all_lie_beyond_the_thresholds_says_so_with_the_ranks_it_saw() -> None:
    fed = ExamplesFed()
    for _ in range(2):
        fed.see(features(min_abs_difference=0.0, max_abs_difference=1.0, allowed=True), in_batch=True)
    problem = fed.problem(TrialParams(min_abs_difference_threshold=0.0, max_abs_difference_threshold=1.0))
    assert problem == (
        "no example was fed: ranks of clicked and unclicked results differ by 0 to 7, and examples_order [11] leaves"
        " all of these pairs out, with min_abs_difference_threshold 0 and max_abs_difference_threshold 1; change or"
        " leave out the three"
    )


@pytest.mark.parametrize(
    ("in_batch", "allowed", "fed"), [(True, True, True), (True, False, False), (False, True, False)]
)
def test_sessions_without_a_pair_feed_only_a_loss_that_learns_from_the_batch(
    in_batch: bool, allowed: bool, fed: bool
) -> None:
    seen = ExamplesFed()
    seen.see(features(torch.ones_like(CLICKED), allowed=allowed), in_batch=in_batch)
    assert seen.any == fed
    assert (seen.problem(TrialParams()) is None) == fed


def test_one_batch_with_a_pair_is_enough() -> None:
    fed = ExamplesFed()
    for most in (1.0, 8.0, 1.0):
        fed.see(features(max_abs_difference=most, min_abs_difference=0.0), in_batch=False)
    assert fed.problem(TrialParams()) is None
