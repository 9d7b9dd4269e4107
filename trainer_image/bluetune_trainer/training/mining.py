"""Hard negatives: items of the catalogue that the start version puts near a query and that nobody clicked for it.

The margin is that of NV-Retriever's positive-aware mining (TopK-PercPos, Moreira et al. 2024, arXiv 2407.15831): what
scores nearly as high as a click is too often relevant itself.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bluetune_trainer.ranking.rankers import Ranker

Ints = NDArray[np.int64]
ITEMS_IN_BLOCK = 4096
QUERIES_IN_BLOCK = 512
"""A block of scores takes 8 MiB, whatever the catalogue."""
NOTHING = -1


@dataclass(frozen=True)
class MinedNegatives:
    """For each different query of the training sessions, its candidates."""

    rows: Mapping[int, int]
    """Number of a query → its row in `items`."""
    items: NDArray[np.int64]
    """[queries, depth] numbers of items, the nearest first; NOTHING where there are fewer."""
    count: int
    """How many of them a session is given."""

    def draw(self, query: int, shown: Ints, random: np.random.Generator) -> Ints:
        """At most `count` candidates of a query that are not among the session's results, in ascending order."""
        row = self.rows.get(query)
        if row is None:
            return np.zeros(0, np.int64)
        candidates = self.items[row]
        candidates = candidates[(candidates != NOTHING) & ~np.isin(candidates, shown)]
        return np.sort(random.permutation(candidates)[: self.count])


def mine(
    queries: Tensor,
    items: NDArray[np.float32],
    clicked: list[Ints],
    ranker: Ranker,
    *,
    is_similarity: bool,
    margin: float,
    depth: int,
    on_block: Callable[[], None] = lambda: None,
) -> Ints:
    """[queries, depth] positions of items, the nearest first; NOTHING where fewer remain.

    Args:
        queries: [Q, dimension] vectors, on the CPU.
        items: [N, dimension] vectors; may be a memory map.
        clicked: for each query the positions of the items that were clicked for it, in any session.
        margin: with r the rank of the query's least similar click and s that of an item, both as similarities, an item
            remains if s < r - margin·|r|: below (1 - margin) times the click's similarity, if that is positive.
        on_block: called between blocks; may raise to stop.
    """
    sign = 1.0 if is_similarity else -1.0
    limits = torch.empty(len(queries))
    for row, positions in enumerate(clicked):
        if row % QUERIES_IN_BLOCK == 0:
            on_block()
        scores = sign * ranker(queries[row : row + 1], torch.from_numpy(items[positions]))
        worst = float(scores.min()) if len(positions) else torch.inf
        limits[row] = worst - margin * abs(worst) if len(positions) else torch.inf
    scores = torch.full((len(queries), depth), -torch.inf)
    found = torch.full((len(queries), depth), NOTHING, dtype=torch.int64)
    for begin in range(0, len(items), ITEMS_IN_BLOCK):
        block = torch.from_numpy(np.array(items[begin : begin + ITEMS_IN_BLOCK]))
        numbers = torch.arange(begin, begin + len(block))
        for rows in _slices(len(queries), QUERIES_IN_BLOCK):
            on_block()
            ranks = sign * ranker(queries[rows], block).float()
            ranks.masked_fill_(ranks >= limits[rows, None], -torch.inf)
            for row, positions in enumerate(clicked[rows]):
                inside = positions[(positions >= begin) & (positions < begin + len(block))]
                ranks[row, torch.from_numpy(inside - begin)] = -torch.inf
            every = torch.cat([scores[rows], ranks], 1)
            places = torch.cat([found[rows], numbers.expand(len(ranks), -1)], 1)
            scores[rows], best = every.topk(depth)
            found[rows] = places.gather(1, best)
    found[scores == -torch.inf] = NOTHING
    return np.asarray(found.numpy(), np.int64)


def _slices(total: int, size: int) -> Iterator[slice]:
    for begin in range(0, total, size):
        yield slice(begin, min(begin + size, total))
