"""Hard negatives: items of the catalogue that the start version puts near a query and that nobody clicked for it.

The margin is that of NV-Retriever's positive-aware mining (TopK-PercPos, Moreira et al. 2024, arXiv 2407.15831): what
scores nearly as high as a click is too often relevant itself.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bluetune_api.method import HardNegatives
from bluetune_trainer.ranking.rankers import Ranker
from bluetune_trainer.training.batches import NOTHING, Ints, MinedNegatives, NumberedSessions
from bluetune_trainer.training.embedder import Embedder
from bluetune_trainer.training.evaluation import embed_all
from bluetune_trainer.training.parts_of_items import widened
from bluetune_trainer.training.scratch import reserve

ITEMS_IN_BLOCK = 4096
QUERIES_IN_BLOCK = 512
"""A block of scores takes 8 MiB, whatever the catalogue."""


def mine_catalogue(
    embedder: Embedder,
    catalogue: Ints,
    sessions: NumberedSessions,
    ranker: Ranker,
    wanted: HardNegatives,
    *,
    is_similarity: bool,
    workdir: Path,
    on_block: Callable[[], None],
) -> MinedNegatives:
    """Candidates for every query of the sessions that has a click.

    Args:
        embedder: the start version's.
        catalogue: numbers of all items in the embedder's table; an item in parts is judged by its first.
        workdir: the catalogue's vectors lie in a file there while they are needed.
        on_block: called now and then; may raise to stop.
    """
    items = np.unique(catalogue)
    owner = np.repeat(sessions.queries, np.diff(sessions.offsets))[sessions.clicked]
    numbers = np.searchsorted(items, sessions.items[sessions.clicked])
    queries, rows = np.unique(owner, return_inverse=True)
    order = np.argsort(rows, kind="stable")
    clicked = [np.unique(part) for part in np.split(numbers[order], np.cumsum(np.bincount(rows))[:-1])]
    path = workdir / "catalogue.npy"
    counts = embedder.table.rows_of(items)[1]
    each = (embedder.model.dimension,) if counts is None else (max(counts), embedder.model.dimension)
    vectors = np.lib.format.open_memmap(path, "w+", np.float32, (len(items), *each))
    try:
        reserve(path)
        for part in _slices(len(items), ITEMS_IN_BLOCK):
            block = embed_all(embedder, items[part], on_block)
            vectors[part] = (block if counts is None else widened(block, max(counts))).numpy()
        found = mine(
            embed_all(embedder, queries, on_block),
            vectors,
            clicked,
            ranker,
            is_similarity=is_similarity,
            margin=wanted.margin,
            depth=wanted.depth,
            on_block=on_block,
        )
    finally:
        del vectors
        path.unlink()
    by_number = np.where(found == NOTHING, NOTHING, items[found])
    return MinedNegatives({int(query): row for row, query in enumerate(queries)}, by_number, wanted.count)


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
        items: [N, dimension] vectors, or [N, parts, dimension]; may be a memory map.
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
    offsets = np.cumsum([0, *(len(positions) for positions in clicked)])
    places = torch.from_numpy(np.concatenate([*clicked, np.zeros(0, np.int64)]))
    owners = torch.from_numpy(np.repeat(np.arange(len(clicked)), np.diff(offsets)))
    scores = torch.full((len(queries), depth), -torch.inf)
    found = torch.full((len(queries), depth), NOTHING, dtype=torch.int64)
    for begin in range(0, len(items), ITEMS_IN_BLOCK):
        block = torch.from_numpy(np.array(items[begin : begin + ITEMS_IN_BLOCK]))
        numbers = torch.arange(begin, begin + len(block))
        for rows in _slices(len(queries), QUERIES_IN_BLOCK):
            on_block()
            ranks = sign * ranker(queries[rows], block).float()
            ranks.masked_fill_(ranks >= limits[rows, None], -torch.inf)
            own = slice(int(offsets[rows.start]), int(offsets[rows.stop]))
            inside = (places[own] >= begin) & (places[own] < begin + len(block))
            ranks[owners[own][inside] - rows.start, places[own][inside] - begin] = -torch.inf
            every = torch.cat([scores[rows], ranks], 1)
            candidates = torch.cat([found[rows], numbers.expand(len(ranks), -1)], 1)
            scores[rows], best = every.topk(depth)
            found[rows] = candidates.gather(1, best)
    found[scores == -torch.inf] = NOTHING
    return np.asarray(found.numpy(), np.int64)


def _slices(total: int, size: int) -> Iterator[slice]:
    for begin in range(0, total, size):
        yield slice(begin, min(begin + size, total))
