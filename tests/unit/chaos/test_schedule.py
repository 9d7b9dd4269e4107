"""Schedules are drawn the same every time, and every fault comes up."""

from collections import Counter

import pytest

from chaos.schedule import BLOWS, FAULTS, MACHINE, OUTAGES, REAL_PACE, SCRIPTED, SECONDS, draw


def test_the_same_seed_and_number_give_the_same_schedule() -> None:
    assert draw(7, 3) == draw(7, 3)
    assert draw(7, 3) != draw(7, 4)
    assert draw(7, 3) != draw(8, 3)


def test_every_fault_comes_up() -> None:
    found = Counter(fault.kind for number in range(200) for fault in draw(1, number).faults)
    assert found.keys() == (OUTAGES | BLOWS).keys()
    assert min(found.values()) >= 5
    machine = Counter(fault.kind for number in range(50) for fault in draw(1, number, machine=True).faults)
    assert MACHINE.keys() <= machine.keys()


@pytest.mark.parametrize("kind", sorted(FAULTS))
def test_a_fault_can_be_asked_for(kind: str) -> None:
    assert draw(1, 1, only=kind).faults[0].kind == kind


def test_a_schedule_has_room_for_all_that_is_in_it() -> None:
    for number in range(100):
        schedule = draw(2, number)
        assert 1 <= len(schedule.faults) <= 3
        assert 2 <= len(schedule.tasks) <= 3
        names = {task.name for task in schedule.tasks}
        assert all(0 < fault.at <= SECONDS / 2 for fault in schedule.faults)
        assert all(action.task in names for action in schedule.actions)
        assert len({fault.kind for fault in schedule.faults}) == len(schedule.faults)


def test_the_real_trainer_has_more_time_and_is_given_no_orders() -> None:
    for number in range(100):
        schedule = draw(2, number, real=True)
        assert not {fault.kind for fault in schedule.faults} & SCRIPTED
        assert schedule.seconds == REAL_PACE * SECONDS
        assert all(fault.at <= schedule.seconds / 2 for fault in schedule.faults)
    assert max(fault.at for number in range(100) for fault in draw(2, number, real=True).faults) > SECONDS


def test_a_fault_that_the_trainer_makes_is_in_its_orders() -> None:
    assert "oom-once" in draw(1, 0, only="pod-oom").tasks[0].orders
    assert "crash-once" in draw(1, 0, only="pod-crash").tasks[0].orders
