"""The judged side of the gate: a version's ranking of the whole catalogue against people's judgments."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from bluetune_trainer.data.types import Catalogue
from bluetune_trainer.ranking.metrics import ndcg, recall, reciprocal_rank
from bluetune_trainer.ranking.rankers import Ranker
from bluetune_trainer.search.evidence import DEPTH, Ranking
from bluetune_trainer.training.embedder import Embedder
from bluetune_trainer.training.evaluation import embed_all


@dataclass(frozen=True)
class Judgment:
    """How relevant an item is to a query, by a person's judgment."""

    query: str
    item: int
    """Position in the catalogue."""
    grade: float
    """0 is irrelevant; more is more relevant."""


def judged(
    embedder: Embedder,
    catalogue: Catalogue,
    grades: Mapping[str, Mapping[int, float]],
    ranker: Ranker,
    *,
    is_similarity: bool,
    on_step: Callable[[], None] | None = None,
) -> Ranking:
    """The best of the whole catalogue for each judged query.

    Args:
        embedder: of the version, over an empty table.
        catalogue: all items.
        grades: by query, then by position in the catalogue, as `by_query` makes them.
        ranker: of queries and items.
        is_similarity: whether a higher rank means more relevant.
        on_step: called between forward passes; may raise to stop.
    """
    unique, inverse = np.unique(embedder.table.add(catalogue.texts, "item"), return_inverse=True)
    item_vectors = embed_all(embedder, unique, on_step)[torch.from_numpy(inverse)]
    names = list(grades)
    unique, inverse = np.unique(embedder.table.add(names, "query"), return_inverse=True)
    query_vectors = embed_all(embedder, unique, on_step)[torch.from_numpy(inverse)]
    first = np.full((len(names), min(DEPTH, len(catalogue.texts))), -1, np.int64)
    values: dict[str, list[float]] = {"ndcg@10": [], "mrr@10": [], "recall@10": []}
    for row, name in enumerate(names):
        ranks = ranker(query_vectors[row : row + 1], item_vectors)[0]
        top = torch.topk(ranks if is_similarity else -ranks, first.shape[1]).indices.tolist()
        first[row] = top
        known = grades[name]
        gains = torch.tensor([[known.get(item, 0.0) for item in top]])
        ideal = torch.tensor([list(known.values())])
        values["ndcg@10"].append(float(ndcg(gains, ideal)))
        values["mrr@10"].append(float(reciprocal_rank(gains)))
        values["recall@10"].append(float(recall(gains, torch.tensor([sum(g > 0 for g in known.values())]))))
    relevant = np.array([[grades[name].get(item, 0.0) > 0 for item in first[i]] for i, name in enumerate(names)], bool)
    return Ranking(first, relevant, {name: np.asarray(column) for name, column in values.items()})


def by_query(judgments: Sequence[Judgment]) -> Mapping[str, dict[int, float]]:
    """Grades by query and item, of queries that have a relevant item; a later line replaces an earlier one."""
    grades: dict[str, dict[int, float]] = {}
    for judgment in judgments:
        grades.setdefault(judgment.query, {})[judgment.item] = judgment.grade
    return {query: items for query, items in grades.items() if any(grade > 0 for grade in items.values())}
