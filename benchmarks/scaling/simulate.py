"""How long a search takes with so many workers: the search's own order of trials, with times that were measured."""

import heapq
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from bluetune_trainer.search.halving import RUNGS, Prune, Run, Standing, next_round

ENDS = (*RUNGS, 1.0)


@dataclass
class Schedule:
    """What a search comes to."""

    workers: int
    wall: float = 0.0
    busy: float = 0.0
    """Worker seconds in which a trial trained."""
    idle: dict[str, float] = field(default_factory=dict)
    """Worker seconds spent waiting for others, by the share of a training that the others trained up to."""

    @property
    def efficiency(self) -> float:
        """Share of the workers' time in which they trained."""
        return self.busy / (self.workers * self.wall)


def schedule(seconds: Sequence[float], qualities: Sequence[float], workers: int, *, halving: bool = True) -> Schedule:
    """Play a search.

    Args:
        seconds: of a full training, for each trial.
        qualities: of each trial, at every rung alike.
        workers: trials that run at a time.
        halving: else every trial trains to its end.
    """
    found, total = Schedule(workers), len(seconds)
    standings: dict[int, Standing] = {}
    while (move := next_round(standings, total, len(RUNGS) if halving else 0)) is not None:
        if isinstance(move, Prune):
            for n in move.trials:
                standings[n] = Standing(standings[n].rungs, ended=True, quality=qualities[n], pruned=True)
            continue
        times = [_share(run, standings) * seconds[run.trial] for run in move]
        wall, busy = together(times, workers), sum(times)
        level = "1" if move[0].until is None else f"1/{round(1 / RUNGS[move[0].until])}"
        found.wall += wall
        found.busy += busy
        found.idle[level] = found.idle.get(level, 0.0) + workers * wall - busy
        for run in move:
            before = standings.get(run.trial, Standing()).rungs
            quality = qualities[run.trial]
            standings[run.trial] = (
                Standing(before, ended=True, quality=quality) if run.until is None else Standing((*before, quality))
            )
    return found


def together(times: Sequence[float], workers: int) -> float:
    """Seconds until all are done, each begun in its order by the first worker that is free."""
    free = [0.0] * workers
    for seconds in times:
        heapq.heappush(free, heapq.heappop(free) + seconds)
    return max(free)


def of_measured(measured: Sequence[float], total: int, workers: Sequence[int], *, halving: bool) -> list[Schedule]:
    """Searches of `total` trials whose times are drawn from those that were measured; by a fixed seed."""
    rng = random.Random(0)
    seconds = [rng.choice(measured) for _ in range(total)]
    qualities = [rng.random() for _ in range(total)]
    return [schedule(seconds, qualities, n, halving=halving) for n in workers]


def _share(run: Run, standings: dict[int, Standing]) -> float:
    reached = len(standings.get(run.trial, Standing()).rungs)
    return (1.0 if run.until is None else RUNGS[run.until]) - (ENDS[reached - 1] if reached else 0.0)
