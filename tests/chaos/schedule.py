"""What happens in one run of the chaos suite, and when: drawn from a seed and a number, the same every time."""

import random
from dataclasses import asdict, dataclass, field, replace
from typing import Any

SECONDS = 24.0
"""Faults and actions lie in this span; after it everything is mended and the rest must come to its end."""

REAL_PACE = 3.0
"""With the real trainer all that happens is so many times as far apart: its pods need time to start, and to train."""

OUTAGES = {
    "api-503": "the API server answers 503 or 500",
    "api-429": "the API server answers 429 with Retry-After",
    "api-hang": "the API server takes requests and does not answer",
    "api-refuse": "connections to the API server are reset",
    "api-lost": "the API server does what it is asked, and its answers are lost",
    "watch-cut": "watch streams break off",
    "watch-410": "watch streams end with 410 Gone",
    "s3-503": "the store answers 503 SlowDown",
    "s3-refuse": "connections to the store are reset, also in the middle of an upload",
    "s3-slow": "the store takes its time",
    "s3-lost": "the store does what it is asked, and its answers are lost",
}
"""Faults that last, by a relay in front of the API server or the store."""
BLOWS = {
    "operator-kill": "SIGKILL of the operator, started again some seconds later",
    "operator-stop": "SIGSTOP of the operator for some seconds",
    "operator-crash": "the operator dies right after its next writes",
    "operator-twin": "a second operator is started beside it, and the first is killed",
    "operator-clock": "the operator is started again with its clock an hour off",
    "pod-kill": "a trainer's pod is deleted without grace",
    "pod-evict": "a trainer's pod is evicted",
    "pod-oom": "a trainer uses more memory than its limit, the first time",
    "pod-crash": "a trainer crashes, the first time",
    "job-delete": "a training Job is deleted by hand",
    "lease-delete": "the model's Lease is deleted by hand",
}
"""Faults of one moment."""
SCRIPTED = {"pod-oom", "pod-crash"}
"""Faults that the scripted trainer makes itself, at its orders."""
MACHINE = {
    "api-restart": "the API server is killed and started again",
    "etcd-restart": "etcd is killed and started again",
    "kubelet-stop": "SIGSTOP of the kubelet until its node is not ready",
}
"""Faults of the whole cluster: what shares it suffers them too."""
FAULTS = OUTAGES | BLOWS | MACHINE
ACTIONS = ("create", "delete", "cancel", "suspend", "resume", "priority")


@dataclass(frozen=True)
class Fault:
    """A fault to inject."""

    kind: str
    at: float
    """Seconds from the start."""
    seconds: float
    """How long it lasts, or how long a process stays dead."""
    strength: float
    """Share of the requests that are hit; for a crash, how many writes it lets pass."""


@dataclass(frozen=True)
class TaskPlan:
    """A task to create."""

    name: str
    at: float
    orders: str
    """What the scripted trainer does."""
    spec: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Action:
    """Something that a person does to a task."""

    kind: str
    task: str
    at: float


@dataclass(frozen=True)
class Schedule:
    """One run."""

    seed: int
    number: int
    faults: list[Fault]
    tasks: list[TaskPlan]
    actions: list[Action]
    serving: bool
    seconds: float = SECONDS
    """How long all that lasts."""

    def wire(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


def draw(seed: int, number: int, *, machine: bool = False, only: str | None = None, real: bool = False) -> Schedule:
    """The schedule of a number under a seed.

    Args:
        seed: of the whole run.
        number: of the schedule in it, from 0.
        machine: draw one fault of the whole cluster, too.
        only: a kind of fault that is drawn first.
        real: for the real trainer.
    """
    chance = random.Random(f"{seed}/{number}")
    kinds = chance.sample(sorted((OUTAGES | BLOWS).keys() - (SCRIPTED if real else set())), chance.randint(1, 3))
    if only is not None:
        kinds = [only, *(kind for kind in kinds if kind != only)][:3]
    if machine:
        kinds[0] = chance.choice(sorted(MACHINE))
    faults = [_fault(chance, kind) for kind in kinds]
    tasks = _tasks(chance, faults)
    schedule = Schedule(seed, number, faults, tasks, _actions(chance, tasks), serving=chance.random() < 0.3)
    return stretched(schedule, REAL_PACE) if real else schedule


def stretched(schedule: Schedule, pace: float) -> Schedule:
    """The same, so many times as far apart. A fault lasts as long as it did: what it hits has the same timeouts."""
    return replace(
        schedule,
        faults=[replace(fault, at=fault.at * pace) for fault in schedule.faults],
        tasks=[replace(task, at=task.at * pace) for task in schedule.tasks],
        actions=[replace(action, at=action.at * pace) for action in schedule.actions],
        seconds=schedule.seconds * pace,
    )


def _fault(chance: random.Random, kind: str) -> Fault:
    seconds = chance.uniform(2.0, 8.0)
    if kind in OUTAGES:
        seconds = chance.uniform(4.0, 12.0)
    elif kind == "kubelet-stop":
        seconds = 20.0
    strength = float(chance.randint(1, 6)) if kind == "operator-crash" else chance.choice((0.2, 0.5, 1.0))
    return Fault(kind, round(chance.uniform(1.0, SECONDS * 0.5), 2), round(seconds, 2), strength)


def _tasks(chance: random.Random, faults: list[Fault]) -> list[TaskPlan]:
    plans = []
    for number in range(chance.randint(2, 3)):
        spec: dict[str, Any] = {"maxRetries": 20}
        if chance.random() < 0.2:
            spec["priority"] = chance.randint(-5, 5)
        if chance.random() < 0.25:
            spec["idempotencyKey"] = "same"
        if chance.random() < 0.1:
            spec["waitOnConflict"] = False
        if chance.random() < 0.15:
            spec["suspend"] = True
        if chance.random() < 0.6:
            spec["deployAsBlue"] = True
        orders = [f"trials:{chance.randint(2, 5)}"]
        if number == 0:
            kinds = {fault.kind for fault in faults}
            orders += [order for kind, order in (("pod-oom", "oom-once"), ("pod-crash", "crash-once")) if kind in kinds]
        plans.append(TaskPlan(f"t{number}", round(chance.uniform(0.0, SECONDS * 0.3), 2), ",".join(orders), spec))
    return plans


def _actions(chance: random.Random, tasks: list[TaskPlan]) -> list[Action]:
    found = []
    for _ in range(chance.randint(0, 3)):
        task = chance.choice(tasks)
        kind = chance.choice([kind for kind in ACTIONS if kind != "create"])
        found.append(Action(kind, task.name, round(task.at + chance.uniform(0.5, SECONDS * 0.6), 2)))
    return sorted(found, key=lambda action: action.at)
