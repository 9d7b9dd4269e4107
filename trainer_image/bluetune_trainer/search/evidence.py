"""What the gate saw, query by query. numpy only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
DEPTH = 10
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
