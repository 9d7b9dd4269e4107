"""Sessions as they were read, before those that were logged more than once are made one and long ones are cut."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Rows:
    """n sessions, with their results as one ragged array."""

    queries: list[str]
    """n."""
    created: NDArray[np.float64]
    """n: seconds since the epoch."""
    searches: NDArray[np.uint64]
    """n: a hash of what makes two sessions the same search: ids, query, and the results with their ranks."""
    contents: NDArray[np.uint64]
    """n: a hash of all that can differ between two lines of the same search: its time and its clicks."""
    lengths: NDArray[np.int64]
    """n: results."""
    items: NDArray[np.int32]
    """total: positions in the catalogue; -1 is an item that it does not know."""
    ranks: NDArray[np.int32]
    """total: rank at which it was shown, from 0, ascending within a session."""
    levels: NDArray[np.uint16]
    """total: 0 where not clicked, otherwise which of the gains it has, ascending."""

    def owners(self) -> NDArray[np.int64]:
        """[total] the session of each result."""
        return np.repeat(np.arange(len(self.queries)), self.lengths)

    def only(self, sessions: NDArray[np.int64], results: NDArray[np.bool_], lengths: NDArray[np.int64]) -> "Rows":
        """Some of the sessions, with some of the results."""
        return Rows(
            queries=[self.queries[i] for i in sessions],
            created=self.created[sessions],
            searches=self.searches[sessions],
            contents=self.contents[sessions],
            lengths=lengths,
            items=self.items[results],
            ranks=self.ranks[results],
            levels=self.levels[results],
        )


class Merged(NamedTuple):
    """Sessions without repetitions, and what was repeated."""

    rows: Rows
    duplicates: int
    """Lines that repeat a search with the same time and clicks."""
    merged: int
    """Lines that repeat a search with another time or other clicks."""


def merge(rows: Rows) -> Merged:
    """Make one session of those that are the same search: the first one, with the clicks of all."""
    _, first, group = np.unique(rows.searches, return_index=True, return_inverse=True)
    if len(first) == len(rows.queries):
        return Merged(rows, 0, 0)
    same = np.unique(np.stack([group.astype(np.uint64), rows.contents]), axis=1).shape[1]
    repeated = len(rows.queries) - len(first)
    duplicates = len(rows.queries) - same

    owner = np.repeat(first[group], rows.lengths)  # the session that each result goes to
    order = np.lexsort((rows.ranks, owner))
    begins = np.ones(len(order), np.bool_)
    begins[1:] = (np.diff(owner[order]) != 0) | (np.diff(rows.ranks[order]) != 0)
    starts = np.flatnonzero(begins)
    kept = order[starts]
    levels = np.maximum.reduceat(rows.levels[order], starts) if len(starts) else rows.levels
    sessions = np.sort(first)
    lengths = np.bincount(np.searchsorted(sessions, owner[kept]), minlength=len(sessions)).astype(np.int64)
    return Merged(
        Rows(
            queries=[rows.queries[i] for i in sessions],
            created=rows.created[sessions],
            searches=rows.searches[sessions],
            contents=rows.contents[sessions],
            lengths=lengths,
            items=rows.items[kept],
            ranks=rows.ranks[kept],
            levels=levels,
        ),
        duplicates,
        repeated - duplicates,
    )


def cap(rows: Rows, most: int) -> Rows:
    """Cut sessions of more than `most` results: those clicked are kept before the others, in the order shown."""
    if not len(rows.lengths) or rows.lengths.max() <= most:
        return rows
    keep = np.ones(len(rows.items), np.bool_)
    begins = np.cumsum(rows.lengths) - rows.lengths
    for session in np.flatnonzero(rows.lengths > most):
        span = slice(begins[session], begins[session] + rows.lengths[session])
        passed_over = rows.levels[span] == 0
        keep[span] = False
        keep[begins[session] + np.argsort(passed_over, kind="stable")[:most]] = True
    return rows.only(np.arange(len(rows.queries)), keep, np.minimum(rows.lengths, most))
