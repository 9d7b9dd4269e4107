"""Synchronous successive halving: which trials run next, up to where, and which end early.

Trials are cut into brackets of at most BRACKET. All of a bracket train up to the first rung, the better half of them
goes on to the second, half of those to the third, and the best to its end; what went before is never repeated, for a
trial that waits has a checkpoint. So eight trials cost 8/8 + 4/8 + 2/4 + 1/2 = 2.5 full trainings.

Jamieson and Talwalkar, "Non-stochastic Best Arm Identification and Hyperparameter Optimization" (2016). The
asynchronous form, ASHA (Li et al., 2020), spares parallel workers the wait for the slowest trial of a rung, and decides
by who was faster. Here workers wait at the end of each rung, and every decision knows the whole rung: one process and
many come to the same. Several brackets let TPE learn from trials that ended, as BOHB does (Falkner et al., 2018); and
the trials of a bracket begin in two waves, of which the second is drawn from what the first had at its first rung.

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
    """Of one that ended; None if it failed."""
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


def waves(bracket: range) -> list[range]:
    """Trials of a bracket by what is known when they are drawn: the second half knows the first half's first rung.

    Of two trials, TPE would draw both at random, so they begin together.
    """
    first = max(2, -(-len(bracket) // 2))
    return [wave for wave in (bracket[:first], bracket[first:]) if wave]


def wave_of(trial: int, total: int) -> range:
    """The trials that are drawn together with this one."""
    return next(wave for bracket in brackets(total) for wave in waves(bracket) if trial in wave)


def next_round(standings: Mapping[int, Standing], total: int, rungs: int) -> tuple[Run, ...] | Prune | None:
    """What to do next: trials of one rung, in any order or at the same time; None when all ended.

    A trial that is not among those that go on ends as soon as that is certain, not when its rung is complete; so where
    one trial runs at a time, no more than half of a bracket, and one, wait. Which trials those are does not depend on
    the order in which a rung's trials end.

    Args:
        standings: of every trial that reached a rung or ended.
        total: trials of the search.
        rungs: in a training.
    """
    for bracket in brackets(total):
        found = _in_bracket(standings, bracket, rungs if len(bracket) > 1 else 0)
        if found is not None:
            return found
    return None


def _in_bracket(standings: Mapping[int, Standing], bracket: range, rungs: int) -> tuple[Run, ...] | Prune | None:
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
        before = [trial for trial in alive if len(of(trial).rungs) <= rung]
        if before:
            return tuple(Run(trial, rung) for trial in (_of_one_wave(before, bracket) if rung == 0 else before))
    if not alive:
        return None
    return tuple(Run(trial, None) for trial in (alive if rungs else _of_one_wave(alive, bracket)))


def _of_one_wave(trials: Sequence[int], bracket: range) -> list[int]:
    """The trials of the first wave that has one of them."""
    return next(found for wave in waves(bracket) if (found := [trial for trial in trials if trial in wave]))


def _value(standing: Standing, rung: int) -> float | None:
    """What a trial counts with at a rung: what it had there, or what it ended with before."""
    if len(standing.rungs) > rung:
        return standing.rungs[rung]
    return standing.quality if standing.ended and not standing.pruned else None


def work_left(standings: Mapping[int, Standing], total: int, shares: Sequence[float], workers: int = 1) -> float:
    """Full trainings that the search still takes, if no further trial ends before its time.

    Args:
        standings: of every trial that reached a rung or ended.
        total: trials of the search.
        shares: of a training, at which its rungs lie.
        workers: how many trials of a rung run at a time; what they do together counts once.
    """
    left = 0.0
    for bracket in brackets(total):
        rungs = list(shares) if len(bracket) > 1 else []
        begins, ends = [0.0, *rungs], [*rungs, 1.0]
        of = [standings.get(trial, Standing()) for trial in bracket]
        for level, (begin, end) in enumerate(zip(begins, ends, strict=True)):
            planned = kept(len(bracket), level - 1)
            through = sum(len(s.rungs) > level or (s.ended and not s.pruned) for s in of)
            able = [trial for trial, s in zip(bracket, of, strict=True) if not s.ended and len(s.rungs) <= level]
            able = able[: max(planned - through, 0)]
            together = [able] if level else [[trial for trial in able if trial in wave] for wave in waves(bracket)]
            left += sum(-(-len(trials) // workers) for trials in together) * (end - begin)
    return left
