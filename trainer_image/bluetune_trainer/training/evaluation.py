"""Scoring sessions with a model: every text embedded once, then metrics over all sessions at once."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from bluetune_trainer.ranking.metrics import RankedSessions
from bluetune_trainer.ranking.rankers import Ranker
from bluetune_trainer.training.batches import Ints, NumberedSessions
from bluetune_trainer.training.embedder import Embedder
from bluetune_trainer.training.parts_of_items import widened

CELLS_IN_BLOCK = 1 << 22
"""Results, with padding, that are looked at together."""


@dataclass(frozen=True)
class PaddedSessions:
    """Sessions as [S, R] arrays over their U different texts."""

    texts: Ints
    """U text numbers."""
    query_at: Ints
    """S: positions in `texts`."""
    result_at: Ints
    """[S, R]: positions in `texts`; 0 on padding."""
    clicked: Tensor
    """[S, R] bool."""
    valid: Tensor
    """[S, R] bool."""


def pad_sessions(sessions: NumberedSessions, index: Ints) -> PaddedSessions:
    """These sessions, padded to the longest of them."""
    lengths = np.diff(sessions.offsets)[index]
    width = int(lengths.max(initial=1))
    numbers = np.zeros((len(index), width), np.int64)
    clicked = np.zeros((len(index), width), np.bool_)
    valid = np.arange(width)[None, :] < lengths[:, None]
    for row, session in enumerate(index):
        span = sessions.span(int(session))
        numbers[row, : lengths[row]] = sessions.items[span]
        clicked[row, : lengths[row]] = sessions.clicked[span]
    queries = sessions.queries[index]
    texts = np.unique(np.concatenate([queries, numbers[valid]]))
    return PaddedSessions(
        texts=texts,
        query_at=np.searchsorted(texts, queries),
        result_at=np.where(valid, np.searchsorted(texts, numbers), 0),
        clicked=torch.from_numpy(clicked),
        valid=torch.from_numpy(valid),
    )


def padded_in_blocks(sessions: NumberedSessions, index: Ints) -> Iterator[tuple[Ints, PaddedSessions]]:
    """These sessions by groups of like length, each with its positions in `index`; a group has few million cells.

    So one long session does not widen all others.
    """
    lengths = np.diff(sessions.offsets)[index]
    order = np.argsort(lengths, kind="stable")
    begin = 0
    while begin < len(order):
        # Lengths ascend, so a group is as wide as its last session: the most sessions for which that fits.
        sizes = (np.arange(begin, len(order)) - begin + 1) * lengths[order[begin:]]
        end = begin + max(int(np.searchsorted(sizes, CELLS_IN_BLOCK, side="right")), 1)
        yield order[begin:end], pad_sessions(sessions, index[order[begin:end]])
        begin = end


@torch.no_grad()
def rank_embedded(vectors: Tensor, padded: PaddedSessions, ranker: Ranker) -> Tensor:
    """Vectors of the sessions' texts ([U, dimension]) → [S, R] ranks, 0 on padding."""
    queries = vectors[torch.from_numpy(padded.query_at)]
    ranks = torch.zeros(padded.result_at.shape)
    for i, count in enumerate(padded.valid.sum(1).tolist()):
        shown = vectors[torch.from_numpy(padded.result_at[i, :count])]
        ranks[i, :count] = ranker(queries[i : i + 1], shown)[0]
    return ranks


@torch.no_grad()
def embed_all(embedder: Embedder, texts: Ints, on_step: Callable[[], None] | None = None) -> Tensor:
    """[n] different numbers of inputs → [n, dimension] on the CPU, by groups of like length.

    [n, most parts, dimension] if items are in parts. `on_step` is called between groups, and may raise to stop.
    """
    group = 1024
    order = np.argsort(embedder.table.lengths(embedder.table.first_rows(texts)), kind="stable")
    vectors = torch.zeros(len(texts), embedder.model.dimension)
    for begin in range(0, len(order), group):
        if on_step is not None:
            on_step()
        part = order[begin : begin + group]
        block = embedder.embed(texts[part]).cpu()
        if block.dim() == 3 or vectors.dim() == 3:
            most = max(block.shape[1] if block.dim() == 3 else 1, vectors.shape[1] if vectors.dim() == 3 else 1)
            vectors, block = widened(vectors, most), widened(block, most)
        vectors[torch.from_numpy(part)] = block
    return vectors


def fixed_subset(sessions: NumberedSessions, most: int, seed: int) -> Ints:
    """Positions of at most `most` sessions, in order, informative ones first; the same ones for the same seed."""
    if len(sessions) <= most:
        return np.arange(len(sessions))
    drawn = np.random.default_rng([seed, 1]).permutation(len(sessions))
    first = np.argsort(~sessions.informative()[drawn], kind="stable")
    return np.sort(drawn[first[:most]])


def ranked(
    padded: PaddedSessions, ranks: Tensor, previous: Tensor, is_similarity: bool, loss: float | None = None
) -> RankedSessions:
    """What the metrics are computed from."""
    asked = torch.from_numpy(padded.query_at)
    return RankedSessions(ranks, previous, padded.clicked, padded.valid, is_similarity, loss, asked)


def item_vectors(vectors: Tensor, padded: PaddedSessions) -> Tensor:
    """Of the vectors of the sessions' texts, those of the different results."""
    return vectors[torch.from_numpy(np.unique(padded.result_at[padded.valid.numpy()]))]
