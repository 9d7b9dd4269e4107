"""Metrics of chosen sessions, and calculators; test_ranking_properties compares random sessions with plain Python."""

import dataclasses
import math

import pytest
import torch

from bluetune_trainer.errors import PluginFailed
from bluetune_trainer.ranking import registry
from bluetune_trainer.ranking.accumulators import MetricValue
from bluetune_trainer.ranking.metrics import (
    DistanceShift,
    FunctionMetric,
    LossMetric,
    MetricCalculator,
    RankedSessions,
    calculated,
    per_session,
    summarize,
)
from bluetune_trainer.ranking.ties import RanksNotFinite


def random_sessions(seed: int) -> RankedSessions:
    random = torch.Generator().manual_seed(seed)
    shape = (12, 14)
    return RankedSessions(
        ranks=torch.rand(shape, generator=random),
        previous_ranks=torch.rand(shape, generator=random),
        clicked=torch.rand(shape, generator=random) < 0.25,
        valid=torch.rand(shape, generator=random) < 0.8,
    )


def test_ranks_are_sorted_within_a_session_not_across_sessions() -> None:
    ranks = torch.tensor([[0.1, 0.2], [0.9, 0.8]])
    clicked = torch.tensor([[False, True], [True, False]])
    sessions = RankedSessions(ranks, ranks, clicked, torch.ones(2, 2, dtype=torch.bool))
    assert per_session(sessions)["ndcg@10"].tolist() == [1.0, 1.0]


def test_without_a_session_with_clicks_all_metrics_are_zero() -> None:
    ranks = torch.rand(2, 2)
    sessions = RankedSessions(ranks, ranks, torch.zeros(2, 2, dtype=torch.bool), torch.ones(2, 2, dtype=torch.bool))
    assert set(summarize(sessions).values()) == {0.0}


def biased_sessions(count: int = 2000) -> RankedSessions:
    """Ten results each; the click goes by the place at which a result was shown alone, and the ranks are random."""
    random = torch.Generator().manual_seed(0)
    chance = (1 / torch.arange(1, 11).float()).expand(count, -1)
    clicked = torch.zeros(count, 10, dtype=torch.bool)
    clicked[torch.arange(count), torch.multinomial(chance, 1, generator=random)[:, 0]] = True
    ranks = torch.rand(count, 10, generator=random)
    return RankedSessions(ranks, ranks, clicked, torch.ones(count, 10, dtype=torch.bool))


def test_a_model_that_ranks_all_alike_is_worth_what_a_random_one_is() -> None:
    honest = biased_sessions()
    alike = dataclasses.replace(honest, ranks=torch.ones_like(honest.ranks))
    rounded = dataclasses.replace(honest, ranks=(honest.ranks * 4).round())
    by_chance = sum(1 / math.log2(place + 1) for place in range(1, 11)) / 10
    assert summarize(alike)["ndcg@10"] == pytest.approx(by_chance)
    assert summarize(rounded)["ndcg@10"] == pytest.approx(by_chance, abs=0.02)
    assert summarize(honest)["ndcg@10"] == pytest.approx(by_chance, abs=0.02)


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
def test_ranks_that_are_no_numbers_are_refused_and_not_ordered(wrong: float) -> None:
    ranks = torch.tensor([[0.1, wrong, 0.3]])
    clicked, all_three = torch.tensor([[False, False, True]]), torch.ones(1, 3, dtype=torch.bool)
    with pytest.raises(RanksNotFinite, match="1 of 3 ranks are no finite numbers"):
        summarize(RankedSessions(ranks, ranks, clicked, all_three))
    assert summarize(RankedSessions(ranks, ranks, clicked, torch.tensor([[True, False, True]])))["mrr@10"] == 1


def test_sessions_that_every_ranking_gets_right_are_no_evidence() -> None:
    ranks = torch.tensor([[0.9, 0.8], [0.9, 0.8], [0.9, 0.0]])
    clicked = torch.tensor([[False, True], [True, True], [True, False]])
    valid = torch.tensor([[True, True], [True, True], [True, False]])
    sessions = RankedSessions(ranks, ranks, clicked, valid)
    assert sessions.informative.tolist() == [True, False, False]
    assert per_session(sessions)["mrr@10"].tolist() == [0.5]
    assert summarize(sessions)["mrr@10"] == 0.5


