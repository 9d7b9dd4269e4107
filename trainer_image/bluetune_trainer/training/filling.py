"""Which inputs the frozen layers compute together: fixed for a run, so that their activations are, to the last bit.

The shapes of a forward pass decide the last bits of its results. A trial that goes on in another process begins with
an empty cache. If each step computed just the inputs that it lacks, the shapes would differ there, and so would the
weights.
So every input belongs to one chunk. A chunk is computed as a whole when the first of its inputs is needed.

Chunks follow the order in which the first trial's first epoch shows its sessions: there a step computes hardly more
than its own texts. Another order needs many chunks at once, but no text is computed twice, and an epoch needs them all.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from bluetune_trainer.training.batches import SESSIONS_IN_BLOCK, NumberedSessions
from bluetune_trainer.training.dealing import deal
from bluetune_trainer.training.inputs import InputTable
from bluetune_trainer.training.ranks import rank, world

Ints = NDArray[np.int64]

CHUNK = 32
"""Inputs of a chunk, or a session more. Fewer are slow (bfloat16, MiniLM: 8 take 1.8 times as long a text, one alone
four times), more are much for a first step in another order."""
CHUNK_EVALUATED = 256
"""The same for inputs that are only looked at by validations, which need all of them."""
_NONE = -1


class FillOrder:
    """Chunks of rows of an InputTable. A row in no chunk is computed alone."""

    def __init__(self) -> None:
        self._chunk_of: Ints = np.zeros(0, np.int64)
        """Number of each row's chunk, or _NONE."""
        self.rows: Ints = np.zeros(0, np.int64)
        """Rows that have a chunk, chunk after chunk."""
        self._begins: Ints = np.zeros(1, np.int64)
        """Where each chunk begins in `rows`; one more at the end."""

    def add_inputs(self, table: InputTable, numbers: Ints, units: Ints | None = None, *, size: int = CHUNK) -> None:
        """`add` of these inputs' rows, as far as this rank encodes them: those of each tower apart."""
        of_query = table.of_query_tower(table.first_rows(numbers))
        for tower in (~of_query, of_query):
            rows, counts = table.rows_of(numbers[tower])
            own = rows % world() == rank()
            owners = None
            if units is not None:
                owners = (units[tower] if counts is None else np.repeat(units[tower], counts))[own]
            self.add(rows[own], owners, size=size)

    def add(self, rows: Ints, units: Ints | None = None, *, size: int = CHUNK) -> None:
        """Divide those of these rows that have no chunk yet into chunks of about `size`, in this order.

        Args:
            rows: may repeat; the first place counts.
            units: of each row, ascending: what should stay together (a session). None: each row is its own.
            size: a chunk ends with the unit in which it reaches that many rows.
        """
        if not len(rows):
            return
        missing = int(rows.max()) + 1 - len(self._chunk_of)
        if missing > 0:
            self._chunk_of = np.concatenate([self._chunk_of, np.full(missing, _NONE)])
        place = np.arange(len(rows))
        first = np.full(len(self._chunk_of), len(rows))
        np.minimum.at(first, rows, place)
        new = (first[rows] == place) & (self._chunk_of[rows] == _NONE)
        if not new.any():
            return
        before = np.cumsum(new) - new
        begins = np.ones(len(rows), np.bool_) if units is None else np.diff(units, prepend=units[0] - 1) != 0
        starts = np.maximum.accumulate(np.where(begins, place, 0))  # the first place of each one's unit
        _, sizes = np.unique((before[starts] // size)[new], return_counts=True)
        begin = len(self._begins) - 1
        self._chunk_of[rows[new]] = np.repeat(np.arange(begin, begin + len(sizes)), sizes)
        self.rows = np.concatenate([self.rows, rows[new]])
        self._begins = np.concatenate([self._begins, self._begins[-1] + np.cumsum(sizes)])

    def together(self, missing: Ints) -> Iterator[Ints]:
        """All rows of the chunks that these rows are in, chunk by chunk; then, one by one, those that are in none."""
        known = missing < len(self._chunk_of)
        chunks = np.full(len(missing), _NONE)
        chunks[known] = self._chunk_of[missing[known]]
        for chunk in np.unique(chunks[chunks != _NONE]).tolist():
            yield self.rows[self._begins[chunk] : self._begins[chunk + 1]]
        for row in missing[chunks == _NONE].tolist():
            yield np.array([row], np.int64)


def fill_order(table: InputTable, train: NumberedSessions, evaluated: Ints, batch_size: int, seed: int) -> FillOrder:
    """Training sessions in the order of the first trial's first epoch, then what only validations look at."""
    order = FillOrder()
    relevant = train.with_click()
    with_click = np.flatnonzero(relevant)
    first = np.concatenate(deal(with_click, train.queries[with_click], batch_size, np.random.default_rng([seed, 0, 0])))
    sessions = np.concatenate([first, np.flatnonzero(~relevant)])
    for begin in range(0, len(sessions), SESSIONS_IN_BLOCK):
        order.add_inputs(table, *in_sessions(train, sessions[begin : begin + SESSIONS_IN_BLOCK]))
    order.add_inputs(table, evaluated, size=CHUNK_EVALUATED)
    return order


def in_sessions(sessions: NumberedSessions, order: Ints) -> tuple[Ints, Ints]:
    """Inputs of these sessions, one session after the other: each one's query, then its results; and whose each is.

    Returns:
        [n] numbers, and [n] places in `order`, ascending.
    """
    lengths = np.diff(sessions.offsets)[order]
    ends = np.cumsum(lengths + 1)
    owner = np.repeat(np.arange(len(order)), lengths + 1)
    inside = np.arange(len(owner)) - (ends - lengths - 1)[owner]  # 0 is the query
    at = np.maximum(sessions.offsets[:-1][order][owner] + inside - 1, 0)
    items = sessions.items[at] if len(sessions.items) else np.zeros(len(owner), np.int64)
    return np.where(inside == 0, sessions.queries[order][owner], items), owner
