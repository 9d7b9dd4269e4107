"""What the gate saw, query by query, and how sure a difference is. numpy only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
DEPTH = 10
RESAMPLES = 2000
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


def first_results(
    ranks: Floats,
    items: NDArray[np.int64],
    relevant: NDArray[np.bool_],
    valid: NDArray[np.bool_],
    *,
    is_similarity: bool,
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """`items` and `relevant` of the ten best ranks of each row; all inputs are [n, R].

    Equal ranks keep their order, as in the metrics.
    """
    keys = np.where(valid, -ranks if is_similarity else ranks, np.inf)
    order = np.argsort(keys, axis=1, kind="stable")[:, :DEPTH]
    there = np.take_along_axis(valid, order, 1)
    return (
        np.where(there, np.take_along_axis(items, order, 1), -1),
        np.take_along_axis(relevant & valid, order, 1),
    )


def bootstrap_interval(difference: Floats, confidence: float, seed: int) -> tuple[float, float]:
    """Percentile interval of the mean of paired differences ([n]), by resampling queries; same seed, same interval."""
    random = np.random.default_rng([seed, 2])
    n = len(difference)
    means = np.empty(RESAMPLES)
    for i in range(RESAMPLES):
        means[i] = difference[random.integers(0, n, n)].mean()
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)
