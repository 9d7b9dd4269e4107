"""Every schedule with a bounded number of pauses, in place of random ones.

The operators run in a fixed order, but for pauses: at one of its steps an operator falls asleep, somebody does
something right then, the others go on until nothing moves, and only then it wakes with what it knew. With all steps
tried as the place of the pause, no single pause is left out.

Bounding the preemptions is how CHESS explores: Musuvathi and Qadeer, Iterative Context Bounding for Systematic
Testing of Multithreaded Programs, PLDI 2007.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from unit.operator_lock_model.operators import Defect
from unit.operator_lock_model.system import Step, System
from unit.operator_lock_model.world import Move

LIMIT = 1500


@dataclass(frozen=True)
class Pause:
    """After so many steps of its own the operator that runs sleeps, until the others have nothing left to do."""

    after: int
    moves: Sequence[Move] = ()
    """What people do right then."""


def run(pauses: Sequence[Pause], *, tasks: Sequence[str] = ("a", "b"), serving: bool = False) -> tuple[System, bool]:
    """The system after a schedule, settled, and whether every pause was reached. Raises Defect."""
    system = System(2, serving=serving)
    for task in tasks:
        system.world.add(task, deployAsBlue=serving)
    try:
        reached = _scheduled(system, list(pauses))
        system.settle(random.Random(0))
    except Defect as defect:
        trace = "\n".join(" ".join(step) for step in system.trace)
        raise Defect(f"{pauses}: {defect}\n{system.describe()}\n{trace}") from defect
    return system, reached


def _scheduled(system: System, pauses: list[Pause]) -> bool:
    runs, steps = 0, 0
    for _ in range(LIMIT):
        if pauses and steps == pauses[0].after:
            for move in pauses.pop(0).moves:
                if move in set(system.world.people(("a", "b"))) | set(system.world.vandals(("a", "b"))):
                    system.apply(("world", *move))
            runs, steps = 1 - runs, 0
        awake = system.operators[runs]
        next_step = _first(system, system.work(awake)) or _first(system, system.world_moves(system.world.kubernetes()))
        if next_step is None:
            return not pauses
        steps += next_step[0] == awake.name
        system.apply(next_step)
    raise Defect(f"still busy after {LIMIT} steps")


def _first(system: System, steps: list[Step]) -> Step | None:
    """Events first, then what was begun, then what is to begin: as an event loop with little to do works."""
    order = {"deliver": 0, "go on": 1, "begin": 2}
    return min(steps, key=lambda step: order.get(step[1], 3), default=None)
