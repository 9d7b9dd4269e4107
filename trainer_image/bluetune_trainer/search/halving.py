"""Successive halving, one trial after the other: who goes on at a rung. A pure decision."""

from collections.abc import Sequence

KEEP_ONE_IN = 2


def should_stop(reached: Sequence[float], value: float) -> bool:
    """Whether a trial with this objective ends here, given what earlier trials had at the same rung.

    It goes on if it is among the best half of all that reached the rung, itself included (rounded up), so the first
    trial always does. Equal values go on.
    """
    better = sum(1 for other in reached if other > value)
    return better >= -(-(len(reached) + 1) // KEEP_ONE_IN)
