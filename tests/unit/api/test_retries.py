"""How long a call is tried again: by failures in a row and their time, which progress begins anew."""

import pytest

from bluetune_api.retries import with_retries


class World:
    """A clock, and a call that takes `seconds` each time.

    It ends as the list says: None is success, a number how far it came before it failed.
    """

    def __init__(self, *ends: int | None, seconds: float = 0.0) -> None:
        self.now = 0.0
        self.calls = 0
        self.came = 0
        self.pauses: list[float] = []
        self._ends = ends
        self._seconds = seconds

    def call(self) -> str:
        self.now += self._seconds
        end = self._ends[min(self.calls, len(self._ends) - 1)]
        self.calls += 1
        if end is None:
            return "done"
        self.came = end
        raise ConnectionError(f"after {end}")

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds

    def run(self, **options: float) -> str:
        return with_retries(
            self.call,
            retryable=lambda error: isinstance(error, ConnectionError),
            progress=lambda: self.came,
            sleep=self.sleep,
            clock=lambda: self.now,
            **options,  # type: ignore[arg-type]
        )


def test_a_first_try_that_takes_longer_than_the_patience_is_tried_again() -> None:
    world = World(0, None, seconds=95)
    assert world.run(patience_seconds=90) == "done"


def test_patience_ends_what_fails_for_that_long() -> None:
    world = World(0, seconds=10)
    with pytest.raises(ConnectionError):
        world.run(patience_seconds=90, attempts=1000)
    assert 90 <= world.now <= 90 + 10 + 5 + 10


def test_progress_begins_a_new_row_of_failures() -> None:
    world = World(1, 1, 2, 2, 3, 3, None)
    assert world.run(attempts=3) == "done"
    world = World(1, 1, 1, None)
    with pytest.raises(ConnectionError):
        world.run(attempts=3)
    assert world.calls == 3


def test_progress_begins_the_patience_anew() -> None:
    steps = World(*range(1, 20), None, seconds=60)
    assert steps.run(patience_seconds=90) == "done"


def test_pauses_are_random_below_a_bound_that_doubles_up_to_its_cap() -> None:
    world = World(*[0] * 9, None)
    world.run(attempts=10, base_seconds=1, cap_seconds=4)
    assert all(0 <= pause <= bound for pause, bound in zip(world.pauses, [1, 2, 4, 4, 4, 4, 4, 4, 4], strict=True))
    assert len(set(world.pauses)) > 1


def test_an_error_that_does_not_pass_is_raised_at_once() -> None:
    world = World(0)

    def broken() -> None:
        world.calls += 1
        raise KeyError

    with pytest.raises(KeyError):
        with_retries(broken, retryable=lambda error: isinstance(error, ConnectionError), sleep=world.sleep)
    assert world.calls == 1
