"""The same system for hypothesis: a failure comes out as the shortest run that it finds."""

import random

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from unit.operator_lock_model.system import NAMES, Step, System


class Lock(RuleBasedStateMachine):
    """Two operators and up to three tasks. Each rule makes one step of a kind, if there is one."""

    @initialize(tasks=st.integers(1, 3), serving=st.booleans())
    def begin(self, tasks: int, serving: bool) -> None:
        self.system = System(2, serving=serving)
        for name in NAMES[:tasks]:
            self.system.world.add(name, deployAsBlue=serving)

    def _make(self, steps: list[Step], choice: int) -> None:
        if steps:
            self.system.apply(steps[choice % len(steps)])

    @rule(operator=st.integers(0, 1), choices=st.lists(st.integers(0, 50), min_size=1, max_size=30))
    def works(self, operator: int, choices: list[int]) -> None:
        """An operator goes on for some steps, and the others stand still."""
        for choice in choices:
            self._make(self.system.work(self.system.operators[operator]), choice)

    @rule(operator=st.integers(0, 1), choice=st.integers(0, 20))
    def timer(self, operator: int, choice: int) -> None:
        self._make(self.system.timers(self.system.operators[operator]), choice)

    @rule(operator=st.integers(0, 1), choice=st.integers(0, 50))
    def fault(self, operator: int, choice: int) -> None:
        self._make(self.system.faults(self.system.operators[operator]), choice)

    @rule(choices=st.lists(st.integers(0, 20), min_size=1, max_size=6))
    def kubernetes(self, choices: list[int]) -> None:
        for choice in choices:
            self._make(self.system.world_moves(self.system.world.kubernetes()), choice)

    @rule(choice=st.integers(0, 20))
    def people(self, choice: int) -> None:
        self._make(self.system.world_moves(self.system.world.people(NAMES)), choice)

    @rule(choice=st.integers(0, 10))
    def edits_the_lease(self, choice: int) -> None:
        self._make(self.system.world_moves(self.system.world.vandals(NAMES)), choice)

    def teardown(self) -> None:
        if hasattr(self, "system"):
            self.system.settle(random.Random(0))


QUIET = [HealthCheck.too_slow, HealthCheck.data_too_large]


def test_a_few_runs() -> None:
    Lock.TestCase.settings = settings(
        max_examples=8, stateful_step_count=25, deadline=None, derandomize=True, suppress_health_check=QUIET
    )
    Lock.TestCase("runTest").runTest()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_many_runs() -> None:
    Lock.TestCase.settings = settings(
        max_examples=150, stateful_step_count=40, deadline=None, print_blob=True, suppress_health_check=QUIET
    )
    Lock.TestCase("runTest").runTest()
