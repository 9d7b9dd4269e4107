"""Scoring sessions with a model: every text embedded once, then metrics over all sessions at once."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from bluetune_trainer.ranking.metrics import RankedSessions
from bluetune_trainer.ranking.rankers import Ranker
from bluetune_trainer.training.batches import Ints, NumberedSessions
from bluetune_trainer.training.embedder import Embedder
from bluetune_trainer.training.parts_of_items import widened


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


@torch.no_grad()
def rank_embedded(vectors: Tensor, padded: PaddedSessions, ranker: Ranker) -> Tensor:
    """Vectors of the sessions' texts ([U, dimension]) → [S, R] ranks."""
    queries = vectors[torch.from_numpy(padded.query_at)]
    rows = [
        ranker(queries[i : i + 1], vectors[torch.from_numpy(padded.result_at[i])])[0]
        for i in range(len(padded.query_at))
    ]
    return torch.stack(rows) if rows else torch.zeros(0, padded.result_at.shape[1])


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
    """Positions of at most `most` sessions, in order; the same ones for the same seed."""
    if len(sessions) <= most:
        return np.arange(len(sessions))
    return np.sort(np.random.default_rng([seed, 1]).choice(len(sessions), most, replace=False))


def ranked(
    padded: PaddedSessions, ranks: Tensor, previous: Tensor, is_similarity: bool, loss: float | None = None
) -> RankedSessions:
    """What the metrics are computed from."""
    return RankedSessions(ranks, previous, padded.clicked, padded.valid, is_similarity, loss)
