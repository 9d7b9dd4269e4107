"""What makes a rollout end, whatever others do: how time is counted, and how often they may undo it."""

from dataclasses import dataclass
from datetime import datetime

from bluetune_api.model import Rollout, Serving
from bluetune_operator.core.times import seconds_since

CLOCKS_DIFFER = 900.0
"""Seconds that the clocks of two nodes may differ by: a stamp of another process counts only beyond them."""
MIN_WATCHED = 60.0
"""Seconds that a process watches a step before it believes another process's stamp at all."""
MAX_UNDONE = 5
"""Times that others may undo what a rollout did, before it is given up."""
FIRST_DELAY, LAST_DELAY = 5.0, 300.0
"""Seconds until something that others undid is done again: twice as long each time."""
SCALED_DOWN_SECONDS = 3 * 86400.0
"""Longest wait for a Deployment that is scaled to 0 replicas: a weekend and a night."""
FIGHTS = 4
"""Rollout timeouts that the steps Patch, Wait and Verify may take together: two for a rollout that nobody disturbs."""


@dataclass(frozen=True)
class Watched:
    """Seconds for which this process has seen the rollout, and its step, by a clock that nobody sets."""

    rollout: float
    step: float


def elapsed(since: str, now: datetime, watched: float) -> float:
    """Seconds since a stamp that another process may have written.

    What this process watched itself counts in full. A stamp may come from another clock, so it counts less what clocks
    differ by, and only after a while: a clock that is ahead fails nothing at once, and a process that is restarted
    again and again still comes to an end.
    """
    if watched < MIN_WATCHED:
        return watched
    return max(watched, seconds_since(since, now) - CLOCKS_DIFFER)


def work_seconds(step: str, serving: Serving) -> int | None:
    """Seconds that the Job of a step before the switch may take; None: the step has no Job."""
    if serving.index is not None:
        loads = serving.index.target.type != "Parquet"
        return serving.index.timeout_seconds if step == "Reindex" or (step == "Load" and loads) else None
    return serving.reindex.timeout_seconds if serving.reindex is not None and step == "Reindex" else None


def whole_limit(rollout: Rollout, serving: Serving) -> float:
    """Seconds that a rollout may take before it goes back, all steps together."""
    limit = FIGHTS * float(serving.rollout_timeout_seconds)
    limit += sum(work_seconds(step, serving) or 0 for step in ("Reindex", "Load"))
    limit += serving.verify.timeout_seconds if serving.verify else 0
    return limit + (SCALED_DOWN_SECONDS if rollout.scaled_down_at else 0)


def pause_left(rollout: Rollout, now: datetime) -> float:
    """Seconds until what others undid may be done again; 0 if it may now."""
    undone = rollout.undone or 0
    if rollout.acted_at is None or undone == 0:
        return 0.0
    pause: float = min(FIRST_DELAY * 2 ** (undone - 1), LAST_DELAY)
    return min(max(pause - seconds_since(rollout.acted_at, now), 0.0), pause)
