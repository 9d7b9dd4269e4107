"""The summary's choice of queries, its interval, and what it prints."""

import pytest
from rich.console import Console
from semanlink.dataset import Document, Judgments

from bluetune_api.model import Gate
from bluetune_trainer.report.decision import decision
from semanlink import metrics, summary


def test_three_queries_tell_the_gain_the_middle_and_the_loss() -> None:
    assert summary.telling([0.5, 0.5, 0.5, 0.5, 0.5], [0.9, 0.1, 0.5, 0.6, 0.4]) == (0, 2, 1)


def test_the_interval_holds_the_mean_gain() -> None:
    before, after = [0.1 * (i % 5) for i in range(100)], [0.1 * (i % 5) + 0.02 + 0.01 * (i % 3) for i in range(100)]
    low, high = summary.interval(before, after)
    assert 0.02 < low < 0.03 < high < 0.04
    assert summary.interval(before, before) == pytest.approx((0.0, 0.0))


@pytest.mark.parametrize(
    ("promoted", "low", "high", "said"),
    [
        (True, 0.01, 0.05, "right: the new version is better"),
        (True, -0.05, -0.01, "wrong: the new version is worse"),
        (True, -0.01, 0.01, "cannot tell"),
        (False, 0.01, 0.05, "too careful"),
        (False, -0.05, -0.01, "right: the new version is worse"),
        (False, -0.01, 0.01, "cannot tell"),
    ],
)
def test_the_judgments_tell_afterwards_whether_the_gate_was_right(
    promoted: bool, low: float, high: float, said: str
) -> None:
    assert said in summary.agreement(promoted, low, high)


def test_what_the_gate_decided_is_said_with_what_the_judgments_say() -> None:
    console = Console(width=200, record=True)
    before, after = (metrics.Scores(mean, 0.0, 0.0, (mean,) * 3) for mean in (0.4, 0.5))
    summary.print_decision(console, decision(None, Gate()), False, before, after)
    text = console.export_text()
    assert "The gate, by clicks: Not measured. the trainer measured nothing" in text
    assert "The judgments of 3 unseen tags: NDCG@10 +0.1000 (+0.1000 to +0.1000). It was too careful" in text


def test_results_that_people_judged_relevant_are_ticked() -> None:
    documents = [Document(f"d{i}", f"Title {i}", "", "") for i in range(4)]
    judgments = Judgments(("one", "two", "three"), (frozenset({1}), frozenset({2}), frozenset({3})))

    def hits(*ids: int) -> list[dict[str, str]]:
        return [{"object_id": f"d{i}", "title": f"Title {i}"} for i in ids]

    before = summary.judged([hits(0, 1), hits(2), hits(3)], documents, judgments)
    after = summary.judged([hits(1, 0), hits(2), hits(0)], documents, judgments)
    console = Console(width=100, record=True)
    summary.print_queries(console, before, after, documents, judgments)
    text = console.export_text()
    assert "“one”  gained most" in text
    assert "“three”  lost most" in text
    assert "· Title 0" in text
    assert "✓ Title 1" in text
