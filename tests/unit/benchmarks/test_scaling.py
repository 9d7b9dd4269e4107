"""Times of searches with several workers."""

import pytest

from scaling.simulate import of_measured, schedule, together


@pytest.mark.parametrize(
    ("times", "workers", "seconds"),
    [([3, 1, 1, 1], 1, 6), ([3, 1, 1, 1], 2, 3), ([1, 1, 3], 2, 4), ([2, 2], 4, 2), ([1, 2, 3, 4], 2, 6)],
)
def test_a_free_worker_takes_the_next_trial(times: list[float], workers: int, seconds: float) -> None:
    assert together(times, workers) == seconds


@pytest.mark.parametrize(("workers", "wall"), [(1, 2.5), (2, 1.5), (4, 1.125), (8, 1.125), (64, 1.125)])
def test_eight_equal_trials_take_what_the_documentation_says(workers: int, wall: float) -> None:
    found = schedule([1.0] * 8, [n / 8 for n in range(8)], workers)
    assert found.wall == pytest.approx(wall)
    assert found.busy == pytest.approx(2.5)
    assert sum(found.idle.values()) == pytest.approx(workers * wall - 2.5)
    assert found.efficiency == pytest.approx(2.5 / (workers * wall))


def test_workers_wait_for_the_slowest_of_a_rung() -> None:
    equal, uneven = schedule([1.0] * 8, [0.5] * 8, 4), schedule([2.0] + [1.0] * 7, [0.5] * 8, 4)
    assert uneven.wall == pytest.approx(2 / 8 + 1 / 8 + 2 / 8 + 2 / 4 + 2 / 2)
    assert set(equal.idle) == {"1/8", "1/4", "1/2", "1"}
    assert equal.idle["1/8"] == 0
    assert uneven.idle["1/8"] == pytest.approx(3 / 8)


def test_without_halving_the_waves_of_each_bracket_wait() -> None:
    (found,) = of_measured([1.0], 16, [4], halving=False)
    assert (found.wall, found.efficiency) == (pytest.approx(4.0), pytest.approx(1.0))
