"""Losses on batches that can be checked by hand; test_ranking_properties has random ones."""

import math

import pytest
import torch

from bluetune_trainer.ranking.features import ExamplesType, RankingFeatures
from bluetune_trainer.ranking.losses import (
    CosineProbMarginRankingLoss,
    InfoNCELoss,
    ListwiseSoftmaxLoss,
    MultipleNegativesRankingLoss,
    ProbMarginRankingLoss,
    RankingLossInterface,
)


def random_features(seed: int, *, in_batch: bool = True) -> RankingFeatures:
    random = torch.Generator().manual_seed(seed)
    sessions, results, items = 4, 6, 9
    valid = torch.rand(sessions, results, generator=random) < 0.85
    clicked = torch.rand(sessions, results, generator=random) < 0.35
    batch_ranks = torch.rand(sessions, items, generator=random, dtype=torch.float64)
    return RankingFeatures(
        ranks=torch.rand(sessions, results, generator=random, dtype=torch.float64),
        clicked=clicked,
        valid=valid,
        confidences=torch.rand(sessions, results, generator=random, dtype=torch.float64) * valid,
        batch_ranks=batch_ranks if in_batch else None,
        batch_allowed=torch.rand(sessions, items, generator=random) < 0.5 if in_batch else None,
    )


LOSSES: list[RankingLossInterface] = [
    ProbMarginRankingLoss(0.2),
    ProbMarginRankingLoss(0.2, do_fine_small_difference=True),
    CosineProbMarginRankingLoss(0.2),
    ListwiseSoftmaxLoss(0.2),
    InfoNCELoss(0.2),
]


@pytest.mark.parametrize("loss", LOSSES)
def test_gradients_equal_finite_differences(loss: RankingLossInterface) -> None:
    f = random_features(3)

    def of(ranks: torch.Tensor, batch_ranks: torch.Tensor) -> torch.Tensor:
        return loss(RankingFeatures(ranks, f.clicked, f.valid, f.confidences, True, batch_ranks, f.batch_allowed))

    assert f.batch_ranks is not None
    assert torch.autograd.gradcheck(of, (f.ranks.requires_grad_(), f.batch_ranks.requires_grad_()))


@pytest.mark.parametrize("margin", [0.01, 0.1, 0.2, 0.5])
def test_the_cosine_loss_keeps_a_gradient_over_the_whole_range_of_differences(margin: float) -> None:
    loss = CosineProbMarginRankingLoss(margin)
    difference = torch.linspace(-0.5, 0.5, 201, dtype=torch.float64, requires_grad=True)
    loss.probability(-difference + margin).sum().backward()
    assert difference.grad is not None
    assert float(difference.grad.abs().min()) >= 1e-3


def test_the_two_margin_losses_differ() -> None:
    f = random_features(2)
    assert float(ProbMarginRankingLoss(0.2)(f)) != pytest.approx(float(CosineProbMarginRankingLoss(0.2)(f)), rel=0.01)


def test_the_same_batch_at_other_margins_and_temperatures() -> None:
    """One pair, so that the numbers can be checked by hand: r_p = 0.4, r_n = 0.6."""
    pair = RankingFeatures(
        torch.tensor([[0.4, 0.6]], dtype=torch.float64),
        torch.tensor([[True, False]]),
        torch.ones(1, 2, dtype=torch.bool),
        torch.ones(1, 2, dtype=torch.float64),
    )
    for margin, expected in ((0.1, 0.5744425), (0.5, 0.6681878)):
        loss: RankingLossInterface = ProbMarginRankingLoss()
        loss.set_margin(margin)
        assert float(loss(pair)) == pytest.approx(expected)
    for margin, expected in ((0.1, 0.6456563), (0.5, 0.9955037)):
        loss = CosineProbMarginRankingLoss()
        loss.set_margin(margin)
        assert float(loss(pair)) == pytest.approx(expected)
    for temperature, expected in ((0.05, 4.0181499), (0.2, 1.3132617)):
        for loss in (ListwiseSoftmaxLoss(), InfoNCELoss()):
            loss.set_temperature(temperature)
            assert float(loss(pair)) == pytest.approx(expected)


def test_names_of_the_same_loss() -> None:
    assert MultipleNegativesRankingLoss is InfoNCELoss


