"""Metrics as they come in over a trial, and their running aggregates."""

import copy
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True)
class MetricValue:
    """One value of a metric."""

    name: str
    value: float

    def __post_init__(self) -> None:
        _check_name(self.name)
        if not _is_number(self.value):
            raise ValueError(f"value: the metric {self.name!r} must have a number, this is {self.value!r}")

    def add_prefix(self, prefix: str) -> "MetricValue":
        """The same value as `<prefix>_<name>`."""
        return MetricValue(f"{prefix}_{self.name}", self.value)


class MetricsAccumulator:
    """Follows the metric of one name: its last value, and on demand mean, sliding mean, minimum and maximum.

    Memory is bounded by the window, however long a trial is.

    Args:
        name: of the metric; all others are passed over.
        calc_mean: also report `mean_<name>`, over all values.
        calc_sliding: also report `sliding_<name>`, the mean of the last `window_size` values.
        calc_min: also report `min_<name>`.
        calc_max: also report `max_<name>`.
        window_size: values in the sliding mean, at least 2.
    """

    def __init__(
        self,
        name: str,
        calc_mean: bool = False,
        calc_sliding: bool = False,
        calc_min: bool = False,
        calc_max: bool = False,
        window_size: int = 10,
    ) -> None:
        _check_name(name)
        if window_size < 2:
            raise ValueError(f"window_size: a whole number from 2 on is expected, this is {window_size!r}")
        self.name = name
        self.calc_mean = calc_mean
        self.calc_sliding = calc_sliding
        self.calc_min = calc_min
        self.calc_max = calc_max
        self.window_size = window_size
        self.clear()

    def fresh(self) -> Self:
        """One like this without a value, for another trial."""
        other = copy.copy(self)
        other.clear()
        return other

    def clear(self) -> None:
        """Forget all values."""
        self._window: deque[float] = deque(maxlen=self.window_size)
        self._count = 0
        self._sum = 0.0
        self._min = float("inf")
        self._max = float("-inf")

    def state(self) -> dict[str, Any]:
        """All values' traces, as plain data."""
        return {
            "window": list(self._window),
            "count": self._count,
            "sum": self._sum,
            "min": self._min,
            "max": self._max,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state."""
        self._window = deque(state["window"], maxlen=self.window_size)
        self._count, self._sum, self._min, self._max = state["count"], state["sum"], state["min"], state["max"]

    def accumulate(self, value: MetricValue) -> list[tuple[str, float]]:
        """Take the value in, if it is of this name. Returns the aggregates then, else nothing."""
        if value.name != self.name:
            return []
        number = float(value.value)
        self._window.append(number)
        self._count += 1
        self._sum += number
        self._min = min(self._min, number)
        self._max = max(self._max, number)
        return self.aggregate()

    def aggregate(self) -> list[tuple[str, float]]:
        """(name, value) of the last value and of each aggregate that was asked for; nothing without a value."""
        if not self._count:
            return []
        found = [(self.name, self._window[-1])]
        if self.calc_mean:
            found.append((f"mean_{self.name}", self._sum / self._count))
        if self.calc_sliding:
            found.append((f"sliding_{self.name}", sum(self._window) / len(self._window)))
        if self.calc_min:
            found.append((f"min_{self.name}", self._min))
        if self.calc_max:
            found.append((f"max_{self.name}", self._max))
        return found


def _check_name(name: object) -> None:
    if not isinstance(name, str) or not name:
        raise ValueError(f"name: a metric's name is a text that is not empty, this is {name!r}")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
