"""NDCG@10, MRR@10 and Recall@10 of rankings against binary judgments."""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")

DEPTH = 10


@dataclass(frozen=True)
class Scores:
    """Means over queries, and NDCG@10 of each one."""

    ndcg: float
    mrr: float
    recall: float
    ndcg_by_query: tuple[float, ...]


def score(rankings: Sequence[Sequence[T]], relevant: Sequence[Collection[T]]) -> Scores:
    """Score the first ten of each ranking. `rankings[i]` and `relevant[i]` belong to query i.

    Recall's denominator is the number of relevant documents, all of them, not only ten.
    """
    if len(rankings) != len(relevant) or not rankings:
        raise ValueError(f"{len(rankings)} rankings for {len(relevant)} judged queries")
    ndcgs, rrs, recalls = [], [], []
    for ranking, judged in zip(rankings, relevant, strict=True):
        hits = [place for place, item in enumerate(ranking[:DEPTH]) if item in judged]
        ideal = sum(1 / math.log2(place + 2) for place in range(min(DEPTH, len(judged))))
        ndcgs.append(sum(1 / math.log2(place + 2) for place in hits) / ideal)
        rrs.append(1 / (hits[0] + 1) if hits else 0.0)
        recalls.append(len(hits) / len(judged))
    count = len(rankings)
    return Scores(sum(ndcgs) / count, sum(rrs) / count, sum(recalls) / count, tuple(ndcgs))