def test_info_nce_counts_clicks_where_the_listwise_loss_counts_sessions() -> None:
    one, three = [[0.1, 0.5, 0.0, 0.0]], [[0.4, 0.3, 0.2, 0.5]]
    f = RankingFeatures(
        torch.tensor(one + three, dtype=torch.float64),
        torch.tensor([[True, False, False, False], [True, True, True, False]]),
        torch.tensor([[True, True, False, False], [True] * 4]),
        torch.ones(2, 4, dtype=torch.float64),
    )

    def of(gap: float) -> float:
        return math.log1p(math.exp(gap / 0.1))

    single, triple = of(0.4), [of(0.1), of(0.2), of(0.3)]
    assert float(InfoNCELoss(0.1)(f)) == pytest.approx((single + sum(triple)) / 4)
    assert float(ListwiseSoftmaxLoss(0.1)(f)) == pytest.approx((single + sum(triple) / 3) / 2)


def test_the_term_for_small_differences_counts_what_lies_below_the_margin() -> None:
    pairs = RankingFeatures(
        torch.tensor([[0.5, 0.45, 0.1]], dtype=torch.float64),
        torch.tensor([[True, False, False]]),
        torch.ones(1, 3, dtype=torch.bool),
        torch.ones(1, 3, dtype=torch.float64),
    )
    plain = float(ProbMarginRankingLoss(0.2)(pairs))
    assert float(ProbMarginRankingLoss(0.2, True)(pairs)) - plain == pytest.approx(0.05)  # of .05 and .4
    assert float(ProbMarginRankingLoss(0.2, True, steepness=0)(pairs)) - plain == pytest.approx(0.225)  # of both


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("case", ["no click", "all clicked", "nothing valid"])
def test_batches_without_an_example_give_zero_and_a_finite_gradient(loss: RankingLossInterface, case: str) -> None:
    ranks = torch.rand(2, 3, dtype=torch.float64, requires_grad=True)
    clicked = torch.full((2, 3), case == "all clicked")
    valid = torch.full((2, 3), case != "nothing valid")
    value = loss(RankingFeatures(ranks, clicked, valid, valid.double()))
    value.backward()
    assert value.item() == pytest.approx(0.0)
    assert ranks.grad is not None
    assert bool(torch.isfinite(ranks.grad).all())


def test_a_result_of_no_confidence_does_not_count() -> None:
    f = random_features(5, in_batch=False)
    certain = torch.where(f.clicked, 1.0, 0.0).double()
    muted = RankingFeatures(f.ranks.requires_grad_(), f.clicked, f.valid, certain)
    ListwiseSoftmaxLoss(0.1)(muted).backward()
    assert f.ranks.grad is not None
    assert float(f.ranks.grad[~f.clicked].abs().max()) == 0.0


def test_with_negative_only_the_clicked_results_do_not_move() -> None:
    for loss in (ProbMarginRankingLoss(0.2), ListwiseSoftmaxLoss(0.2, in_batch_negatives=False)):
        f = random_features(6, in_batch=False).with_phase(ExamplesType.negative_only)
        f.ranks.requires_grad_()
        loss(f).backward()
        assert f.ranks.grad is not None
        assert float(f.ranks.grad[f.clicked].abs().max()) == 0.0
        assert float(f.ranks.grad[~f.clicked].abs().max()) > 0.0


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: type(loss).__name__)
def test_a_session_where_everything_was_clicked_teaches_only_by_the_other_items_of_the_batch(
    loss: RankingLossInterface,
) -> None:
    def gradient(*, others: bool) -> torch.Tensor:
        ranks = torch.tensor([[0.4, 0.3]], dtype=torch.float64, requires_grad=True)
        loss(
            RankingFeatures(
                ranks=ranks,
                clicked=torch.ones(1, 2, dtype=torch.bool),
                valid=torch.ones(1, 2, dtype=torch.bool),
                confidences=torch.ones(1, 2, dtype=torch.float64),
                batch_ranks=torch.tensor([[0.4, 0.3, 0.35]], dtype=torch.float64),
                batch_allowed=torch.tensor([[False, False, others]]),
            )
        ).backward()
        assert ranks.grad is not None
        return ranks.grad

    assert not gradient(others=False).any()
    taught = isinstance(loss, ListwiseSoftmaxLoss | InfoNCELoss) and getattr(loss, "in_batch_negatives", True)
    assert bool((gradient(others=True) < 0).all()) == taught
    assert bool(gradient(others=True).any()) == taught
