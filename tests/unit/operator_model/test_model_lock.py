"""The model's view of its lock."""

from typing import Any

import pytest

from bluetune_operator.core.lock.of_model import lock_view


def task(name: str, **metadata: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "uid": f"uid-{name}", **metadata}, "spec": {"modelRef": {"name": "m"}}}


def job(name: str, *, finished: bool = False) -> dict[str, Any]:
    labels = {"bluetune.dev/task": name, "bluetune.dev/task-uid": f"uid-{name}"}
    conditions = [{"type": "Complete", "status": "True"}] if finished else []
    return {"metadata": {"name": f"{name}-train", "labels": labels}, "status": {"conditions": conditions}}


def lease(holder: str) -> dict[str, Any]:
    spec = {"holderIdentity": holder, "acquireTime": "2026-01-01T00:00:00.123456Z"}
    return {"metadata": {"name": "bluetune-m"}, "spec": spec}


@pytest.mark.parametrize(
    ("case", "lease", "tasks", "jobs", "holder", "waiting", "problem"),
    [
        ("free", None, [], [], None, 0, None),
        ("held, two wait", lease("a/uid-a"), [task("a"), task("b"), task("c")], [job("a")], "a", 2, None),
        ("released", lease(""), [task("b")], [job("a", finished=True)], None, 1, None),
        ("holder that nobody can read", lease("kubectl"), [task("b")], [], None, 1, "HolderUnknown"),
        (
            "work of another living task",
            lease("a/uid-a"),
            [task("a"), task("b")],
            [job("b")],
            "a",
            1,
            "WorkWithoutLock",
        ),
        ("work of a deleted task is on its way out", lease("a/uid-a"), [task("a")], [job("b")], "a", 0, None),
    ],
)
def test_the_view(
    case: str,
    lease: dict[str, Any] | None,
    tasks: list[dict[str, Any]],
    jobs: list[dict[str, Any]],
    holder: str | None,
    waiting: int,
    problem: str | None,
) -> None:
    view, count, failure = lock_view("m", lease, tasks, jobs)
    assert (view.holder if view else None, count) == (holder, waiting), case
    assert (failure.reason if failure else None) == problem, case
    if view is not None:
        assert (view.holder_uid, view.since) == (f"uid-{holder}", "2026-01-01T00:00:00Z")
