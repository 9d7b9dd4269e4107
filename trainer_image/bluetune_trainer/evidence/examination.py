"""How likely people look at a place of the page, estimated from a log whose rankings differ."""

from dataclasses import dataclass

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
FEW_CLICKLESS = 0.01
"""With a smaller share of sessions without a click, they were dropped from the log."""
MAX_MISSING = 9.0
"""Sessions without a click that a session may stand for besides itself."""


@dataclass(frozen=True)
class Examined:
    """How a log was looked at."""

    looked: Floats
    """Probability, by place, that a result is looked at; that of the first place is 1."""
    stands_for: Floats
    """N: how many sessions, of the same results, each result of the log stands for: more than one where those without a
    click are missing."""

    def of_place(self, place: Ints) -> Floats:
        """Examination of results at these places; later ones than are known count as the last."""
        return self.looked[np.minimum(place, len(self.looked) - 1)]


def prior(places: int) -> Floats:
    """Examination of each of these places before a log is seen."""
    return np.asarray((1.0 + np.arange(places)) ** -PRIOR_POWER)


def examination(compared: Compared, places: int = DEPTH) -> Examined:
    """How a log was looked at.

    Regression EM of the position-based model (X. Wang and others, Position Bias Estimation for Unbiased Learning to
    Rank in Personal Search, WSDM 2018). The regression is a table of relevance over cells of two ranks, by the live
    version and by words; no candidate takes part. Places from `places` on count as the last one.

    Many logs hold no session without a click. Then a list of which people like nothing is seldom seen, and a bad ranker
    looks good. So each session also stands for its like that were dropped, by EM for truncated data (A. Dempster, N.
    Laird, D. Rubin, Maximum Likelihood from Incomplete Data via the EM Algorithm, JRSS B 1977, section 4.2).
    """
    log = compared.log
    place = np.minimum(log.place, places - 1)
    clicked = log.gain > 0
    cell = np.digitize(compared.shown.live, EDGES) * (len(EDGES) + 1) + np.digitize(compared.shown.lexical, EDGES)
    cells, sessions = (len(EDGES) + 1) ** 2, int(log.session.max(initial=-1)) + 1
    with_click = np.bincount(log.session, clicked, minlength=sessions) > 0
    dropped = bool(sessions) and 1 - with_click.mean() < FEW_CLICKLESS
    first = prior(places)
    looked: Floats = first
    relevant = np.full(cells, 0.3)
    missing = np.zeros(len(place))
    for _ in range(ROUNDS):
        both = looked[place] * relevant[cell]
        unclicked = np.maximum(1 - both, LEAST)
        if dropped:
            nothing = np.exp(_sums(log.session, np.log(unclicked), sessions))
            missing = np.minimum(nothing / np.maximum(1 - nothing, LEAST), MAX_MISSING)[log.session]
        seen_anyway = (looked[place] - both) / unclicked
        liked_anyway = (relevant[cell] - both) / unclicked
        saw = np.where(clicked, 1.0, seen_anyway) + missing * seen_anyway
        liked = np.where(clicked, 1.0, liked_anyway) + missing * liked_anyway
        shown_at, shown_in = _sums(place, 1 + missing, places), _sums(cell, 1 + missing, cells)
        looked = (_sums(place, saw, places) + PRIOR_SESSIONS * first * looked[0]) / (shown_at + PRIOR_SESSIONS)
        relevant = np.clip((_sums(cell, liked, cells) + 0.1) / (shown_in + 1.0), LEAST, 1 - LEAST)
        looked = np.clip(looked / looked[0], LEAST, 1.0)
    return Examined(looked, 1 + missing)


def _sums(at: Ints, values: Floats, length: int) -> Floats:
    return np.asarray(np.bincount(at, values, minlength=length), np.float64)
