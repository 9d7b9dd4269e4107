"""From data to pixels, and where an axis has its marks."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """Maps [low, high] to [begin, end]; a range of no width lies in the middle."""

    low: float
    high: float
    begin: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        low, high, at = (math.log(v) if self.log else v for v in (self.low, self.high, value))
        if high == low:
            return (self.begin + self.end) / 2
        return self.begin + (at - low) / (high - low) * (self.end - self.begin)


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round numbers in [low, high], 1, 2 or 5 times a power of ten apart, at most `most` of them."""
    if high <= low:
        return [low]
    step = 10 ** math.floor(math.log10((high - low) / most))
    for factor in (1, 2, 5, 10, 20, 50):
        first, last = math.ceil(low / (step * factor) - 1e-9), math.floor(high / (step * factor) + 1e-9)
        if last - first + 1 <= most:
            return [round(n * step * factor, 12) for n in range(first, last + 1)]
    return [low, high]


def log_ticks(low: float, high: float, most: int = 5) -> list[float]:
    """1, 2 and 5 times powers of ten in [low, high]; powers of ten alone where these are too many."""
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1, 2, 5), (1, 3), (1,)):
        found = [f * 10.0**e for e in exponents for f in factors]
        found = [value for value in found if low * (1 - 1e-9) <= value <= high * (1 + 1e-9)]
        if len(found) <= most:
            break
    return found if len(found) > 1 else [low, high]


def padded(values: Sequence[float], share: float = 0.06) -> tuple[float, float]:
    """Least and greatest, with some room."""
    low, high = min(values), max(values)
    room = (high - low) * share or abs(high) * 0.02 or 1.0
    return low - room, high + room


def tick_labels(values: Sequence[float]) -> list[str]:
    """Marks of a linear axis with as many decimals as tell them apart."""
    gaps = [b - a for a, b in itertools.pairwise(values) if b > a]
    decimals = max(0, -math.floor(math.log10(min(gaps)) + 1e-9)) if gaps else 3
    return [f"{value + 0.0:.{decimals}f}".replace("-", "−") for value in values]
