"""Evidence over several runs against one live version: how much risk each may take, and what they say together.

A gate that is asked every night passes noise sooner or later. So the tries against one live version share one risk
(alpha spending: K. K. G. Lan, D. L. DeMets, Discrete Sequential Boundaries for Clinical Trials, Biometrika 1983):
most of it goes to the first try, and what later ones may take sums up to the rest.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import t

FIRST_SHARE = 0.7
"""Of the risk, for the first try; try n > 1 gets the rest divided by n (n - 1)."""


def risk_of(attempt: int, risk: float) -> float:
    """What the try with this number, from 1, may take of the whole risk; over all tries they sum up to it."""
    if attempt == 1:
        return FIRST_SHARE * risk
    return (1 - FIRST_SHARE) * risk / (attempt * (attempt - 1))


@dataclass(frozen=True)
class Run:
    """What one run found out by one judge."""

    value: float
    """Mean gain of a query."""
    influence: Mapping[str, float]
    """What each query adds to the error of `value`."""


@dataclass(frozen=True)
class Together:
    """An estimate over several runs."""

    value: float
    error: float
    """Standard error; a query that several runs asked is one cluster."""
    queries: int

    def reach(self, risk: float) -> float:
        """Half the width of an interval that leaves out this much on each side."""
        return float(t.ppf(1 - risk, max(self.queries - 1, 1)) * self.error)


def together(runs: Sequence[Run]) -> Together:
    """Runs as one, each weighed by its number of queries. There must be one at least."""
    sizes = np.array([len(run.influence) for run in runs], float)
    weights = sizes / sizes.sum()
    total: dict[str, float] = {}
    for run, weight in zip(runs, weights.tolist(), strict=True):
        for query, influence in run.influence.items():
            total[query] = total.get(query, 0.0) + weight * influence
    n = len(total)
    squares = float(sum(influence**2 for influence in total.values()))
    value = float(sum(run.value * weight for run, weight in zip(runs, weights.tolist(), strict=True)))
    return Together(value, float(np.sqrt(squares * n / max(n - 1, 1))), n)
