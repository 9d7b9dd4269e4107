"""Operators and their world as one transition system: what can happen next, and what must hold after it."""

import random
from collections.abc import Iterable

from bluetune_operator.core.kinds import LEASES, TASKS, Key, lease_name
from bluetune_operator.core.lock.rules import has_ended
from unit.operator_lock_model.invariants import Invariants
from unit.operator_lock_model.operators import RESYNC, Defect, Operator
from unit.operator_lock_model.world import MODEL, Move, World

Step = tuple[str, ...]
"""Who, and what: replayed, the same steps give the same run."""

NAMES = ("a", "b", "c")
STEPS, ROUNDS = 2000, 60
"""Most steps without a timer, and most rounds of timers, until nothing moves."""


class System:
    """Some operators on one world. A step is text, so a run can be printed and replayed."""

    def __init__(self, operators: int = 2, *, serving: bool = False) -> None:
        self.world = World(serving=serving)
        self.operators = [Operator(f"operator-{n}", self.world) for n in range(operators)]
        self.invariants = Invariants(self.world, self.operators)
        self.trace: list[Step] = []

    # What can happen next, by kind

    def work(self, operator: Operator) -> list[Step]:
        """What an operator can do by itself."""
        if not operator.alive:
            return [(operator.name, "start")]
        steps = [(operator.name, "deliver", plural) for plural in operator.unread()]
        steps += [
            (operator.name, "begin", *_words(key)) for key in _sorted(operator.ready) if key not in operator.running
        ]
        return steps + [(operator.name, "go on", *_words(key)) for key in _sorted(operator.running)]

    def timers(self, operator: Operator) -> list[Step]:
        """What its clock can make it do."""
        if not operator.alive:
            return []
        keys = [key for key in [*_sorted(operator.later), RESYNC] if key not in operator.running]
        return [(operator.name, "begin", *_words(key)) for key in keys]

    def faults(self, operator: Operator) -> list[Step]:
        """What can go wrong with it."""
        steps: list[Step] = [(operator.name, "arrive")] if operator.orphans else []
        if operator.alive:
            steps.append((operator.name, "crash"))
            for key in _sorted(operator.running):
                steps += [(operator.name, how, *_words(key)) for how in ("done, no answer", "sent, no answer")]
        return steps

    def world_moves(self, moves: Iterable[Move]) -> list[Step]:
        """Moves of the world as steps."""
        return [("world", *move) for move in moves]

    def apply(self, step: Step) -> None:
        """Make a step, and check what must hold. Raises Defect."""
        self.trace.append(step)
        who, what, *about = step
        if who == "world":
            self.world.move((what, *about))
        else:
            operator = self._operator(who)
            match what:
                case "start":
                    operator.start()
                case "crash":
                    operator.crash()
                case "arrive":
                    operator.arrive()
                case "deliver":
                    operator.deliver(about[0])
                case "begin":
                    operator.begin(Key(*about))
                case "go on":
                    operator.go_on(Key(*about))
                case "done, no answer":
                    operator.lose(Key(*about), arrives=True)
                case _:
                    operator.lose(Key(*about), arrives=False)
        self.invariants.check()

    def settle(self, chance: random.Random) -> None:
        """No more faults and no more people: everything must come to its end. Raises Defect.

        Where the Lease was edited by hand the operators may have stopped: then what they advise must help.
        """
        for move in self.world.absent():
            self.apply(("world", *move))
        self.run_dry(chance)
        while (remedy := self.invariants.remedy()) is not None:
            self.apply(("world", *remedy))
            self.run_dry(chance)
        self.invariants.check_settled()

    def run_dry(self, chance: random.Random) -> None:
        """Until even the timers change nothing, without full lists: no event was lost that they would make up for."""
        self._drain(chance)
        for _ in range(ROUNDS):
            before = self.world.server.version
            for step in [s for operator in self.operators for s in self.timers(operator) if s[2] != RESYNC.kind]:
                if step in self.timers(self._operator(step[0])):
                    self.apply(step)
            self._drain(chance)
            if self.world.server.version == before:
                return
        raise Defect(f"not settled after {ROUNDS} rounds of timers")

    def _drain(self, chance: random.Random) -> None:
        """Until nothing can move but by a timer."""
        for _ in range(STEPS):
            steps = self.world_moves(self.world.kubernetes())
            for operator in self.operators:
                steps += self.work(operator) + [s for s in self.faults(operator) if s[1] == "arrive"]
            if not steps:
                return
            self.apply(chance.choice(steps))
        raise Defect(f"still busy after {STEPS} steps")

    def _operator(self, name: str) -> Operator:
        return next(o for o in self.operators if o.name == name)

    def describe(self) -> str:
        """Where everything stands, for a failure's message."""
        lease = self.world.server.get(LEASES, lease_name(MODEL))
        lines = [f"Lease: {lease['spec'].get('holderIdentity') if lease else None}"]
        for task in self.world.server.all(TASKS):
            status = task.get("status") or {}
            reasons = {c["type"]: f"{c['status']}/{c['reason']}" for c in status.get("conditions") or ()}
            lines.append(f"{task['metadata']['uid']}: {status.get('phase')} ended={has_ended(task)} {reasons}")
        return "\n".join(lines)


def _words(key: Key) -> tuple[str, str, str]:
    return key.kind, key.namespace, key.name


def _sorted(keys: Iterable[Key]) -> list[Key]:
    return sorted(keys)
