"""Evidence over several runs against one live version: what they say together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import t


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
