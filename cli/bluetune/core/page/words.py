"""Times and numbers as a person reads them."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from bluetune.core.watch import GOOD_WHEN_FALSE, MEANT

MINUS = "−"
Tone = Literal["good", "bad", "busy", "quiet"]


@dataclass(frozen=True)
class Moment:
    """A time: for programs, for people, and how long ago."""

    stamp: str
    told: str
    ago: str


def moment(stamp: object, now: datetime) -> Moment | None:
    """A timestamp of the API; None for one that is absent or cannot be read."""
    at = when(stamp)
    if at is None:
        return None
    return Moment(f"{at:%Y-%m-%dT%H:%M:%SZ}", f"{at:%Y-%m-%d %H:%M} UTC", ago((now - at).total_seconds()))


def when(stamp: object) -> datetime | None:
    """The time of a timestamp of the API."""
    try:
        at = datetime.fromisoformat(str(stamp))
    except ValueError:
        return None
    return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)


def ago(seconds: float) -> str:
    """`3 h ago`, `in 5 min`: coarse, so that a page seldom changes by it."""
    size = abs(seconds)
    if size < 60:
        return "just now" if seconds >= 0 else "in a moment"
    told = _coarse(size)
    return f"{told} ago" if seconds > 0 else f"in {told}"


def lasting(seconds: float) -> str:
    """`40 s`, `5 min`, `3 h`: how long something takes."""
    return f"{max(round(seconds), 0)} s" if seconds < 59.5 else _coarse(seconds)


def _coarse(seconds: float) -> str:
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    hours = round(seconds / 3600)
    return f"{hours} h" if hours < 48 else f"{round(seconds / 86400)} days"


def metric(value: float) -> str:
    """A metric, to four decimals."""
    return f"{value + 0.0:.4f}".replace("-", MINUS)


def gain(value: float) -> str:
    """A difference, with its sign."""
    value = round(value, 4) + 0.0
    return "±0.0000" if value == 0 else f"{value:+.4f}".replace("-", MINUS)


def share(part: float) -> str:
    """`99.8 %`: never 100 % of what is less."""
    return f"{math.floor(part * 1000 + 1e-9) / 10:g} %"


def count(number: int, one: str, many: str = "") -> str:
    """`1 batch`, `1,204 batches`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def tone_of(condition: Mapping[str, Any]) -> Tone:
    """How a condition is to be taken."""
    kind, status = condition.get("type"), condition.get("status")
    if status == "Unknown":
        return "busy"
    if (kind, condition.get("reason")) in MEANT:
        return "quiet"
    if kind == "Reconciling":
        return "busy" if status == "True" else "quiet"
    return "good" if (status == "True") != (kind in GOOD_WHEN_FALSE) else "bad"
