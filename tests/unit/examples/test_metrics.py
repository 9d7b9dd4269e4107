"""NDCG@10, MRR@10 and Recall@10 of rankings worked out by hand, and against scikit-learn."""

import math

import numpy as np
import pytest
from sklearn.metrics import ndcg_score

from semanlink import metrics


def test_by_hand() -> None:
    scores = metrics.score([["a", "b", "c"], ["x", "y"]], [{"b", "z"}, {"q"}])
    ndcg = (1 / math.log2(3)) / (1 + 1 / math.log2(3))
    assert scores.ndcg_by_query == pytest.approx((ndcg, 0.0))
    assert (scores.ndcg, scores.mrr, scores.recall) == pytest.approx((ndcg / 2, 0.25, 0.25))


def test_only_ten_results_count_and_ten_make_the_ideal() -> None:
    scores = metrics.score([list(range(20))], [set(range(12))])
    assert (scores.ndcg, scores.recall) == pytest.approx((1.0, 10 / 12))


def test_ndcg_is_scikit_learns() -> None:
    random = np.random.default_rng(0)
    relevance, values = random.random((20, 50)) < 0.2, random.random((20, 50))
    rankings = np.argsort(-values, axis=1).tolist()
    ours = metrics.score(rankings, [set(np.flatnonzero(row).tolist()) for row in relevance])
    assert ours.ndcg == pytest.approx(ndcg_score(relevance, values, k=10))


def test_rankings_and_judgments_must_belong_together() -> None:
    with pytest.raises(ValueError, match="1 rankings for 2"):
        metrics.score([[1]], [{1}, {2}])
