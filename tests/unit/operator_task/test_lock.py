"""Who may take a model's lock, who may lose it, and in what order tasks wait."""

from typing import Any

import pytest

from bluetune_operator.core.jobs.workloads import is_finished_job
from bluetune_operator.core.lock.rules import (
    Holder,
    Inconsistent,
    Ours,
    Take,
    Wait,
    held_lease,
    holder_of,
    may_free,
    may_take,
    queue,
    regains,
    taken_as_it_is,
    unfinished_work,
)


def task(name: str, *, created: str = "2026-01-01T00:00:00Z", uid: str | None = None, **more: Any) -> dict[str, Any]:
    conditions = [{"type": k, "status": s, "reason": r} for k, s, r in more.pop("conditions", ())]
    deleting = {"deletionTimestamp": created} if more.pop("deleting", False) else {}
    return {
        "metadata": {
            "name": name,
            "uid": uid or f"uid-{name}",
            "resourceVersion": "3",
            "creationTimestamp": created,
            **deleting,
        },
        "spec": {"modelRef": {"name": "m"}, **more},
        "status": {"conditions": conditions},
    }


def lease(holder: str = "") -> dict[str, Any]:
    return {"metadata": {"name": "bluetune-m", "resourceVersion": "7"}, "spec": {"holderIdentity": holder}}


A, B = task("a"), task("b", created="2026-01-01T00:00:05Z")
HOLDS = (("LockAcquired", "True", "Acquired"),)
ENDED = (("Succeeded", "True", "Completed"),)


@pytest.mark.parametrize(
    ("asks", "held", "tasks", "work", "expected"),
    [
        pytest.param(A, None, [A], [], Take(), id="no Lease yet"),
        pytest.param(A, lease(), [A, B], [], Take(), id="free, and first"),
        pytest.param(A, lease("a/uid-a"), [A], [], Ours(), id="held already: a restart"),
        pytest.param(
            B, lease(), [A, B], [], Wait(2, "a", "task 'a' is before this one in the queue"), id="free, but not first"
        ),
        pytest.param(
            task("a", conditions=(("Accepted", "False", "Duplicate"),)),
            lease(),
            [task("a", conditions=(("Accepted", "False", "Duplicate"),)), B],
            [],
            Take(),
            id="free, and first once it has entered the queue",
        ),
        pytest.param(B, lease("a/uid-a"), [A, B], [], Wait(1, "a", "task 'a' holds the model"), id="held"),
        pytest.param(
            B,
            lease("a/uid-a"),
            [task("a", uid="uid-new"), B],
            [],
            Wait(2, "a", "task 'a' holds the model"),
            id="held by a former task of a name that came back",
        ),
        pytest.param(
            A,
            None,
            [A],
            [("Pod", "old-train-x", "uid-old")],
            Wait(1, None, "Pod 'old-train-x' of another task has not ended yet"),
            id="the Lease was collected while an old pod is in its grace period",
        ),
        pytest.param(
            A, lease(), [A], [("Job", "a-check", "uid-a")], Take(), id="its own work does not stand in its way"
        ),
        pytest.param(B, lease(), [task("a", suspend=True), B], [], Take(), id="a suspended waiter has left the queue"),
        pytest.param(B, lease(), [task("a", cancel=True), B], [], Take(), id="so has a cancelled one"),
        pytest.param(B, lease(), [task("a", deleting=True), B], [], Take(), id="and a deleted one"),
        pytest.param(B, lease(), [task("a", conditions=ENDED), B], [], Take(), id="and one that has ended"),
        pytest.param(
            B,
            lease(),
            [task("a", created="2026-01-02T00:00:00Z", conditions=HOLDS), B],
            [],
            Wait(1, "a", "task 'a' took the lock and has not ended"),
            id="the Lease was emptied by hand, and the task that had it is between two Jobs",
        ),
        pytest.param(
            B,
            lease(),
            [task("a", conditions=(("Accepted", "False", "MethodNotFound"),)), B],
            [],
            Take(),
            id="one whose method is missing lets others pass",
        ),
        pytest.param(
            B,
            lease(),
            [task("a", conditions=(("Accepted", "False", "ModelNotReady"),)), B],
            [],
            Wait(2, "a", "task 'a' is before this one in the queue"),
            id="one that waits for the model, as all do, keeps its place",
        ),
    ],
)
def test_taking_the_lock(asks: Any, held: Any, tasks: Any, work: Any, expected: Any) -> None:
    assert may_take(asks, held, tasks, work) == expected


def test_a_holder_that_nobody_can_read_stops_everything() -> None:
    verdict = may_take(A, lease("somebody"), [A], [])
    assert isinstance(verdict, Inconsistent)
    assert "delete the Lease" in verdict.message


def test_a_lease_that_names_a_task_while_another_works_stops_it() -> None:
    verdict = may_take(B, lease("b/uid-b"), [A, B], [("Job", "a-train", "uid-a")])
    assert isinstance(verdict, Inconsistent)
    assert "begins when that has ended" in verdict.message


