"""Who trains next, up to where, and who ends early."""

import random
from collections.abc import Mapping

import pytest

from bluetune_trainer.search.halving import RUNGS, Prune, Run, Standing, brackets, kept, next_move, work_left

SHARES = (*RUNGS, 1.0)


class Simulated:
    """A search whose trial n has the objective `values[n]` at every rung; it keeps books of what it cost."""

    def __init__(self, values: list[float], rungs: int = 3, fails: Mapping[int, int] | None = None) -> None:
        self.values, self.rungs, self.fails = values, rungs, fails or {}
        self.standings: dict[int, Standing] = {}
        self.cost = 0.0
        self.moves: list[Run | Prune] = []
        self.most_waiting = 0

    def run(self, steps: int = 10_000) -> None:
        for _ in range(steps):
            move = next_move(self.standings, len(self.values), self.rungs)
            if move is None:
                return
            self.moves.append(move)
            if isinstance(move, Prune):
                for n in move.trials:
                    self.standings[n] = Standing(self.standings[n].rungs, True, self.values[n], pruned=True)
            else:
                self._train(move)
            self.most_waiting = max(self.most_waiting, sum(not s.ended for s in self.standings.values()))

    def _train(self, move: Run) -> None:
        n = move.trial
        before = self.standings.get(n, Standing())
        assert not before.ended, "a trial that ended ran again"
        begin = ([0.0, *RUNGS])[len(before.rungs)]
        level = self.rungs if move.until is None else move.until
        share = 1.0 if move.until is None else RUNGS[move.until]
        if self.fails.get(n) == level:
            self.standings[n] = Standing(before.rungs, True, None)
        elif move.until is None:
            self.standings[n] = Standing(before.rungs, True, self.values[n])
        else:
            self.standings[n] = Standing((*before.rungs, self.values[n]))
        self.cost += share - begin


def ended(search: Simulated) -> dict[int, int]:
    """Rungs that each trial reached before it ended."""
    return {n: len(s.rungs) for n, s in search.standings.items()}


@pytest.mark.parametrize(
    ("total", "cost"), [(1, 1.0), (2, 1.125), (4, 1.5), (5, 2.0), (8, 2.5), (16, 5.0), (9, 3.5), (50, 16.75)]
)
def test_a_search_costs_what_the_scheme_says_in_any_order(total: int, cost: float) -> None:
    rng = random.Random(total)
    for _ in range(20):
        values = [rng.random() for _ in range(total)]
        search = Simulated(values)
        assert work_left({}, total, RUNGS) == pytest.approx(cost)
        search.run()
        assert search.cost == pytest.approx(cost)
        assert len(search.standings) == total
        assert all(s.ended for s in search.standings.values())
        assert not search.standings[values.index(max(values))].pruned
        assert work_left(search.standings, total, RUNGS) == 0


def test_half_goes_on_from_each_rung_and_the_best_to_the_end() -> None:
    search = Simulated([0.1, 0.8, 0.3, 0.7, 0.5, 0.6, 0.2, 0.4])
    search.run()
    assert ended(search) == {0: 1, 1: 3, 2: 1, 3: 3, 4: 2, 5: 2, 6: 1, 7: 1}
    assert [n for n, s in search.standings.items() if not s.pruned] == [1]


def test_a_trial_ends_as_soon_as_enough_are_better_so_that_few_wait() -> None:
    search = Simulated([0.9, 0.8, 0.7, 0.6, 0.5, 0.95, 0.4, 0.3])
    search.run()
    assert search.moves[:8] == [
        *(Run(n, 0) for n in range(5)),
        Prune((4,)),
        Run(5, 0),
        Prune((3,)),
    ]
    assert search.most_waiting == 5


def test_equal_trials_go_on_by_number() -> None:
    search = Simulated([0.5] * 8)
    search.run()
    assert ended(search) == {0: 3, 1: 3, 2: 2, 3: 2, **dict.fromkeys(range(4, 8), 1)}


@pytest.mark.parametrize("total", [3, 8, 11])
def test_a_search_left_after_any_move_goes_on_as_it_would_have(total: int) -> None:
    values = [random.Random(n).random() for n in range(total)]
    whole = Simulated(values)
    whole.run()
    for cut in range(len(whole.moves)):
        left = Simulated(values)
        left.run(cut)
        again = Simulated(values)
        again.standings = dict(left.standings)
        again.run()
        assert left.moves + again.moves == whole.moves


def test_a_pruning_that_was_half_written_down_goes_on() -> None:
    three = {n: Standing((0.9 - n / 10,)) for n in range(8)}
    assert next_move(three, 8, 3) == Prune((4, 5, 6, 7))
    three[4] = Standing((0.5,), True, 0.5, pruned=True)
    assert next_move(three, 8, 3) == Prune((5, 6, 7))


def test_a_trial_that_fails_makes_room_for_nobody_twice() -> None:
    search = Simulated([0.1, 0.8, 0.3, 0.7, 0.5, 0.6, 0.2, 0.4], fails={1: 2, 0: 0})
    search.run()
    assert search.standings[1] == Standing((0.8, 0.8), True, None)
    assert not search.standings[3].pruned
    assert search.cost <= 2.5


def test_a_trial_that_stopped_by_itself_before_a_rung_counts_with_what_it_ended_with() -> None:
    standings = {0: Standing((), True, 0.9), 1: Standing((0.5,)), 2: Standing((0.4,)), 3: Standing((0.6,))}
    assert next_move(standings, 4, 2) == Prune((1, 2))


def test_without_rungs_trials_run_to_their_end_one_after_the_other() -> None:
    assert next_move({}, 2, 0) == Run(0, None)
    assert next_move({0: Standing((), True, 0.1)}, 2, 0) == Run(1, None)
    assert next_move({0: Standing((), True, 0.1), 1: Standing((), True, None)}, 2, 0) is None


def test_brackets_are_even_and_cover_everything() -> None:
    for total in range(1, 40):
        found = brackets(total)
        assert [n for bracket in found for n in bracket] == list(range(total))
        sizes = {len(bracket) for bracket in found}
        assert max(sizes) <= 8
        assert max(sizes) - min(sizes) <= 1
    assert [kept(8, rung) for rung in range(3)] == [4, 2, 1]
