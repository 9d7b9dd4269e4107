"""Sessions and catalogue in memory: columns, not objects, so that a million of each fit beside the model."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Catalogue:
    """Items by position. `ids[i]` is the id that sessions log in `object_id`, `texts[i]` what is encoded."""

    ids: Sequence[str]
    texts: Sequence[str]
    position: dict[str, int]
    """id → position."""


def chosen(offsets: NDArray[np.int64], index: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Some rows of a ragged table: their offsets, and where their cells lie.

    Args:
        offsets: [n + 1] where each row begins.
        index: [m] rows to take, in this order.
    """
    starts, lengths = offsets[index], np.diff(offsets)[index]
    taken = np.zeros(len(index) + 1, np.int64)
    np.cumsum(lengths, out=taken[1:])
    return taken, np.repeat(starts - taken[:-1], lengths) + np.arange(taken[-1])


@dataclass(frozen=True)
class Sessions:
    """n sessions with their results as one ragged array.

    Results of session i are `items[offsets[i]:offsets[i+1]]` in the order they were shown; `clicked` runs parallel.
    """

    queries: Sequence[str]
    """n query texts as logged."""
    items: NDArray[np.int32]
    """total: positions in the catalogue."""
    clicked: NDArray[np.bool_]
    """total: whether the result was clicked."""
    offsets: NDArray[np.int64]
    """n + 1: where each session's results begin."""
    shown_rank: NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, np.int32))
    """total: rank at which it was shown, from 0; empty when it is the order in `items`."""
    created: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    """n: when it was logged, in seconds since the epoch; empty when that is not known."""
    gains: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))
    """total: what a result gained by its events, 0 where not clicked; empty when every click is worth 1."""

    def __len__(self) -> int:
        return len(self.queries)

    def graded(self) -> NDArray[np.float32]:
        """[total] gains, also where every click is worth 1."""
        return self.gains if len(self.gains) else self.clicked.astype(np.float32)

    def places(self) -> NDArray[np.int32]:
        """[total] rank at which each result was shown, from 0, also where it is the order in `items`."""
        if len(self.shown_rank):
            return self.shown_rank
        begins = np.repeat(self.offsets[:-1], np.diff(self.offsets))
        return (np.arange(len(self.items)) - begins).astype(np.int32)

    def subset(self, index: NDArray[np.int64]) -> "Sessions":
        """The sessions at these positions, in this order."""
        offsets, flat = chosen(self.offsets, index)
        return Sessions(
            queries=[self.queries[i] for i in index],
            items=self.items[flat],
            clicked=self.clicked[flat],
            offsets=offsets,
            shown_rank=self.shown_rank[flat] if len(self.shown_rank) else self.shown_rank,
            created=self.created[index] if len(self.created) else self.created,
            gains=self.gains[flat] if len(self.gains) else self.gains,
        )


def joined(first: Sessions, second: Sessions) -> Sessions:
    """The sessions of both, those of the first before those of the second; a column that one lacks is made up."""
    if not len(second):
        return first
    ranks = bool(len(first.shown_rank) or len(second.shown_rank))
    dated = len(first.created) == len(first) and len(second.created) == len(second)
    graded = bool(len(first.gains) or len(second.gains))
    return Sessions(
        queries=[*first.queries, *second.queries],
        items=np.concatenate([first.items, second.items]),
        clicked=np.concatenate([first.clicked, second.clicked]),
        offsets=np.concatenate([first.offsets, second.offsets[1:] + first.offsets[-1]]),
        shown_rank=np.concatenate([first.places(), second.places()]) if ranks else first.shown_rank,
        created=np.concatenate([first.created, second.created]) if dated else np.zeros(0),
        gains=np.concatenate([first.graded(), second.graded()]) if graded else first.gains,
    )


@dataclass(frozen=True)
class Split:
    """Sessions by a hash of the normalised query: the same in every run on a batch, no query on two sides."""

    train: Sessions
    validation: Sessions
    gate: Sessions
    """Only the gate ever sees these."""
    taught: Sessions | None = None
    """What trials learn from, where that is not `train` as it is: a part of it, and sessions of older batches."""

    def learned(self) -> Sessions:
        """What trials learn from."""
        return self.train if self.taught is None else self.taught
