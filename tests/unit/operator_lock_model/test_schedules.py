"""One operator falls asleep at each of its steps, and wakes when the other has done all there is to do."""

import pytest

from unit.operator_lock_model.schedules import Pause, run
from unit.operator_lock_model.world import Move

HAPPENINGS: dict[str, tuple[Move, ...]] = {
    "nothing": (),
    "deleted": (("delete", "a"),),
    "deleted and created again": (("delete", "a"), ("create", "a")),
    "cancelled": (("cancel", "a"),),
    "suspended": (("suspend", "a"),),
    "the Lease is deleted": (("delete-lease",),),
    "the Lease is emptied": (("edit-lease", ""),),
    "the Lease names the other": (("edit-lease", "b/b-f1"),),
}
MOST = 400


def explore(happening: str, stride: int, *, serving: bool = False) -> int:
    """Try every `stride`-th step; returns how many schedules there were."""
    for tried, after in enumerate(range(1, MOST, stride)):
        _, reached = run([Pause(after, HAPPENINGS[happening])], serving=serving)
        if not reached:
            return tried
    raise AssertionError(f"more than {MOST} steps")


@pytest.mark.parametrize("happening", HAPPENINGS)
def test_asleep_at_some_steps(happening: str) -> None:
    assert explore(happening, 83) > 1


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("happening", HAPPENINGS)
def test_asleep_at_every_step(happening: str) -> None:
    assert explore(happening, 1) > 50


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("happening", ["deleted", "cancelled"])
def test_the_first_asleep_then_the_second(happening: str) -> None:
    for first in range(5, 120, 9):
        for second in range(5, 120, 9):
            run([Pause(first, HAPPENINGS[happening]), Pause(second, (("suspend", "b"),))])
