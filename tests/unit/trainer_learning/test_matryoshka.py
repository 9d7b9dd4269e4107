"""Losses at several lengths of the vectors."""

import numpy as np
import pytest
import torch

from bluetune_trainer.errors import PlanInvalid
from bluetune_trainer.ranking.features import ExamplesType
from bluetune_trainer.ranking.losses import (
    CosineProbMarginRankingLoss,
    InfoNCELoss,
    ListwiseSoftmaxLoss,
    MatryoshkaLoss,
    RankingLossInterface,
)
from bluetune_trainer.ranking.rankers import COSINE_SIMILARITY, EUCLIDEAN_DISTANCE, Ranker
from bluetune_trainer.training.batches import Batcher, NumberedSessions
from bluetune_trainer.training.matryoshka import check_dims, truncate
from bluetune_trainer.training.module import FeatureMaker
from bluetune_trainer.training.params import TrialParams
from trainer.ranking_references import Result, Rules, Session
from trainer.ranking_strategies import features

SESSIONS = NumberedSessions(
    queries=np.array([100, 101, 102]),
    items=np.array([0, 1, 2, 3, 4, 1, 5, 6]),
    clicked=np.array([1, 0, 0, 0, 1, 0, 1, 0], np.bool_),
    offsets=np.array([0, 3, 6, 8]),
    shown_rank=np.array([0, 1, 2, 0, 1, 2, 0, 1], np.int32),
)
BATCH = Batcher(SESSIONS, np.linspace(0.2, 1, 8, dtype=np.float32)).batch(np.arange(3))
PARAMS = TrialParams(max_abs_difference_threshold=3)


def vectors(seed: int = 0) -> torch.Tensor:
    random = torch.Generator().manual_seed(seed)
    return torch.nn.functional.normalize(torch.randn(len(BATCH.texts), 6, generator=random, dtype=torch.float64), dim=1)


def maker(ranker: Ranker) -> FeatureMaker:
    return FeatureMaker(PARAMS, ranker, is_similarity=ranker is COSINE_SIMILARITY)


@pytest.mark.parametrize("ranker", [COSINE_SIMILARITY, EUCLIDEAN_DISTANCE])
@pytest.mark.parametrize("inner", [ListwiseSoftmaxLoss(0.2), InfoNCELoss(0.2), CosineProbMarginRankingLoss(0.2)])
def test_it_is_the_weighted_mean_of_the_loss_at_each_length(inner: RankingLossInterface, ranker: Ranker) -> None:
    of, whole = maker(ranker), vectors()

    def at(length: int) -> float:
        short = whole[:, :length]
        return float(inner(of(BATCH, short / short.norm(dim=1, keepdim=True))))

    found = float(MatryoshkaLoss(inner, [2, 4])(of(BATCH, whole)))
    assert found == pytest.approx((at(6) + at(2) + at(4)) / 3)
    found = float(MatryoshkaLoss(inner, [2, 4], [0.5, 0])(of(BATCH, whole)))
    assert found == pytest.approx((at(6) + 0.5 * at(2)) / 1.5)
    assert len({round(at(n), 6) for n in (2, 4, 6)}) == 3


@pytest.mark.parametrize("ranker", [COSINE_SIMILARITY, EUCLIDEAN_DISTANCE])
def test_its_gradient_equals_finite_differences(ranker: Ranker) -> None:
    loss = MatryoshkaLoss(ListwiseSoftmaxLoss(0.3), [2, 4])
    assert torch.autograd.gradcheck(lambda v: loss(maker(ranker)(BATCH, v)), (vectors().requires_grad_(),))


def test_the_first_numbers_of_a_vector_get_more_gradient_than_the_last() -> None:
    whole = vectors().requires_grad_()
    MatryoshkaLoss(ListwiseSoftmaxLoss(0.3), [2], [100.0])(maker(COSINE_SIMILARITY)(BATCH, whole)).backward()
    assert whole.grad is not None
    assert float(whole.grad[:, :2].abs().mean()) > 10 * float(whole.grad[:, 2:].abs().mean())


def test_margin_temperature_and_kind_of_examples_reach_the_loss_inside() -> None:
    margin, listwise = CosineProbMarginRankingLoss(), ListwiseSoftmaxLoss()
    MatryoshkaLoss(margin, [2]).set_margin(0.7)
    MatryoshkaLoss(listwise, [2]).set_temperature(0.7)
    assert margin.base_margin == 0.7
    assert listwise.temperature == 0.7
    seen = maker(COSINE_SIMILARITY)(BATCH, vectors()).with_phase(ExamplesType.negative_only)
    assert seen.at_dimension(2).examples == ExamplesType.negative_only


def test_ranks_without_vectors_cannot_be_truncated() -> None:
    seen = features([Session([Result(0.5, True), Result(0.4, False)])], Rules())
    with pytest.raises(ValueError, match="without vectors"):
        MatryoshkaLoss(ListwiseSoftmaxLoss(), [2])(seen)


def test_truncated_vectors_have_unit_length() -> None:
    assert truncate(vectors(), 3).shape == (len(BATCH.texts), 3)
    assert truncate(vectors(), 3).norm(dim=1).tolist() == pytest.approx([1.0] * len(BATCH.texts))


@pytest.mark.parametrize(("dims", "weights"), [([], None), ([0], None), ([2.5], None), ([2], [1, 1]), ([2], [-1])])
def test_lengths_and_weights_that_cannot_be_are_refused(dims: list[int], weights: list[float] | None) -> None:
    with pytest.raises(ValueError, match=r"dims|weights"):
        MatryoshkaLoss(ListwiseSoftmaxLoss(), dims, weights)


@pytest.mark.parametrize("dims", [(32,), (8, 64)])
def test_lengths_that_the_model_does_not_have_are_refused(dims: tuple[int, ...]) -> None:
    check_dims((8, 31), 32)
    with pytest.raises(PlanInvalid, match=rf"settings.matryoshkaDims: {dims[-1]} must be below 32"):
        check_dims(dims, 32)
