"""Schedules that once broke the lock, each with an operator that sleeps with one request in its hand."""

import random

import pytest

from bluetune_operator.core.jobs.workloads import is_finished_job
from bluetune_operator.core.kinds import JOBS, LEASES, METHODS, TASKS, Key, condition_status, lease_name
from bluetune_operator.core.lock.rules import has_ended, waits
from unit.operator_lock_model.apiserver import copied
from unit.operator_lock_model.system import System
from unit.operator_lock_model.world import MODEL, NAMESPACE


def system_asleep_before(method: str, what: str, *, tasks: tuple[str, ...] = ("a", "b")) -> System:
    """Two operators; the first works alone and falls asleep when it is about to send a request of this kind."""
    system = System(2)
    for task in tasks:
        system.world.add(task)
    sleeper = system.operators[0]
    for _ in range(1000):
        waiting = [run.request for run in sleeper.running.values()]
        if any(str(request).startswith(f"{method} ") and what in request.path for request in waiting):
            return system
        steps = system.work(sleeper) or system.world_moves(system.world.kubernetes())
        system.apply(
            min(steps, key=lambda step: ("deliver", "go on", "begin").index(step[1]) if step[0] != "world" else 9)
        )
    raise AssertionError(f"never {method} {what}")


def others_finish(system: System, *, until: str | None = None) -> None:
    """The second operator and Kubernetes go on until nothing moves, or until a Job of a task runs."""
    other, chance = system.operators[1], random.Random(0)
    for _ in range(3000):
        job = system.world.server.get(JOBS, f"{until}-check")
        if job is not None and not job["spec"]["suspend"]:
            return
        steps = system.work(other) + system.world_moves(system.world.kubernetes())
        if not steps:
            steps = [step for step in system.timers(other) if step[2] != "Resync"]
            if until is None:
                return
        system.apply(chance.choice(steps))
    raise AssertionError("still busy")


def second_is_about_to_free(system: System) -> None:
    """The second operator has decided to free the Lease, and sleeps."""
    freer = system.operators[1]
    for _ in range(500):
        if any(str(run.request).startswith("PUT") and "/leases/" in run.request.path for run in freer.running.values()):
            return
        system.apply(min(system.work(freer), key=lambda step: step[1] != "deliver"))
    raise AssertionError("the Lease is never freed")


def goes_on_with_its_old_view(system: System) -> None:
    """The first operator works on, and no watch event reaches it."""
    sleeper = system.operators[0]
    for _ in range(100):
        steps = system.work(sleeper) + system.timers(sleeper)
        steps = [step for step in steps if step[1] != "deliver" and step[2] == TASKS.name]
        if steps:
            system.apply(steps[0])


def move(system: System, *what: str) -> None:
    system.apply(("world", *what))


def phase(system: System, name: str) -> str | None:
    task = system.world.server.get(TASKS, name)
    return (task.get("status") or {}).get("phase") if task else None


def test_a_task_deleted_right_before_its_job_is_created_never_trains_beside_the_next() -> None:
    system = system_asleep_before("POST", "/jobs")
    move(system, "delete", "a")
    others_finish(system, until="b")
    goes_on_with_its_old_view(system)  # it makes a Job, which nobody may resume
    assert system.world.server.get(JOBS, "a-check") is not None
    system.settle(random.Random(1))
    assert phase(system, "b") == "Succeeded"
    assert system.world.server.get(JOBS, "a-check") is None


def test_a_task_deleted_before_its_job_is_created_is_not_started_while_its_lock_is_being_freed() -> None:
    system = system_asleep_before("POST", "/jobs", tasks=("a",))
    move(system, "delete", "a")
    second_is_about_to_free(system)
    goes_on_with_its_old_view(system)  # the Lease still names it
    job = system.world.server.get(JOBS, "a-check")
    assert job is not None
    assert job["spec"]["suspend"]
    system.settle(random.Random(1))
    assert system.world.server.get(JOBS, "a-check") is None


def test_a_task_whose_lease_was_given_to_another_by_hand_is_not_started_beside_it() -> None:
    system = system_asleep_before("POST", "/jobs")
    other = system.world.server.get(TASKS, "b")
    assert other is not None
    move(system, "edit-lease", f"b/{other['metadata']['uid']}")
    others_finish(system, until="b")
    goes_on_with_its_old_view(system)
    job = system.world.server.get(JOBS, "a-check")
    assert job is not None
    assert job["spec"]["suspend"]


def test_a_task_cancelled_right_before_its_job_is_created_leaves_no_job() -> None:
    system = system_asleep_before("POST", "/jobs")
    move(system, "cancel", "a")
    others_finish(system)
    system.settle(random.Random(1))
    assert phase(system, "a") == "Cancelled"
    assert phase(system, "b") == "Succeeded"
    assert all(is_finished_job(job) for job in system.world.server.all(JOBS))


def test_a_task_suspended_right_after_its_lease_was_written_leaves_the_lock() -> None:
    system = system_asleep_before("PUT", "/finetuningtasks/a/status")
    lease = system.world.server.get(LEASES, lease_name(MODEL))
    assert lease is not None
    assert lease["spec"]["holderIdentity"] == "a/a-f1"
    move(system, "suspend", "a")
    system.apply((system.operators[0].name, "crash"))
    others_finish(system, until="b")
    system.settle(random.Random(1))
    assert phase(system, "b") == "Succeeded"


