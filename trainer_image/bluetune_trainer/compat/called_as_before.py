"""Metrics, confidences and rankers whose authors wrote them for Embedding Studio's calls, called in that form.

There a metric got pairs of inputs, an extractor, a storage of items and a query retriever; a confidence calculator got
the ranks and clicks of one session, and a ranker one query.
"""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import torch
from torch import Tensor

from bluetune_trainer.compat.convert import FineTuningInput
from bluetune_trainer.ranking.accumulators import MetricValue
from bluetune_trainer.ranking.confidences import ConfidenceCalculator
from bluetune_trainer.ranking.metrics import MetricCalculator, RankedSessions
from bluetune_trainer.ranking.rankers import COSINE_DISTANCE, COSINE_SIMILARITY, EUCLIDEAN_DISTANCE, Ranker


def metric_of(calculator: MetricCalculator) -> MetricCalculator:
    """The calculator as a run calls it."""
    return PairsOfInputs(calculator) if _positional(calculator) == 4 else calculator


def confidences_of(calculate: Callable[..., Any]) -> ConfidenceCalculator:
    """The confidence calculator as a run calls it."""
    if _positional(calculate) != 2:
        return calculate

    def session_by_session(ranks: Tensor, clicked: Tensor, valid: Tensor) -> Tensor:
        confidences = torch.zeros_like(ranks)
        for row, mask in enumerate(valid):
            confidences[row, mask] = torch.as_tensor(calculate(ranks[row, mask], clicked[row, mask])).to(ranks)
        return confidences

    return session_by_session


def ranker_of(rank: Ranker) -> Ranker:
    """The ranker as a run calls it: one that gives [items] for a query, and not [queries, items], is asked for each."""
    if rank in (COSINE_SIMILARITY, COSINE_DISTANCE, EUCLIDEAN_DISTANCE):
        return rank
    return QueryByQuery(rank)


class QueryByQuery:
    """Finds out at its first call whether a ranker takes one query at a time.

    Args:
        rank: ([1, dimension] query, [m, dimension] items) → [m] or [1, m].
    """

    def __init__(self, rank: Ranker) -> None:
        self.rank = rank
        self._one: bool | None = None

    def __call__(self, queries: Tensor, items: Tensor) -> Tensor:
        """[n, dimension], [m, dimension] → [n, m]."""
        if self._one is None:
            first: object = self.rank(queries[:1], items)
            self._one = isinstance(first, Tensor) and first.shape == (len(items),)
        if not self._one:
            return self.rank(queries, items)
        return torch.stack([self.rank(queries[at : at + 1], items) for at in range(len(queries))])


def _positional(function: Callable[..., Any]) -> int | None:
    """How many positional arguments it must be given; None where that cannot be known."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # a function of a compiled module
        return None
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(p.kind in kinds and p.default is inspect.Parameter.empty for p in parameters)


@dataclass(frozen=True)
class Vectors:
    """What stands for the vectors of a query or of items: only the extractor's ranker can read it."""

    session: int | None = None
    results: Sequence[int] = ()


class PairsOfInputs(MetricCalculator):
    """Calls a calculator with (batch, extractor, items_storage, query_retriever).

    `batch` holds pairs of an input with clicks and one without, None where one of them is missing. Their ids are the
    results' numbers, and `ranks` are the start version's. `extractor` has `ranker`, `is_similarity` and `model`, whose
    `forward_query` and `forward_items` give what the ranker ranks, and no numbers.
    """

    def __init__(self, calculator: Callable[..., Any]) -> None:
        self.calculator = calculator

    @property
    def label(self) -> str:
        return type(self.calculator).__name__

    def __call__(self, sessions: RankedSessions) -> list[MetricValue]:
        inputs = [_input(sessions, row) for row in range(len(sessions.ranks))]
        relevant = [entry for entry in inputs if not entry.is_irrelevant]
        irrelevant = [entry for entry in inputs if entry.is_irrelevant and len(entry)]
        extractor = Extractor(sessions)
        values: list[MetricValue] = self.calculator(
            list(zip_longest(relevant, irrelevant)), extractor, ItemsByIds(), int
        )
        return values


class ItemsByIds:
    """The storage of items."""

    def items_by_ids(self, ids: Sequence[str]) -> list[int]:
        """Items, as `forward_items` takes them."""
        return [int(each) for each in ids]


class Extractor:
    """Ranks, as a model that encodes queries and items."""

    def __init__(self, sessions: RankedSessions) -> None:
        self.model = self
        self.is_similarity = self.is_similarty = sessions.is_similarity  # early versions have it misspelt
        self._width = sessions.ranks.shape[1]
        self._ranks = sessions.ranks

    def forward_query(self, query: int) -> Vectors:
        """The query's vector."""
        return Vectors(session=query)

    def forward_items(self, items: Sequence[int]) -> Vectors:
        """The items' vectors."""
        return Vectors(results=items)

    def ranker(self, query: Vectors, items: Vectors) -> Tensor:
        """[results] ranks."""
        return self._ranks[query.session, [number % self._width for number in items.results]]


def _input(sessions: RankedSessions, row: int) -> FineTuningInput:
    width = sessions.ranks.shape[1]
    at = sessions.valid[row].nonzero().flatten().tolist()
    ids = {column: str(row * width + column) for column in at}
    return FineTuningInput(
        query=row,
        events=[ids[column] for column in at if sessions.clicked[row, column]],
        results=list(ids.values()),
        ranks={ids[column]: float(sessions.previous_ranks[row, column]) for column in at},
    )
