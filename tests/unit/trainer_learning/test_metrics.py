"""Metrics against plain-Python references."""

import math

import pytest
import torch

from bluetune_trainer.ranking.metrics import RankedSessions, per_session, summarize


def random_sessions(seed: int, *, similarity: bool = True) -> tuple[RankedSessions, list[int]]:
    random = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, 15, (12,), generator=random).tolist()
    shape = (12, 14)
    return (
        RankedSessions(
            ranks=torch.rand(shape, generator=random),
            previous_ranks=torch.rand(shape, generator=random),
            clicked=torch.rand(shape, generator=random) < 0.25,
            valid=torch.arange(14)[None, :] < torch.tensor(lengths)[:, None],
            is_similarity=similarity,
        ),
        lengths,
    )


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("similarity", [True, False])
def test_metrics_equal_plain_python(seed: int, similarity: bool) -> None:
    sessions, lengths = random_sessions(seed, similarity=similarity)
    sign = 1 if similarity else -1
    ndcg, mrr, recall, near, far = [], [], [], [], []
    for s, n in enumerate(lengths):
        ranks, old = sessions.ranks[s, :n].tolist(), sessions.previous_ranks[s, :n].tolist()
        clicks = [bool(c) for c in sessions.clicked[s, :n]]
        if not any(clicks):
            far.append(sum(sign * (o - r) for r, o in zip(ranks, old, strict=True)) / n)
            continue
        near.append(sum(sign * (r - o) for r, o, c in zip(ranks, old, clicks, strict=True) if c) / sum(clicks))
        order = sorted(range(n), key=lambda i: -sign * ranks[i])[:10]
        hits = [place for place, i in enumerate(order) if clicks[i]]
        ideal = sum(1 / math.log2(place + 2) for place in range(min(10, sum(clicks))))
        ndcg.append(sum(1 / math.log2(place + 2) for place in hits) / ideal)
        mrr.append(1 / (hits[0] + 1) if hits else 0.0)
        recall.append(len(hits) / sum(clicks))
    found = summarize(sessions)
    assert found["ndcg@10"] == pytest.approx(sum(ndcg) / len(ndcg))
    assert found["mrr@10"] == pytest.approx(sum(mrr) / len(mrr))
    assert found["recall@10"] == pytest.approx(sum(recall) / len(recall))
    assert found["not_irrelevant_dist_shift"] == pytest.approx(sum(near) / len(near), abs=1e-6)
    assert found["irrelevant_dist_shift"] == pytest.approx(sum(far) / len(far) if far else 0.0, abs=1e-6)


def test_ranks_are_sorted_within_a_session_not_across_sessions() -> None:
    ranks = torch.tensor([[0.1, 0.2], [0.9, 0.8]])
    clicked = torch.tensor([[False, True], [True, False]])
    sessions = RankedSessions(ranks, ranks, clicked, torch.ones(2, 2, dtype=torch.bool))
    assert per_session(sessions)["ndcg@10"].tolist() == [1.0, 1.0]


def test_without_a_session_with_clicks_all_metrics_are_zero() -> None:
    ranks = torch.rand(2, 2)
    sessions = RankedSessions(ranks, ranks, torch.zeros(2, 2, dtype=torch.bool), torch.ones(2, 2, dtype=torch.bool))
    assert set(summarize(sessions).values()) == {0.0}


def test_pushing_everything_nearer_raises_the_shift_and_leaves_the_order() -> None:
    sessions, _ = random_sessions(1)
    nearer = RankedSessions(sessions.previous_ranks + 0.1, sessions.previous_ranks, sessions.clicked, sessions.valid)
    before = RankedSessions(sessions.previous_ranks, sessions.previous_ranks, sessions.clicked, sessions.valid)
    assert summarize(nearer)["not_irrelevant_dist_shift"] == pytest.approx(0.1, abs=1e-6)
    assert summarize(nearer)["ndcg@10"] == summarize(before)["ndcg@10"]
