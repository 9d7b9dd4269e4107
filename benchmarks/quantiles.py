"""Quantiles of what was measured."""

from collections.abc import Sequence


def quantile(values: Sequence[float], q: float) -> float:
    """The q-quantile by the nearest rank; 0 of none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(q * len(ordered)))] if ordered else 0.0
