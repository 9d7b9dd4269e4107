"""By what trials are chosen: the gain over the start version that the clicks of validation queries tell.

Metrics within the lists that people were shown favour the version that chose them. So trials are compared as the gate
compares versions: by the two judges of `evidence`, on the documents that were shown for any validation query.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from bluetune_trainer.data.pool import Pool, pool_of
from bluetune_trainer.data.types import Catalogue, Sessions
from bluetune_trainer.evidence.examination import Examined, examination
from bluetune_trainer.evidence.judges import CLICK_JUDGES, estimate, moments
from bluetune_trainer.evidence.lexical import Lexical
from bluetune_trainer.evidence.observations import Scores, compared
from bluetune_trainer.ranking.rankers import Ranker
from bluetune_trainer.training.batches import Ints
from bluetune_trainer.training.inputs import InputTable
from bluetune_trainer.training.model import Model

MAX_QUERIES = 500
"""Queries that trials are compared on; of more, some are drawn, always the same."""
GAIN = "gain"
"""Name of the metric: the mean of both judges, in NDCG@10 of a page whose ten results all would be clicked."""


def by_words(model: Model, queries: Sequence[str], items: Sequence[str]) -> Scores:
    """[Q, P] scores of items by the words of queries; all 0 where an input of the model is no text."""
    if not all(tower.reads_words for tower in model.towers()):
        return np.zeros((len(queries), len(items)), np.float32)
    return Lexical(items).scores(queries)


@dataclass
class Selection:
    """The validation sessions as the judges see them."""

    pool: Pool
    queries: Ints
    """Q numbers in the table."""
    documents: Ints
    """P numbers in the table."""
    lexical: Scores
    """[Q, P]"""
    is_similarity: bool
    _examined: Examined | None = None

    @classmethod
    def of(
        cls, validation: Sessions, catalogue: Catalogue, table: InputTable, seed: int, *, is_similarity: bool
    ) -> "Selection":
        """Of validation sessions whose texts are in the table already."""
        pool = pool_of(validation, catalogue, seed, MAX_QUERIES)
        texts = [catalogue.texts[item] for item in pool.documents.tolist()]
        return cls(
            pool,
            table.add(pool.queries, "query"),
            table.add(texts, "item"),
            by_words(table.model, pool.queries, texts),
            is_similarity,
        )

    @torch.no_grad()
    def scores(self, texts: Ints, vectors: Tensor, ranker: Ranker) -> Scores:
        """[Q, P] of a model, larger is better.

        Args:
            texts: ascending numbers, the pool's among them.
            vectors: of these.
            ranker: of queries and items.
        """
        queries, documents = (
            vectors[torch.from_numpy(np.searchsorted(texts, numbers))] for numbers in (self.queries, self.documents)
        )
        ranks = ranker(queries, documents).float().numpy()
        return ranks if self.is_similarity else -ranks

    def gain(self, start: Scores, trial: Scores) -> float:
        """What the judges make of a trial's scores against the start version's; 0 if no session says anything."""
        if not len(self.queries):
            return 0.0
        found = compared(self.pool.log, start, trial, self.lexical)
        if self._examined is None:  # it depends on the start version and on words alone
            self._examined = examination(found)
        examined = self._examined
        return float(np.mean([estimate(moments(judge, found, examined)).gain for judge in CLICK_JUDGES]))