def test_the_queue_is_by_priority_then_age_then_uid() -> None:
    old, new = "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"
    tasks = [
        task("young", created=new),
        task("urgent", created=new, priority=5),
        task("twin-b", created=old, uid="2"),
        task("twin-a", created=old, uid="1"),
        task("late", created=old, priority=-1),
    ]
    assert [t["metadata"]["name"] for t in queue(tasks, None)] == ["urgent", "twin-a", "twin-b", "young", "late"]


@pytest.mark.parametrize(
    ("held", "work", "expected"),
    [
        pytest.param(lease("a/uid-a"), [], Ours, id="the cache was behind"),
        pytest.param(lease(), [], Take, id="freed by mistake and nothing runs"),
        pytest.param(None, [], Take, id="removed by hand and nothing runs"),
        pytest.param(lease("b/uid-b"), [], Inconsistent, id="named another"),
        pytest.param(lease(), [("Pod", "p", "uid-b")], Inconsistent, id="another's pod runs"),
    ],
)
def test_a_task_that_thought_it_held_the_lock(held: Any, work: Any, expected: type) -> None:
    assert isinstance(regains(A, held, work), expected)


@pytest.mark.parametrize(
    ("holder_task", "work", "free"),
    [
        pytest.param(A, [], False, id="at work"),
        pytest.param(A, [("Job", "j", "uid-a")], False, id="at work, with a Job"),
        pytest.param(task("a", conditions=ENDED), [], True, id="ended, result in its status"),
        pytest.param(task("a", conditions=ENDED), [("Pod", "p", "uid-a")], False, id="ended, pod still terminating"),
        pytest.param(task("a", suspend=True), [], True, id="suspended before its status said that it holds the lock"),
        pytest.param(task("a", suspend=True, conditions=HOLDS), [], False, id="suspended: it keeps the lock"),
        pytest.param(None, [], True, id="gone"),
        pytest.param(None, [("Pod", "p", "uid-a")], False, id="gone, pod in its grace period"),
        pytest.param(task("a", uid="uid-new"), [], True, id="gone, and the name came back"),
        pytest.param(None, [("Pod", "p", "uid-b")], True, id="what another runs is not the holder's"),
    ],
)
def test_freeing_the_lock(holder_task: Any, work: Any, free: bool) -> None:
    assert may_free(Holder("a", "uid-a"), holder_task, work) is free


def test_a_lease_is_changed_in_place_so_that_its_version_guards_it() -> None:
    model = {"apiVersion": "v", "kind": "EmbeddingModel", "metadata": {"name": "m", "namespace": "n", "uid": "u"}}
    fresh = held_lease(model, task("a", uid="1"), "now")
    assert "resourceVersion" not in fresh["metadata"]
    assert fresh["metadata"]["ownerReferences"][0]["uid"] == "u"
    taken = held_lease(model, task("b", uid="2"), "now", lease())
    assert taken["metadata"]["resourceVersion"] == "7"
    assert holder_of(taken) == Holder("b", "2")
    assert holder_of(held_lease(model, None, "now", taken)) is None


def test_a_lease_is_taken_as_it_is_only_by_a_task_that_has_not_changed_since() -> None:
    model = {"apiVersion": "v", "kind": "EmbeddingModel", "metadata": {"name": "m", "namespace": "n", "uid": "u"}}
    same, changed = task("a"), task("a")
    changed["metadata"]["resourceVersion"] = "4"
    written = held_lease(model, same, "now", lease())
    assert taken_as_it_is(written, same)
    assert not taken_as_it_is(written, changed)
    assert not taken_as_it_is(held_lease(model, None, "later", written), same)
    assert not taken_as_it_is(lease("a/uid-a"), same)
    assert not taken_as_it_is(None, same)


def test_only_complete_and_failed_are_the_end_of_a_job() -> None:
    def job(*conditions: str) -> dict[str, Any]:
        return {
            "metadata": {"name": "j"},
            "status": {"conditions": [{"type": c, "status": "True"} for c in conditions]},
        }

    assert not is_finished_job(job())
    assert not is_finished_job(job("FailureTarget"))
    assert not is_finished_job(job("SuccessCriteriaMet"))
    assert is_finished_job(job("FailureTarget", "Failed"))
    assert is_finished_job(job("SuccessCriteriaMet", "Complete"))


def test_work_is_unfinished_jobs_and_pods_that_have_not_ended() -> None:
    labels = {"labels": {"bluetune.dev/task-uid": "u"}}
    jobs = [{"metadata": {"name": "j", **labels}}, {"metadata": {"name": "import"}}]
    pods = [
        {"metadata": {"name": "runs", **labels}, "status": {"phase": "Running"}},
        {"metadata": {"name": "stops", "deletionTimestamp": "t", **labels}, "status": {"phase": "Running"}},
        {"metadata": {"name": "over", **labels}, "status": {"phase": "Failed"}},
    ]
    assert [name for _, name, _ in unfinished_work(jobs, pods)] == ["j", "runs", "stops"]