def test_a_task_resumed_while_its_lock_is_being_freed_does_not_lose_it() -> None:
    system = system_asleep_before("PUT", "/finetuningtasks/a/status", tasks=("a",))
    move(system, "suspend", "a")
    system.apply((system.operators[0].name, "crash"))
    second_is_about_to_free(system)
    move(system, "resume", "a")
    system.apply((system.operators[0].name, "start"))
    for _ in range(500):
        task = system.world.server.get(TASKS, "a")
        assert task is not None
        if condition_status(task, "LockAcquired") == "True":
            break
        system.apply(system.work(system.operators[0])[0])
    system.settle(random.Random(1))
    assert phase(system, "a") == "Succeeded"


def test_a_task_of_a_name_that_came_back_does_not_take_over_the_jobs_of_the_former_one() -> None:
    system = System(1)
    system.world.add("a")
    system.settle(random.Random(1))
    first = system.world.server.get(JOBS, "a-check")
    assert first is not None
    move(system, "delete", "a")
    move(system, "create", "a")
    operator = system.operators[0]
    while steps := system.work(operator):  # before the garbage collector has seen anything
        system.apply(steps[0])
    task = system.world.server.get(TASKS, "a")
    assert task is not None
    assert not has_ended(task)
    system.settle(random.Random(1))
    assert phase(system, "a") == "Succeeded"
    second = system.world.server.get(JOBS, "a-check")
    assert second is not None
    assert second["metadata"]["uid"] != first["metadata"]["uid"]


def test_a_task_stands_in_the_queue_for_all_to_see_before_it_takes_the_lock() -> None:
    """Otherwise whoever looks at its Lease and then at its status frees the lock under it."""
    system = System(1)
    method = system.world.server.get(METHODS, "text")
    assert method is not None
    system.world.server.remove("person", METHODS, "text")
    system.world.add("a")
    system.run_dry(random.Random(1))
    assert not waits(system.world.server.get(TASKS, "a") or {})
    system.world.server.create("person", METHODS, method)
    operator = system.operators[0]
    while system.world.server.get(LEASES, lease_name(MODEL)) is None:
        system.apply(system.work(operator)[0])
    assert waits(system.world.server.get(TASKS, "a") or {})


def test_a_lease_deleted_between_two_jobs_is_taken_again_by_the_task_that_had_it() -> None:
    system = system_asleep_before("POST", "/jobs")
    sleeper = system.operators[0]
    while system.world.server.get(JOBS, "a-check") is None or not is_finished_job(
        system.world.server.get(JOBS, "a-check") or {}
    ):
        steps = system.world_moves(system.world.kubernetes()) or system.work(sleeper)
        system.apply(steps[0])
    move(system, "prioritise", "b")
    move(system, "delete-lease")
    system.settle(random.Random(1))
    ended = [system.world.server.get(TASKS, name) for name in ("a", "b")]
    assert all(task is not None and condition_status(task, "Succeeded") == "True" for task in ended)


def test_an_operator_that_dies_after_each_of_its_writes_still_gets_on() -> None:
    """Two writes that undo each other's readiness would go on for ever."""
    system = System(1)
    system.world.add("a")
    operator, chance = system.operators[0], random.Random(1)
    for _ in range(200):  # lives
        for _ in range(1000):
            steps = system.world_moves(system.world.kubernetes()) + system.work(operator)
            steps = steps or [step for step in system.timers(operator) if step[2] != "Resync"]
            step = chance.choice(steps)
            before = system.world.server.version
            system.apply(step)
            if step[0] == operator.name and system.world.server.version != before:
                system.apply((operator.name, "crash"))
                break
        if phase(system, "a") == "Succeeded":
            return
    raise AssertionError(f"no end after 200 lives\n{system.describe()}")


def test_a_task_whose_key_another_works_on_is_not_refused_when_it_read_the_lease_too_early() -> None:
    system = System(1)
    for name in ("a", "b"):
        system.world.add(name, idempotencyKey="k", waitOnConflict=False)
    operator, late = system.operators[0], Key(TASKS.name, NAMESPACE, "b")

    def has_read_the_lease() -> bool:
        run = operator.running.get(late)
        return run is not None and str(run.request).startswith("GET") and run.request.path.endswith("/jobs")

    for held in (False, True):  # up to there, and on without it
        for _ in range(1000):
            job = system.world.server.get(JOBS, "a-check")
            if (job is not None and not job["spec"]["suspend"]) if held else has_read_the_lease():
                break
            steps = system.work(operator) + system.world_moves(system.world.kubernetes())
            mine = [step for step in steps if step[2:] == (late.kind, late.namespace, late.name)]
            others = [step for step in steps if step not in mine and "a" not in step[-1:]]
            system.apply(([s for s in steps if s not in mine] if held else mine + others)[0])
        else:
            raise AssertionError("never came there")
    assert has_read_the_lease()
    system.settle(random.Random(1))
    assert [phase(system, name) for name in ("a", "b")] == ["Succeeded", "Succeeded"]


@pytest.mark.parametrize("failed", [False, True])
def test_the_result_of_a_task_that_is_gone_is_taken_over_unless_the_task_failed_after_it(failed: bool) -> None:
    system = System(1)
    system.world.add("a", idempotencyKey="k")
    system.settle(random.Random(1))
    if failed:
        task = copied(system.world.server.get(TASKS, "a"))
        for condition in task["status"]["conditions"]:
            if condition["type"] == "Succeeded":
                condition.update(type="Failed", reason="RolloutFailed")
        system.world.server.put("person", TASKS, task)
        system.run_dry(random.Random(1))
    move(system, "delete", "a")
    system.world.add("b", idempotencyKey="k")
    system.run_dry(random.Random(1))  # nothing failed by itself here: to the invariants the key has its work
    assert phase(system, "b") == "Succeeded"
    assert (system.world.server.get(JOBS, "b-train") is not None) is failed
