"""The exploration finds what it is there to find: each rule that makes the lock safe is broken once."""

from typing import Any

import pytest

from bluetune_operator.adapters import leases
from bluetune_operator.core.lock.rules import held_lease
from bluetune_operator.reconciler import lock as lock_reconciler
from bluetune_operator.reconciler.tasks import admission as task_admission
from bluetune_operator.reconciler.tasks import end as task_end
from bluetune_operator.reconciler.tasks import work as task_work
from unit.operator_lock_model import test_regressions
from unit.operator_lock_model.operators import Defect
from unit.operator_lock_model.walks import walk

SEEDS = 3000
"""At most: the first that finds it ends the search, and the rarest are found once in some 250."""


def finds(profile: str, what: str) -> bool:
    """Whether a walk breaks this invariant."""
    for seed in range(SEEDS):
        try:
            walk(profile, seed)
        except Defect as defect:
            if what in str(defect).splitlines()[0]:
                return True
    return False


def test_a_lock_that_is_freed_before_the_work_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock_reconciler, "may_free", lambda *_: True)
    assert finds("one operator", "was freed")


@pytest.mark.slow
def test_a_lease_that_is_written_without_compare_and_swap(monkeypatch: pytest.MonkeyPatch) -> None:
    def careless(*arguments: Any) -> Any:
        lease = held_lease(*arguments)
        lease["metadata"].pop("resourceVersion", None)
        return lease

    monkeypatch.setattr(leases, "held_lease", careless)
    assert finds("two operators", "without being free")


def test_a_job_that_is_resumed_without_a_look_at_the_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task_work, "still_held", _believe)
    with pytest.raises(Defect, match="two tasks of one model are at work"):
        test_regressions.test_a_task_whose_lease_was_given_to_another_by_hand_is_not_started_beside_it()


def test_a_job_that_is_resumed_without_a_look_at_the_task(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task_work, "still_there", _believe)
    with pytest.raises(AssertionError):
        test_regressions.test_a_task_deleted_before_its_job_is_created_is_not_started_while_its_lock_is_being_freed()


@pytest.mark.slow
def test_a_result_that_is_accepted_without_a_look_at_the_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task_end, "still_held", _believe)
    monkeypatch.setattr(task_admission, "_names", lambda *_: True)
    assert finds("edited Leases", "Published while")


@pytest.mark.slow
def test_a_lock_that_is_freed_while_a_pod_is_in_its_grace_period(monkeypatch: pytest.MonkeyPatch) -> None:
    async def jobs_only(*arguments: Any) -> Any:
        return [work for work in await leases.live_work(*arguments) if work[0] == "Job"]

    monkeypatch.setattr(lock_reconciler, "live_work", jobs_only)
    assert finds("one operator", "freed while it works")


async def _believe(_: Any) -> bool:
    return True