def test_recall_is_reported_only_where_a_session_shows_more_than_ten_results() -> None:
    def sessions(width: int) -> RankedSessions:
        clicked = torch.zeros(2, width, dtype=torch.bool)
        clicked[0, -1] = True
        ranks = torch.linspace(1, 0, width).expand(2, -1)
        return RankedSessions(ranks, ranks, clicked, torch.ones(2, width, dtype=torch.bool))

    assert "recall@10" not in summarize(sessions(10))
    assert summarize(sessions(11))["recall@10"] == 0


def test_a_query_that_is_asked_often_counts_once() -> None:
    ranks = torch.tensor([[0.9, 0.8]] * 4)
    clicked = torch.tensor([[True, False]] * 3 + [[False, True]])
    valid = torch.ones(4, 2, dtype=torch.bool)
    asked = torch.tensor([7, 7, 7, 3])
    assert summarize(RankedSessions(ranks, ranks, clicked, valid))["mrr@10"] == 0.875
    assert summarize(RankedSessions(ranks, ranks, clicked, valid, queries=asked))["mrr@10"] == 0.75


def test_pushing_everything_nearer_raises_the_shift_and_leaves_the_order() -> None:
    sessions = random_sessions(1)
    nearer = RankedSessions(sessions.previous_ranks + 0.1, sessions.previous_ranks, sessions.clicked, sessions.valid)
    before = RankedSessions(sessions.previous_ranks, sessions.previous_ranks, sessions.clicked, sessions.valid)
    assert summarize(nearer)["not_irrelevant_dist_shift"] == pytest.approx(0.1, abs=1e-6)
    assert summarize(nearer)["ndcg@10"] == summarize(before)["ndcg@10"]


def test_the_distance_shift_gives_both_shifts_by_name() -> None:
    old = torch.tensor([[0.1, 0.2], [0.5, 0.5]], dtype=torch.float64)
    new = torch.tensor([[0.4, 0.2], [0.3, 0.2]], dtype=torch.float64)
    clicked = torch.tensor([[True, False], [False, False]])
    for similarity, sign in ((True, 1), (False, -1)):
        sessions = RankedSessions(new, old, clicked, torch.ones(2, 2, dtype=torch.bool), similarity)
        shifts = {value.name: value.value for value in DistanceShift()(sessions)}
        assert shifts == pytest.approx(
            {"not_irrelevant_dist_shift": sign * 0.3, "irrelevant_dist_shift": sign * 0.25}, abs=1e-9
        )


def test_the_loss_is_a_metric_where_it_is_known() -> None:
    sessions = random_sessions(0)
    assert LossMetric()(sessions) == []
    assert LossMetric()(dataclasses.replace(sessions, loss=0.5)) == [MetricValue("loss", 0.5)]


def test_extra_metrics_are_reported_by_name() -> None:
    class Two(MetricCalculator):
        def __call__(self, sessions: RankedSessions) -> list[MetricValue]:
            return [MetricValue("a", 1.0), MetricValue("b", 2.0)]

    found = summarize(random_sessions(0), [Two(), FunctionMetric("my.module:c", lambda s: 3)])
    assert (found["a"], found["b"], found["my.module:c"]) == (1.0, 2.0, 3.0)


@pytest.mark.parametrize("made", [0.5, None, [0.5], {"a": 1.0}])
def test_a_calculator_that_returns_anything_else_is_the_plugins_fault(made: object) -> None:
    class Wrong(MetricCalculator):
        def __call__(self, sessions: RankedSessions) -> list[MetricValue]:
            return made  # type: ignore[return-value]

    with pytest.raises(PluginFailed, match="Wrong must return a list of MetricValue"):
        calculated(Wrong(), random_sessions(0))
    if not isinstance(made, float):
        with pytest.raises(PluginFailed, match="must return a number"):
            FunctionMetric("f", lambda s: made)(random_sessions(0))  # type: ignore[arg-type, return-value]


@pytest.mark.parametrize("name", sorted(registry.METRICS))
def test_every_built_in_metric_can_be_asked_for(name: str) -> None:
    assert summarize(random_sessions(0), [registry.metric(name)]).keys() >= {"ndcg@10", "irrelevant_dist_shift"}
