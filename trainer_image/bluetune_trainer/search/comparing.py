"""Lets two versions rank what held-out sessions asked and showed."""

import numpy as np
from numpy.typing import NDArray

from bluetune_trainer.data.pool import Pool, pool_of
from bluetune_trainer.data.types import Catalogue, Sessions
from bluetune_trainer.evidence.observations import compared
from bluetune_trainer.search.comparison import Comparison
from bluetune_trainer.search.version import Step, Version
from bluetune_trainer.training.selection import by_words

Ints = NDArray[np.int64]


def compare(
    live: Version, candidate: Version, catalogue: Catalogue, held_out: Sessions, on_step: Step = None
) -> Comparison | None:
    """Both versions on the sessions that say something; None if there are none. `on_step` may raise to stop."""
    pool = pool_of(held_out, catalogue, live.settings.seed)
    if not pool.queries:
        return None
    texts = [catalogue.texts[item] for item in pool.documents.tolist()]
    words = by_words(live.model, pool.queries, texts)
    by_live = live.scores(pool.queries, texts, on_step)
    by_candidate = candidate.scores(pool.queries, texts, on_step)
    found = compared(pool.log, by_live, by_candidate, words)
    return Comparison(
        queries=pool.queries,
        sessions=pool.sessions,
        compared=found,
        live_best=_in_catalogue(found.live_best, pool),
        candidate_best=_in_catalogue(found.candidate_best, pool),
        clicked=_clicked(pool),
    )


def _in_catalogue(best: Ints, pool: Pool) -> Ints:
    return np.where(best >= 0, pool.documents[best], -1)


def _clicked(pool: Pool) -> list[frozenset[int]]:
    found: list[set[int]] = [set() for _ in pool.queries]
    hit = pool.log.gain > 0
    items = pool.documents[pool.log.document[hit]]
    for query, item in zip(pool.log.query[hit].tolist(), items.tolist(), strict=True):
        found[query].add(item)
    return [frozenset(items) for items in found]
