"""What the gate saw, query by query, and how sure a difference is. numpy only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bluetune_trainer.data.splits import normalised

Floats = NDArray[np.float64]
DEPTH = 10
RESAMPLES = 2000
DRAWN_AT_ONCE = 1 << 20
"""Queries, so that the memory for the draws is bounded."""
DEFAULT_CONFIDENCE = 0.95
"""Level of intervals where the gate names none."""


@dataclass(frozen=True)
class Ranking:
    """The first results of n queries, by one version."""

    items: NDArray[np.int64]
    """[n, at most 10] positions in the catalogue, best first; -1 where there are fewer."""
    relevant: NDArray[np.bool_]
    """The same shape: whether it was clicked, or judged relevant."""
    metrics: Mapping[str, Floats]
    """n values each."""


@dataclass(frozen=True)
class Evidence:
    """n queries with something relevant, and how two versions rank the same results of each."""

    queries: Sequence[str]
    before: Ranking
    after: Ranking


def bootstrap_interval(difference: Floats, queries: Sequence[str], confidence: float, seed: int) -> tuple[float, float]:
    """Percentile interval of the mean of paired differences; same seed, same interval.

    Queries are drawn, each with all its sessions: sessions of one query see the same two rankings and are no
    independent evidence (the cluster bootstrap: A. C. Davison, D. V. Hinkley, Bootstrap Methods and their Application,
    1997, section 3.8; paired over queries for search: T. Sakai, SIGIR 2006).

    Args:
        difference: [n], candidate minus baseline of each session.
        queries: the n sessions' queries.
        confidence: level, between 0 and 1.
        seed: of the draws.
    """
    random = np.random.default_rng([seed, 2])
    numbers: dict[str, int] = {}
    group = np.array([numbers.setdefault(normalised(query), len(numbers)) for query in queries], np.int64)
    sums, counts, n = np.bincount(group, difference), np.bincount(group), len(numbers)
    means = np.empty(RESAMPLES)
    step = max(1, DRAWN_AT_ONCE // n)
    for start in range(0, RESAMPLES, step):
        part = means[start : start + step]
        drawn = random.integers(0, n, (len(part), n))
        part[:] = sums[drawn].sum(1) / counts[drawn].sum(1)
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)
