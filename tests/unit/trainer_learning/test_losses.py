"""Losses against plain-Python references, and their gradients against finite differences."""

import math

import pytest
import torch

from bluetune_trainer.ranking.features import ExamplesType, RankingFeatures
from bluetune_trainer.ranking.losses import (
    CosineProbMarginRankingLoss,
    ListwiseSoftmaxLoss,
    ProbMarginRankingLoss,
    RankingLossInterface,
)


def random_features(seed: int, *, similarity: bool = True, in_batch: bool = True) -> RankingFeatures:
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
        is_similarity=similarity,
        batch_ranks=batch_ranks if in_batch else None,
        batch_allowed=torch.rand(sessions, items, generator=random) < 0.5 if in_batch else None,
    )


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def pair_loss(f: RankingFeatures, margin: float, scale: float, shift: float) -> float:
    target, terms = (1 if f.is_similarity else -1), []
    for s in range(len(f.ranks)):
        shown = [r for r in range(f.ranks.shape[1]) if f.valid[s, r]]
        for p in (r for r in shown if f.clicked[s, r]):
            for n in (r for r in shown if not f.clicked[s, r]):
                d = float(f.ranks[s, p] - f.ranks[s, n])
                if f.min_abs_difference < abs(d) < f.max_abs_difference:
                    c = min(float(f.confidences[s, p]), float(f.confidences[s, n]))
                    terms.append(sigmoid(scale * (-target * d + margin) - shift) * c)
    return sum(terms) / len(terms)


def listwise_loss(f: RankingFeatures, temperature: float) -> float:
    sign, sessions = (1 if f.is_similarity else -1), []
    for s in range(len(f.ranks)):
        shown = [r for r in range(f.ranks.shape[1]) if f.valid[s, r]]
        clicks = [r for r in shown if f.clicked[s, r]]
        total = sum(float(f.confidences[s, p]) for p in clicks)
        if not total:
            continue
        loss = 0.0
        for p in clicks:
            own = math.exp(sign * float(f.ranks[s, p]) / temperature)
            others = sum(
                float(f.confidences[s, n]) * math.exp(sign * float(f.ranks[s, n]) / temperature)
                for n in shown
                if not f.clicked[s, n]
                and f.min_abs_difference < abs(float(f.ranks[s, p] - f.ranks[s, n])) < f.max_abs_difference
            )
            if f.batch_ranks is not None and f.batch_allowed is not None:
                others += sum(
                    math.exp(sign * float(f.batch_ranks[s, u]) / temperature)
                    for u in range(f.batch_ranks.shape[1])
                    if f.batch_allowed[s, u]
                )
            loss += float(f.confidences[s, p]) * -math.log(own / (own + others))
        sessions.append(loss / total)
    return sum(sessions) / len(sessions)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("similarity", [True, False])
def test_losses_equal_plain_python(seed: int, similarity: bool) -> None:
    f = random_features(seed, similarity=similarity)
    assert float(ProbMarginRankingLoss(0.3)(f)) == pytest.approx(pair_loss(f, 0.3, 1, 0), rel=1e-9)
    assert float(CosineProbMarginRankingLoss(0.3)(f)) == pytest.approx(pair_loss(f, 0.3, 12, 3), rel=1e-9)
    assert float(ListwiseSoftmaxLoss(0.2)(f)) == pytest.approx(listwise_loss(f, 0.2), rel=1e-9)


def test_listwise_loss_without_in_batch_negatives_sees_the_session_alone() -> None:
    f = random_features(1)
    alone = random_features(1)
    alone = RankingFeatures(alone.ranks, alone.clicked, alone.valid, alone.confidences)
    assert float(ListwiseSoftmaxLoss(0.2, in_batch_negatives=False)(f)) == pytest.approx(listwise_loss(alone, 0.2))


@pytest.mark.parametrize(
    "loss", [ProbMarginRankingLoss(0.2), CosineProbMarginRankingLoss(0.2), ListwiseSoftmaxLoss(0.2)]
)
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


def test_a_higher_margin_raises_the_loss_as_the_formula_says() -> None:
    f = random_features(4)
    for margin in (0.1, 0.5):
        loss = ProbMarginRankingLoss()
        loss.set_margin(margin)
        assert float(loss(f)) == pytest.approx(pair_loss(f, margin, 1, 0))


@pytest.mark.parametrize(
    "loss", [ProbMarginRankingLoss(0.2), CosineProbMarginRankingLoss(0.2), ListwiseSoftmaxLoss(0.2)]
)
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
