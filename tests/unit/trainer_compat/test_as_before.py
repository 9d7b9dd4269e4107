"""Losses, metrics and confidences as their authors wrote them for Embedding Studio, in a run's hands."""

from typing import Any

import pytest
import torch
from torch import Tensor

from bluetune_trainer import COSINE_SIMILARITY, MetricCalculator, MetricValue, RankingFeatures, RankingLossInterface
from bluetune_trainer.compat.called_as_before import confidences_of, metric_of, ranker_of
from bluetune_trainer.errors import PluginFailed
from bluetune_trainer.ranking.metrics import DistanceShift, RankedSessions, summarize
from bluetune_trainer.training.module import loss_of

RANKS = torch.tensor([[0.9, 0.1, 0.5], [0.2, 0.8, 0.0]])
CLICKED = torch.tensor([[True, False, False], [False, False, False]])
VALID = torch.tensor([[True, True, True], [True, True, False]])


def features(ranks: Tensor = RANKS, clicked: Tensor = CLICKED, *, is_similarity: bool = True) -> RankingFeatures:
    return RankingFeatures(ranks, clicked, VALID, VALID.float(), is_similarity=is_similarity)


class Margin(RankingLossInterface):
    """As Embedding Studio's own: `__call__`, and what it reads of the features."""

    def __call__(self, features: Any) -> Tensor:
        confidences = torch.min(features.positive_confidences, features.negative_confidences)
        difference = features.positive_ranks - features.negative_ranks
        return torch.mean(torch.sigmoid(-features.target * difference + 0.2) * confidences)


class OfTorch(RankingLossInterface):
    def forward(self, features: RankingFeatures) -> Tensor:
        return torch.nn.functional.margin_ranking_loss(
            features.positive_ranks, features.negative_ranks, features.target, margin=0.3
        )


@pytest.mark.parametrize("is_similarity", [True, False])
def test_a_loss_reads_ranks_confidences_and_target_of_the_pairs(is_similarity: bool) -> None:
    sign = 1 if is_similarity else -1
    assert features(is_similarity=is_similarity).target.tolist() == [sign, sign]
    expected = torch.sigmoid(-sign * torch.tensor([0.8, 0.4]) + 0.2).mean()
    torch.testing.assert_close(loss_of(Margin(), features(is_similarity=is_similarity)), expected)
    hinge = (0.3 - sign * torch.tensor([0.8, 0.4])).clamp(min=0).mean()
    torch.testing.assert_close(loss_of(OfTorch(), features(is_similarity=is_similarity)), hinge)


def test_a_batch_without_a_pair_is_zero_to_a_mean_over_pairs_and_moves_nothing() -> None:
    ranks = RANKS.clone().requires_grad_()
    loss = loss_of(Margin(), features(ranks, torch.zeros_like(CLICKED)))
    loss.backward()
    assert float(loss.detach()) == 0
    assert ranks.grad is not None
    assert not ranks.grad.any()


def test_a_loss_that_diverged_on_pairs_stays_what_it_is() -> None:
    assert torch.isnan(loss_of(Margin(), features(RANKS * torch.nan)))


@pytest.mark.parametrize(
    ("returned", "says"), [(0.5, "it returned float"), (torch.ones(2), "it returned a tensor of [2]")]
)
def test_a_loss_that_returns_no_number_fails_the_plugin(returned: object, says: str) -> None:
    class Odd(RankingLossInterface):
        def forward(self, features: RankingFeatures) -> Tensor:
            return returned  # type: ignore[return-value]

    with pytest.raises(PluginFailed) as failed:
        loss_of(Odd(), features())
    assert failed.value.message == f"Odd must return a tensor of one number, {says}"


