"""The judged side of the gate: a version's ranking of the whole catalogue against people's judgments."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from bluetune_trainer.data.types import Catalogue
from bluetune_trainer.ranking.metrics import ndcg, recall, reciprocal_rank
from bluetune_trainer.ranking.rankers import Ranker
from bluetune_trainer.ranking.ties import Standing, stand
from bluetune_trainer.search.catalogue_ranking import CatalogueRanking, rank_catalogue
from bluetune_trainer.search.evidence import DEPTH, Ranking
from bluetune_trainer.training.embedder import Embedder

log = logging.getLogger(__name__)


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
    """The best of the whole catalogue for each judged query, and its metrics.

    An item that nobody judged has no gain in ndcg@10, mrr@10 and recall@10, though it may be relevant. So judged@10
    says how many of the first ten were judged, and ndcg@10_condensed is the NDCG of the judged items alone, with what
    nobody judged taken out of the ranking (T. Sakai, Alternatives to Bpref, SIGIR 2007).

    Args:
        embedder: of the version, over an empty table.
        catalogue: all items.
        grades: by query, then by position in the catalogue, as `by_query` makes them.
        ranker: of queries and items.
        is_similarity: whether a higher rank means more relevant.
        on_step: called between forward passes; may raise to stop.

    Raises:
        RanksNotFinite: a rank is NaN or infinite.
    """
    names = list(grades)
    pairs = [np.fromiter(grades[name], np.int64, len(grades[name])) for name in names]
    found = rank_catalogue(
        embedder,
        names,
        embedder.table.add(catalogue.texts, "item"),
        ranker,
        pairs,
        is_similarity=is_similarity,
        depth=min(DEPTH, len(catalogue.texts)),
        on_step=on_step,
    )
    values = judged_metrics(found, [list(grades[name].values()) for name in names])
    relevant = [[grades[name].get(item, 0.0) > 0 for item in found.best[row]] for row, name in enumerate(names)]
    metrics = {name: column.numpy() for name, column in values.items()}
    shares = metrics["judged@10"]
    log.info(
        "judged queries ranked",
        extra={"queries": len(names), "judgedShare": round(float(shares.mean()), 4) if len(shares) else None},
    )
    return Ranking(found.best, np.array(relevant, bool).reshape(found.best.shape), metrics)


def judged_metrics(found: CatalogueRanking, grades: Sequence[Sequence[float]]) -> dict[str, Tensor]:
    """[queries] of each metric; `grades` are those of the pairs that were asked for, query by query."""
    counts = torch.tensor([len(of_query) for of_query in grades])
    owners = torch.repeat_interleave(torch.arange(len(grades)), counts)
    at = (owners, torch.arange(len(owners)) - (counts.cumsum(0) - counts)[owners])
    shape = (len(grades), int(counts.max()))

    def padded(flat: Tensor, fill: float) -> Tensor:
        return torch.full(shape, fill, dtype=flat.dtype).index_put(at, flat)

    gains = padded(torch.tensor([grade for of_query in grades for grade in of_query], dtype=torch.float64), 0.0)
    known = padded(torch.ones(len(owners), dtype=torch.bool), False)
    whole = found.standing(found.of_pairs, owners)
    standing = Standing(padded(whole.above, DEPTH), padded(whole.tied, 1))
    condensed = stand(padded(found.of_pairs, 0.0), known, is_similarity=True)
    places = found.ranks.shape[1]
    return {
        "ndcg@10": ndcg(gains, standing, gains),
        "mrr@10": reciprocal_rank(gains, standing),
        "recall@10": recall(gains, standing, (gains > 0).sum(1)),
        "ndcg@10_condensed": ndcg(gains, condensed, gains),
        "judged@10": (standing.expected(torch.ones(places, dtype=torch.float64)) * known).sum(1) / places,
    }


def by_query(judgments: Sequence[Judgment]) -> Mapping[str, dict[int, float]]:
    """Grades by query and item, of queries that have a relevant item; a later line replaces an earlier one."""
    grades: dict[str, dict[int, float]] = {}
    for judgment in judgments:
        grades.setdefault(judgment.query, {})[judgment.item] = judgment.grade
    return {query: items for query, items in grades.items() if any(grade > 0 for grade in items.values())}
