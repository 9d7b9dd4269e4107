"""Sessions dealt into batches so that no batch has a query twice. numpy only.

Two sessions of a query in one batch say little that is different, and the one's items are no negatives of the other.
"""

import numpy as np
from numpy.typing import NDArray

from bluetune_trainer.training.steps import batches_of

Ints = NDArray[np.int64]


def deal(sessions: Ints, queries: Ints, batch_size: int, random: np.random.Generator) -> list[Ints]:
    """Batches of at most `batch_size` sessions, as even as can be, the larger ones first; none for no session.

    A query is twice in a batch only if it has more sessions than there are batches.

    Args:
        sessions: n different numbers.
        queries: n, of each.
        batch_size: sessions of a batch, at most.
        random: decides all of it.
    """
    if not len(sessions):
        return []
    order = random.permutation(len(sessions))
    _, first, group = np.unique(queries[order], return_index=True, return_inverse=True)
    order = order[np.argsort(first[group], kind="stable")]  # queries in random order, each one's sessions together
    batches = batches_of(len(sessions), batch_size)
    places = _rounds(queries[order], batches, random)
    sizes = np.bincount(places, minlength=batches)
    by_size = np.argsort(-sizes, kind="stable")
    at = np.argsort(places, kind="stable")
    ends = np.cumsum(sizes)
    return [sessions[order[at[ends[b] - sizes[b] : ends[b]]]] for b in by_size]


def _rounds(queries: Ints, batches: int, random: np.random.Generator) -> Ints:
    """[n] the batch of each session. `queries`: of each; equal ones stand together.

    Like cards: in each round every batch gets one, in a random order. So a query is twice in a batch only if a round
    ends within it, or if it is longer than a round; a round begins with batches that the query is not yet in.
    """
    places = np.empty(len(queries), np.int64)
    for begin in range(0, len(queries), batches):
        turn = random.permutation(batches)
        split = begin > 0 and queries[begin] == queries[begin - 1]
        if split:
            own = queries[begin]
            before = places[max(begin - batches, 0) : begin][queries[max(begin - batches, 0) : begin] == own]
            after = int((queries[begin : begin + batches] == own).sum())
            head = turn[~np.isin(turn, before)][:after]
            turn = np.concatenate([head, turn[~np.isin(turn, head)]])
        places[begin : begin + batches] = turn[: len(queries) - begin]
    return places