class Shift(MetricCalculator):
    """The shift of Embedding Studio, by what it was called with there."""

    def __call__(self, batch: Any, extractor: Any, items_storage: Any, query_retriever: Any) -> list[MetricValue]:  # type: ignore[override]
        shifts: dict[bool, list[float]] = {False: [], True: []}
        for pair in batch:
            for session in pair:
                if session is None:
                    continue
                query = extractor.model.forward_query(query_retriever(session.query))
                items = extractor.model.forward_items(items_storage.items_by_ids(session.events + session.not_events))
                ranks = extractor.ranker(query, items).cpu().tolist()
                target = 1 if extractor.is_similarity else -1
                results = session.results if session.is_irrelevant else session.events
                sign = -target if session.is_irrelevant else target
                moved = [sign * (new - session.ranks[i]) for i, new in zip(results, ranks, strict=False)]
                shifts[session.is_irrelevant].append(sum(moved) / len(moved))
        return [
            MetricValue("clicked_shift", sum(shifts[False]) / len(shifts[False])),
            MetricValue("passed_over_shift", sum(shifts[True]) / len(shifts[True])),
        ]


@pytest.mark.parametrize("is_similarity", [True, False])
def test_a_metric_in_the_old_form_of_call_computes_what_the_built_in_one_does(is_similarity: bool) -> None:
    sessions = RankedSessions(RANKS, RANKS.flip(1).roll(1, 0), CLICKED, VALID, is_similarity)
    clicked, passed_over = (value.value for value in DistanceShift()(sessions))
    found = summarize(sessions, [metric_of(Shift())])
    assert found["clicked_shift"] == pytest.approx(clicked)
    assert found["passed_over_shift"] == pytest.approx(passed_over)


def test_what_stands_for_vectors_in_the_old_form_cannot_be_taken_for_numbers() -> None:
    class Norm(Shift):
        def __call__(self, batch: Any, extractor: Any, items_storage: Any, query_retriever: Any) -> list[MetricValue]:  # type: ignore[override]
            return [MetricValue("norm", float(extractor.model.forward_query(0).norm()))]

    with pytest.raises(AttributeError, match="'Vectors' object has no attribute 'norm'"):
        metric_of(Norm())(RankedSessions(RANKS, RANKS, CLICKED, VALID))


def test_a_metric_of_todays_form_is_left_as_it_is() -> None:
    shift = DistanceShift()
    assert metric_of(shift) is shift


@pytest.mark.parametrize("name", ["ndcg@10", "val_loss", "irrelevant_dist_shift", "twice"])
def test_a_metric_does_not_take_the_place_of_another(name: str) -> None:
    class Mine(MetricCalculator):
        def __call__(self, sessions: RankedSessions) -> list[MetricValue]:
            return [MetricValue(name, 1.0)]

    with pytest.raises(PluginFailed, match=f"Mine: the metric '{name}' is already (a built-in metric|Mine)'s"):
        summarize(RankedSessions(RANKS, RANKS, CLICKED, VALID), [Mine(), Mine()])


def test_confidences_of_one_session_at_a_time_are_computed_for_each_session_alone() -> None:
    def by_rank(ranks: Tensor, events: Tensor) -> Tensor:
        return ranks / ranks.sum() + events

    found = confidences_of(by_rank)(RANKS, CLICKED, VALID)
    torch.testing.assert_close(found, torch.tensor([[1.6, 0.1 / 1.5, 0.5 / 1.5], [0.2, 0.8, 0.0]]))


def test_confidences_of_todays_form_are_left_as_they_are() -> None:
    def all_at_once(ranks: Tensor, clicked: Tensor, valid: Tensor) -> Tensor:
        return valid.float()

    assert confidences_of(all_at_once) is all_at_once


QUERIES, ITEMS = torch.eye(3, 4), torch.ones(5, 4)


def test_a_ranker_of_one_query_is_asked_for_each() -> None:
    one = ranker_of(torch.nn.functional.cosine_similarity)
    torch.testing.assert_close(one(QUERIES, ITEMS), torch.full((3, 5), 0.5))
    torch.testing.assert_close(one(QUERIES, ITEMS[:1]), torch.full((3, 1), 0.5))


def test_a_ranker_of_all_queries_is_asked_once() -> None:
    calls: list[int] = []

    def product(queries: Tensor, items: Tensor) -> Tensor:
        calls.append(len(queries))
        return queries @ items.T

    rank = ranker_of(product)
    assert (rank(QUERIES, ITEMS).shape, rank(QUERIES, ITEMS[:3]).shape) == ((3, 5), (3, 3))
    assert calls == [1, 3, 3]
    assert ranker_of(COSINE_SIMILARITY) is COSINE_SIMILARITY
