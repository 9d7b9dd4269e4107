"""How small a gain the gate can see, before anything is trained."""

import math
from statistics import NormalDist

from bluetune_trainer.evidence.risk import risk_of

QUERY_NOISE = 0.15
"""Standard deviation of a query's gain in NDCG@10, with the error of the clicks: 0.1 to 0.2 on the judged sets of
benchmarks/evidence, at a few sessions a query."""
OFTEN = 0.8


def smallest_gain(queries: int, confidence: float) -> float:
    """Gain in NDCG@10 that passes four times in five, with this many different queries in a first try."""
    if queries < 1:
        return math.inf
    return _needed(confidence) * QUERY_NOISE / math.sqrt(queries)


def seen_with(reach: float, risk: float) -> float:
    """Gain that passes four times in five, where half of the interval is this wide and leaves out `risk` at each end.

    That is what the noise of a log allows, as the interval measured it, not as it was to be expected.
    """
    normal = NormalDist()
    return reach * (1 + normal.inv_cdf(OFTEN) / normal.inv_cdf(1 - risk))


def queries_for(gain: float, error: float, queries: int, confidence: float) -> int:
    """Different queries at which a gain of this size passes four times in five, by the error seen on `queries`."""
    return math.ceil(queries * (_needed(confidence) * error / gain) ** 2)


def _needed(confidence: float) -> float:
    """Standard errors between no gain and one that passes four times in five."""
    normal = NormalDist()
    return normal.inv_cdf(1 - risk_of(1, 1 - confidence)) + normal.inv_cdf(OFTEN)
