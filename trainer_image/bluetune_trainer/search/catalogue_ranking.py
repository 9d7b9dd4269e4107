"""The whole catalogue ranked for many queries in blocks: neither its vectors nor its ranks are ever held whole."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from bluetune_trainer.ranking.rankers import Ranker
from bluetune_trainer.ranking.ties import Standing, check_ranks
from bluetune_trainer.training.batches import Ints
from bluetune_trainer.training.embedder import Embedder
from bluetune_trainer.training.evaluation import embed_all

ITEMS_IN_BLOCK = 4096
QUERIES_IN_BLOCK = 512
"""A block of ranks takes 8 MiB, whatever the catalogue."""


@dataclass(frozen=True)
class CatalogueRanking:
    """The first `depth` places of a catalogue for each of Q queries, and the ranks of chosen pairs."""

    best: Ints
    """[Q, depth] positions in the catalogue, best first."""
    ranks: Tensor
    """[Q, depth] their ranks, as similarities."""
    tied_at_end: Tensor
    """[Q] how many items of the catalogue have the rank of the last place."""
    of_pairs: Tensor
    """[pairs] ranks of the pairs that were asked for, as similarities."""

    def standing(self, pairs: Tensor, owners: Tensor) -> Standing:
        """Where items of these ranks ([n]) stand in the catalogue of their queries ([n]), exact up to `depth`."""
        first, end = self.ranks[owners], self.ranks[owners, -1]
        above = (first > pairs[:, None]).sum(1)
        tied = torch.where(pairs == end, self.tied_at_end[owners], (first == pairs[:, None]).sum(1))
        return Standing(above, tied.clamp(min=1))


def rank_catalogue(
    embedder: Embedder,
    queries: Sequence[str],
    items: Ints,
    ranker: Ranker,
    pairs: Sequence[Ints],
    *,
    is_similarity: bool,
    depth: int,
    on_step: Callable[[], None] | None = None,
) -> CatalogueRanking:
    """Rank all items for all queries.

    Items of the same text are tied.

    Args:
        embedder: of the model that ranks.
        queries: Q texts.
        items: numbers of the catalogue's items in the embedder's table.
        ranker: of queries and items.
        pairs: for each query the positions in the catalogue whose ranks are wanted.
        is_similarity: whether a higher rank means more relevant.
        depth: places, not more than there are items.
        on_step: called between forward passes; may raise to stop.

    Raises:
        RanksNotFinite: a rank is NaN or infinite.
    """
    unique, inverse = np.unique(embedder.table.add(queries, "query"), return_inverse=True)
    asked = embed_all(embedder, unique, on_step)[torch.from_numpy(inverse)]
    order = np.argsort(items, kind="stable")  # items of the same text stand together, and are encoded once
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    numbers, starts = np.unique(items[order], return_index=True)
    ends = np.append(starts[1:], len(order))
    offsets = np.cumsum([0, *(len(wanted) for wanted in pairs)])
    wanted = place[np.concatenate([*pairs, np.zeros(0, np.int64)])]
    owners = np.repeat(np.arange(len(pairs)), np.diff(offsets))
    best = torch.zeros((len(queries), depth), dtype=torch.int64)
    ranks = torch.full((len(queries), depth), -torch.inf)
    tied = torch.zeros(len(queries), dtype=torch.int64)
    of_pairs = torch.zeros(len(wanted))
    for block in _slices(0, len(numbers), ITEMS_IN_BLOCK):
        vectors = embed_all(embedder, numbers[block], on_step)
        column = np.repeat(np.arange(len(vectors)), ends[block] - starts[block])
        for rows in _slices(0, len(queries), QUERIES_IN_BLOCK):
            found = ranker(asked[rows], vectors).float()
            check_ranks(found, torch.ones_like(found, dtype=torch.bool))
            found = found if is_similarity else -found
            for part in _slices(int(starts[block.start]), int(ends[block.stop - 1]), ITEMS_IN_BLOCK):
                own = slice(int(offsets[rows.start]), int(offsets[rows.stop]))
                at = np.flatnonzero((wanted[own] >= part.start) & (wanted[own] < part.stop)) + own.start
                columns = column[part.start - int(starts[block.start]) : part.stop - int(starts[block.start])]
                these = found[:, torch.from_numpy(columns)]
                of_pairs[torch.from_numpy(at)] = these[
                    torch.from_numpy(owners[at] - rows.start), torch.from_numpy(wanted[at] - part.start)
                ]
                positions = torch.from_numpy(order[part]).expand(len(these), -1)
                ranks[rows], best[rows], tied[rows] = _merged(ranks[rows], best[rows], tied[rows], these, positions)
    return CatalogueRanking(best.numpy(), ranks, tied, of_pairs)


def _merged(
    ranks: Tensor, best: Tensor, tied: Tensor, more: Tensor, positions: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The best of the best so far and of more items, and how many of all items have the rank of the last of them.

    Items that fell off the list rank no better than its last place, so they count only while that stays as it is.
    """
    every = torch.cat([ranks, more], 1)
    merged, at = every.topk(ranks.shape[1])
    end, before = merged[:, -1:], ranks[:, -1:]
    fallen = torch.where((end == before)[:, 0], tied - (ranks == before).sum(1), 0)
    return merged, torch.cat([best, positions], 1).gather(1, at), fallen + (every == end).sum(1)


def _slices(begin: int, end: int, size: int) -> Iterator[slice]:
    for start in range(begin, end, size):
        yield slice(start, min(start + size, end))
