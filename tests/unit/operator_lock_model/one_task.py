"""One operator and one task, driven by hand: what the task says at each moment of its Job and pods."""

from bluetune_operator.core.jobs.workloads import is_active_pod
from bluetune_operator.core.kinds import JOBS, MODELS, PODS, TASKS, Object, condition
from unit.operator_lock_model.apiserver import copied
from unit.operator_lock_model.system import System
from unit.operator_lock_model.world import MODEL


def operator_works(system: System) -> None:
    """The operator does all that it can without its clock, then looks once more at what it would look at later."""
    operator = system.operators[0]
    for _ in range(2):
        for _ in range(300):
            steps = system.work(operator)
            if not steps:
                break
            system.apply(steps[0])
        for step in [s for s in system.timers(operator) if s[2] != "Resync"]:
            if step in system.timers(operator):
                system.apply(step)
    for _ in range(300):
        if not (steps := system.work(operator)):
            return
        system.apply(steps[0])
    raise AssertionError("still busy")


def kubernetes_works(system: System, *, succeed: bool) -> None:
    """Jobs get pods, pods start, and end if they may."""
    for _ in range(100):
        moves = [m for m in system.world.kubernetes() if succeed or m[0] != "succeed"]
        if not moves:
            return
        system.apply(("world", *moves[0]))
    raise AssertionError("still busy")


def at_work(stage: str) -> System:
    """A task whose check or training runs in its pod."""
    system = System(1)
    system.world.add("a")
    for _ in range(20):
        operator_works(system)
        kubernetes_works(system, succeed=False)
        pod = active_pod(system)
        if pod is not None and pod["metadata"]["name"].startswith(f"a-{stage}"):
            operator_works(system)
            return system
        kubernetes_works(system, succeed=True)
    raise AssertionError(f"no {stage}")


def job(system: System, name: str) -> Object | None:
    return system.world.server.get(JOBS, name)


def said(system: System) -> tuple[str | None, str | None]:
    """What the task and its model say."""
    task, model = system.world.server.get(TASKS, "a"), system.world.server.get(MODELS, MODEL)
    assert task is not None
    assert model is not None
    return tuple((condition(each, "Ready") or {}).get("reason") for each in (task, model))  # type: ignore[return-value]


def active_pod(system: System) -> Object | None:
    return next((pod for pod in system.world.server.all(PODS) if is_active_pod(pod)), None)


def pod_ends_with(system: System, code: int) -> None:
    pod = active_pod(system)
    assert pod is not None
    pod = copied(pod)
    container = {"name": "trainer", "state": {"terminated": {"exitCode": code, "message": ""}}}
    pod["status"] = {"phase": "Failed", "containerStatuses": [container]}
    system.world.server.put("kubelet", PODS, pod)
