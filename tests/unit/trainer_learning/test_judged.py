"""Judgments as the gate uses them."""

from bluetune_trainer.search.judged import Judgment, by_query


def test_queries_that_have_nothing_relevant_are_left_out() -> None:
    grades = by_query([Judgment("a", 1, 0.0), Judgment("a", 2, 2.0), Judgment("b", 1, 0.0), Judgment("a", 1, 1.0)])
    assert grades == {"a": {1: 1.0, 2: 2.0}}
