"""Synchronous successive halving, one trial after the other: which trial runs next, up to where, and which end early.

Trials are cut into brackets of at most BRACKET. All of a bracket train up to the first rung, the better half of them
goes on to the second, half of those to the third, and the best to its end; what went before is never repeated, for a
trial that waits has a checkpoint. So eight trials cost 8/8 + 4/8 + 2/4 + 1/2 = 2.5 full trainings.

Jamieson and Talwalkar, "Non-stochastic Best Arm Identification and Hyperparameter Optimization" (2016). The
asynchronous form, ASHA (Li et al., 2020), spares parallel workers the wait for the slowest trial of a rung; here one
trial runs at a time, so nobody waits, and every decision can know the whole rung. Several brackets let TPE learn from
trials that ended, as BOHB does (Falkner et al., 2018).

All of it is a function of what the trials reached, which is in the store: a search that was killed decides as it would
have.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

RUNGS = (1 / 8, 1 / 4, 1 / 2)
"""Shares of a full training at which trials are compared."""
BRACKET = 8
"""2 to the number of rungs: one trial of a full bracket reaches its end."""


@dataclass(frozen=True)
class Standing:
    """How far a trial came."""

    rungs: tuple[float, ...] = ()
    """The objective at each rung that it reached."""
    ended: bool = False
    quality: float | None = None
    """Quality of a trial that ended; None if it failed."""
    pruned: bool = False


@dataclass(frozen=True)
class Run:
    """Train this trial."""

    trial: int
    until: int | None
    """Rung at which it pauses; None: to its end."""


@dataclass(frozen=True)
class Prune:
    """End these trials as they are, best first: others at their rung are better."""

    trials: tuple[int, ...]


def brackets(total: int) -> list[range]:
    """Trials by bracket, as evenly as can be."""
    count = -(-total // BRACKET)
    ends = [total * (i + 1) // count for i in range(count)]
    return [range(begin, end) for begin, end in zip([0, *ends], ends, strict=False)]


def kept(size: int, rung: int) -> int:
    """How many of a bracket of that size go on from a rung."""
    among = 1 << (rung + 1)
    return -(-size // among)


def next_move(standings: Mapping[int, Standing], total: int, rungs: int) -> Run | Prune | None:
    """What to do next; None when all ended.

    A trial that is not among those that go on ends as soon as that is certain, not when its rung is complete; so no
    more than half of a bracket, and one, wait at a time.

    Args:
        standings: of every trial that began.
        total: trials of the search.
        rungs: in a training.
    """
    for bracket in brackets(total):
        move = _in_bracket(standings, bracket, rungs if len(bracket) > 1 else 0)
        if move is not None:
            return move
    return None


def _in_bracket(standings: Mapping[int, Standing], bracket: range, rungs: int) -> Run | Prune | None:
    def of(trial: int) -> Standing:
        return standings.get(trial, Standing())

    alive = [trial for trial in bracket if not of(trial).ended]
    for rung in range(rungs):
        values = {trial: value for trial in bracket if (value := _value(of(trial), rung)) is not None}
        ranking = sorted(values, key=lambda trial: (-values[trial], trial))
        beaten = set(ranking[kept(len(bracket), rung) :])
        out = [trial for trial in ranking if trial in beaten and trial in alive and len(of(trial).rungs) == rung + 1]
        if out:
            return Prune(tuple(out))
        waiting = [trial for trial in alive if len(of(trial).rungs) <= rung]
        if waiting:
            return Run(waiting[0], rung)
    return Run(alive[0], None) if alive else None


def _value(standing: Standing, rung: int) -> float | None:
    """What a trial counts with at a rung: what it had there, or what it ended with before."""
    if len(standing.rungs) > rung:
        return standing.rungs[rung]
    return standing.quality if standing.ended and not standing.pruned else None


def work_left(standings: Mapping[int, Standing], total: int, shares: Sequence[float]) -> float:
    """Full trainings that the search still takes, if no further trial ends before its time.

    Args:
        shares: of a training, at which its rungs lie.
    """
    left = 0.0
    for bracket in brackets(total):
        rungs = list(shares) if len(bracket) > 1 else []
        begins, ends = [0.0, *rungs], [*rungs, 1.0]
        of = [standings.get(trial, Standing()) for trial in bracket]
        for level, (begin, end) in enumerate(zip(begins, ends, strict=True)):
            planned = kept(len(bracket), level - 1)
            through = sum(len(s.rungs) > level or (s.ended and not s.pruned) for s in of)
            able = sum(not s.ended and len(s.rungs) <= level for s in of)
            left += max(min(planned - through, able), 0) * (end - begin)
    return left
