"""How likely people look at a place of the page, estimated from a log whose rankings differ."""

import numpy as np

from bluetune_trainer.evidence.observations import DEPTH, Compared, Floats, Ints

PRIOR_POWER = 0.7
"""Before the log says more, the result at place k is looked at with probability 1 / (k + 1) ** 0.7."""
PRIOR_SESSIONS = 20.0
"""The prior counts as much as this many sessions."""
ROUNDS = 60
EDGES = np.array([1, 3, 6, 10, 20, 50, 100])
"""Between the cells of a rank."""
LEAST = 1e-3


def prior(places: int) -> Floats:
    """Examination of each of these places before a log is seen."""
    return np.asarray((1.0 + np.arange(places)) ** -PRIOR_POWER)


def examination(compared: Compared, places: int = DEPTH) -> Floats:
    """Probability, by place, that a result is looked at; that of the first place is 1.

    Regression EM of the position-based model (X. Wang and others, Position Bias Estimation for Unbiased Learning to
    Rank in Personal Search, WSDM 2018). The regression is a table of relevance over cells of two ranks, by the live
    version and by words; no candidate takes part. Places from `places` on count as the last one.
    """
    place = np.minimum(compared.log.place, places - 1)
    clicked = compared.log.gain > 0
    cell = np.digitize(compared.shown.live, EDGES) * (len(EDGES) + 1) + np.digitize(compared.shown.lexical, EDGES)
    cells = (len(EDGES) + 1) ** 2
    first = prior(places)
    looked: Floats = first
    relevant = np.full(cells, 0.3)
    shown_at, shown_in = np.bincount(place, minlength=places), np.bincount(cell, minlength=cells)
    for _ in range(ROUNDS):
        both = looked[place] * relevant[cell]
        unclicked = np.maximum(1 - both, LEAST)
        saw = np.where(clicked, 1.0, (looked[place] - both) / unclicked)
        liked = np.where(clicked, 1.0, (relevant[cell] - both) / unclicked)
        looked = (_sums(place, saw, places) + PRIOR_SESSIONS * first * looked[0]) / (shown_at + PRIOR_SESSIONS)
        relevant = np.clip((_sums(cell, liked, cells) + 0.1) / (shown_in + 1.0), LEAST, 1 - LEAST)
        looked = np.clip(looked / looked[0], LEAST, 1.0)
    return looked


def _sums(at: Ints, values: Floats, length: int) -> Floats:
    return np.asarray(np.bincount(at, values, minlength=length), np.float64)
