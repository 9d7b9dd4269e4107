"""Random walks through the transition system, each made whole by its seed; and how to replay one.

PYTHONPATH=tests python -m unit.operator_lock_model.walks PROFILE SEED
"""

import random
import sys
from collections.abc import Callable
from dataclasses import dataclass

from unit.operator_lock_model.operators import Defect, Operator
from unit.operator_lock_model.system import NAMES, Step, System


@dataclass(frozen=True)
class Profile:
    """Who takes part, and how often things happen; what is left are the operators' own steps."""

    operators: tuple[int, ...] = (2,)
    """How many, drawn from these: what one forgets, another does for it."""
    serving: bool = False
    steps: int = 200
    people: float = 0.04
    faults: float = 0.02
    crashes_of_pods: float = 0.01
    vandals: float = 0.0
    timers: float = 0.03
    kubernetes: float = 0.2
    sleeps: float = 0.01
    same_key: float = 0.0


PROFILES = {
    "one operator": Profile(operators=(1,), faults=0.0),
    "two operators": Profile(),
    "edited Leases": Profile(operators=(1, 2), vandals=0.02),
    "one key": Profile(operators=(1, 2), same_key=0.9, vandals=0.01),
    "rollouts": Profile(operators=(1, 2), serving=True, steps=300, people=0.03, kubernetes=0.3),
    "storm": Profile(operators=(1, 3), people=0.1, faults=0.1, vandals=0.03, sleeps=0.03, steps=400),
}


def walk(name: str, seed: int) -> System:
    """Walk at random, then let everything come to its end. Raises Defect with the whole run."""
    profile, chance = PROFILES[name], random.Random(seed)
    system = System(chance.choice(profile.operators), serving=profile.serving)
    for task in NAMES[: chance.choice((1, 2, 3))]:
        key = {"idempotencyKey": "k"} if chance.random() < profile.same_key else {}
        system.world.add(task, deployAsBlue=profile.serving, waitOnConflict=chance.random() < 0.9, **key)
    wakes: dict[str, int] = {}
    try:
        for number in range(profile.steps):
            awake = [o for o in system.operators if wakes.get(o.name, 0) <= number]
            if chance.random() < profile.sleeps:
                wakes[chance.choice(system.operators).name] = number + chance.choice((20, 60, 150))
                continue
            steps = _pick(system, profile, awake, chance.random())
            if steps:
                system.apply(chance.choice(steps))
        system.settle(chance)
    except Defect as defect:
        run = "\n".join(" ".join(step) for step in system.trace)
        raise Defect(f"{name!r}, seed {seed}: {defect}\n{system.describe()}\n{run}") from defect
    return system


def _pick(system: System, profile: Profile, awake: list[Operator], number: float) -> list[Step]:
    """The steps of one kind, which is drawn by a number in [0, 1)."""
    world = system.world
    kinds: list[tuple[float, Callable[[], list[Step]]]] = [
        (profile.people, lambda: system.world_moves(world.people(NAMES))),
        (profile.faults, lambda: [step for o in awake for step in system.faults(o)]),
        (profile.crashes_of_pods, lambda: system.world_moves(world.failures())),
        (profile.vandals, lambda: system.world_moves(world.vandals(NAMES))),
        (profile.timers, lambda: [step for o in awake for step in system.timers(o)]),
        (profile.kubernetes, lambda: system.world_moves(world.kubernetes())),
    ]
    for share, steps in kinds:
        if number < share:
            return steps()
        number -= share
    return [step for o in awake for step in system.work(o)]


if __name__ == "__main__":
    done = walk(sys.argv[1], int(sys.argv[2]))
    print(f"{len(done.trace)} steps, nothing wrong\n{done.describe()}")
