"""Sessions that cannot tell a better ranking from a worse one are found before anything is trained."""

import numpy as np
import pytest

from bluetune_trainer.data.measurable import can_move, informative, metric_problems
from bluetune_trainer.data.types import Sessions, Split

Shown = list[tuple[int, bool]]


def sessions(*shown: Shown) -> Sessions:
    flat = [entry for session in shown for entry in session]
    return Sessions(
        queries=[f"q{i}" for i in range(len(shown))],
        items=np.array([item for item, _ in flat], np.int32),
        clicked=np.array([clicked for _, clicked in flat], np.bool_),
        offsets=np.cumsum([0, *(len(session) for session in shown)]),
    )


def page(size: int) -> Shown:
    return [(item, item == 1) for item in range(size)]


def test_a_session_says_something_if_one_result_was_clicked_and_another_was_not() -> None:
    some = sessions(page(3), [(1, True)], [(1, True), (2, True)], [(1, False), (2, False)], [], [(1, True), (1, False)])
    assert informative(some).tolist() == [True, False, False, False, False, False]
    assert informative(sessions()).tolist() == []


def test_recall_moves_only_where_more_than_ten_different_results_are_shown() -> None:
    twice = [*page(10), (3, False)]
    assert not can_move("recall@10", sessions(page(10), twice))
    assert can_move("recall@10", sessions(page(10), page(11)))
    assert can_move("ndcg@10", sessions(page(2)))
    assert not can_move("ndcg@10", sessions([(1, True)]))


@pytest.mark.parametrize(
    ("validation", "objective", "found"),
    [
        (page(10), None, []),
        (page(10), "mrr@10", []),
        (page(11), "recall@10", []),
        (page(10), "recall@10", ["settings.objective"]),
        ([(1, True)], "recall@10", ["no validation session"]),
    ],
)
def test_what_cannot_be_measured_is_refused_with_the_field_that_asks_for_it(
    validation: Shown, objective: str | None, found: list[str]
) -> None:
    problems = metric_problems(Split(sessions(page(3)), sessions(validation), sessions(page(3))), objective)
    assert len(problems) == len(found)
    assert all(problem.startswith(start) for problem, start in zip(problems, found, strict=True))
