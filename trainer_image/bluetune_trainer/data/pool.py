"""Held-out sessions as a log for the judges: different queries, and the documents that were shown for any of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bluetune_trainer.data.measurable import informative, passed_over
from bluetune_trainer.data.splits import normalised
from bluetune_trainer.data.types import Catalogue, Sessions
from bluetune_trainer.evidence.observations import Log

Ints = NDArray[np.int64]
MAX_QUERIES = 2000
"""Queries that are compared; of more, some are drawn: an interval of 2,000 sees a gain of 0.01."""


@dataclass(frozen=True)
class Pool:
    """What two versions are compared on."""

    queries: Sequence[str]
    """Q, as they were first written; no two differ by case or white space alone."""
    documents: Ints
    """P positions in the catalogue, of different texts."""
    log: Log
    """Its documents are positions in `documents`."""
    sessions: int
    """Sessions in the log."""


def pool_of(sessions: Sessions, catalogue: Catalogue, seed: int, most: int = MAX_QUERIES) -> Pool:
    """The sessions that show something that was not clicked, if any of them says something.

    One without a click counts, too: what it shows is not liked. Without them a ranker would be judged by those of its
    lists alone that somebody liked.
    """
    number: dict[str, int] = {}
    written: list[str] = []
    query = np.empty(len(sessions), np.int64)
    told = passed_over(sessions) if informative(sessions).any() else np.zeros(len(sessions), np.bool_)
    for i in np.flatnonzero(told).tolist():
        name = normalised(sessions.queries[i])
        if name not in number:
            number[name] = len(written)
            written.append(sessions.queries[i])
        query[i] = number[name]
    keep = np.flatnonzero(told)
    if len(written) > most:
        drawn = np.sort(np.random.default_rng([seed, 7]).choice(len(written), most, replace=False))
        keep = keep[np.isin(query[keep], drawn)]
        query[keep] = np.searchsorted(drawn, query[keep])
        written = [written[i] for i in drawn.tolist()]
    chosen = sessions.subset(keep)
    lengths = np.diff(chosen.offsets)
    by_text: dict[str, int] = {}
    shown, at = np.unique(chosen.items, return_inverse=True)
    document = np.array([by_text.setdefault(catalogue.texts[item], len(by_text)) for item in shown.tolist()], np.int64)
    _, first = np.unique(document, return_index=True)
    places = np.arange(len(chosen.items)) - np.repeat(chosen.offsets[:-1], lengths)
    if len(chosen.shown_rank):
        places = chosen.shown_rank.astype(np.int64)
    log = Log(
        query=np.repeat(query[keep], lengths),
        place=places,
        gain=chosen.graded().astype(float),
        document=document[at.ravel()],
        session=np.repeat(np.arange(len(chosen)), lengths),
    )
    return Pool(written, shown[first].astype(np.int64), log, len(chosen))
