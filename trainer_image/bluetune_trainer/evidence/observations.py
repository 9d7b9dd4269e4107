"""What an estimate is made of: results that people were shown, and the best results of two versions, by their ranks."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Scores = NDArray[np.float32]
DEPTH = 10
"""Results of a page, by which versions are compared."""
AT_ONCE = 1 << 22
"""Scores that are ranked together, which bounds the memory."""


@dataclass(frozen=True)
class Log:
    """N shown results of the sessions of Q queries. Documents are numbered within a pool of P."""

    query: Ints
    """N positions of queries."""
    place: Ints
    """N places on the page, from 0."""
    gain: Floats
    """N: 0 where nothing was clicked, 1 for a click; more for events that weigh more."""
    document: Ints
    """N positions of documents in the pool."""
    session: Ints
    """N numbers of sessions."""


@dataclass(frozen=True)
class Ranks:
    """Ranks, from 0, of the same N documents for N queries, by three rankers."""

    live: Floats
    candidate: Floats
    lexical: Floats
    """Equal scores share the mean of their ranks."""


@dataclass(frozen=True)
class Compared:
    """A log as two versions rank it."""

    log: Log
    shown: Ranks
    """Ranks of the log's N results."""
    top_query: Ints
    """M positions of queries: one for each document that one of the two versions has among its ten best."""
    top: Ranks
    """Ranks of these M documents."""
    live_best: Ints
    """[Q, at most 10] positions in the pool of the live version's best documents, best first."""
    candidate_best: Ints
    """The same of the candidate."""

    @property
    def queries(self) -> int:
        """Q."""
        return len(self.live_best)


def ranks_of(scores: Scores) -> Ints:
    """[Q, P] scores to [Q, P] ranks from 0, the highest score first.

    Equal scores are put in a fixed random order: that of the log would favour the ranker that made the log.
    """
    shuffled = np.random.default_rng(scores.shape[1]).permutation(scores.shape[1])
    order = shuffled[np.argsort(-scores[:, shuffled], axis=1, kind="stable")]
    ranks = np.empty(order.shape, np.int64)
    np.put_along_axis(ranks, order, np.arange(order.shape[1], dtype=np.int64)[None, :], 1)
    return ranks


def compared(log: Log, live: Scores, candidate: Scores, lexical: Scores) -> Compared:
    """A log and the [Q, P] scores of three rankers, larger is better. Ranks are those among the P documents."""
    queries, documents = live.shape
    order = np.argsort(log.query, kind="stable")
    borders = np.searchsorted(log.query[order], np.arange(queries + 1))
    step = max(AT_ONCE // max(documents, 1), 1)
    parts = []
    for begin in range(0, queries, step):
        end = min(begin + step, queries)
        rows = order[borders[begin] : borders[end]]
        part = Log(log.query[rows] - begin, log.place[rows], log.gain[rows], log.document[rows], log.session[rows])
        parts.append(_compared(part, live[begin:end], candidate[begin:end], lexical[begin:end]))
    return joined(parts)


def _compared(log: Log, live: Scores, candidate: Scores, lexical: Scores) -> Compared:
    by_live, by_candidate = ranks_of(live), ranks_of(candidate)
    by_words = rankdata(-lexical, axis=1) - 1
    top_query, top_document = np.nonzero((by_live < DEPTH) | (by_candidate < DEPTH))

    def at(query: Ints, document: Ints) -> Ranks:
        by = (by_live, by_candidate, by_words)
        return Ranks(*(ranks[query, document].astype(float) for ranks in by))

    def best(ranks: Ints) -> Ints:
        return np.argsort(ranks, axis=1)[:, :DEPTH]

    shown = at(log.query, log.document)
    return Compared(log, shown, top_query, at(top_query, top_document), best(by_live), best(by_candidate))


def joined(parts: Sequence[Compared]) -> Compared:
    """Logs of different queries as one; the queries of the parts follow each other. Pools stay their own."""
    starts = np.cumsum([0, *(part.queries for part in parts)])[:-1]

    def column(name: str) -> Floats:
        return np.concatenate([getattr(part.log, name) for part in parts])

    def ranks(name: str) -> Ranks:
        of = [getattr(part, name) for part in parts]
        return Ranks(*(np.concatenate([getattr(r, by) for r in of]) for by in ("live", "candidate", "lexical")))

    def moved(queries: Sequence[Ints]) -> Ints:
        return np.concatenate([query + start for query, start in zip(queries, starts, strict=True)])

    return Compared(
        log=Log(
            moved([part.log.query for part in parts]),
            column("place").astype(np.int64),
            column("gain"),
            column("document").astype(np.int64),
            _apart([part.log.session for part in parts]),
        ),
        shown=ranks("shown"),
        top_query=moved([part.top_query for part in parts]),
        top=ranks("top"),
        live_best=stacked([part.live_best for part in parts]),
        candidate_best=stacked([part.candidate_best for part in parts]),
    )


def _apart(numbers: Sequence[Ints]) -> Ints:
    """Numbers of several logs, none of one being another's."""
    starts = np.cumsum([0, *(int(one.max(initial=-1)) + 1 for one in numbers)])[:-1]
    return np.concatenate([one + start for one, start in zip(numbers, starts, strict=True)])


def stacked(rows: Sequence[Ints]) -> Ints:
    """Rows of tables of different width as one table; -1 where a row is shorter."""
    width = max(table.shape[1] for table in rows)
    return np.concatenate([np.pad(table, ((0, 0), (0, width - table.shape[1])), constant_values=-1) for table in rows])
