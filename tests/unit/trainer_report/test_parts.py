"""What the report is made of: examples, positions, axes, numbers."""

import numpy as np
import pytest

from bluetune_trainer.data.types import Sessions, Split
from bluetune_trainer.report import numbers
from bluetune_trainer.report.comparison import changes, moved
from bluetune_trainer.report.content import click_positions
from bluetune_trainer.report.examples import choose
from bluetune_trainer.report.plots.gains import gains_by_query, spread
from bluetune_trainer.report.plots.parallel import axis
from bluetune_trainer.report.plots.scale import Scale, log_ticks, tick_labels, ticks


def test_examples_are_those_that_gained_and_lost_most_each_query_once() -> None:
    queries = [f"q{i}" for i in range(30)] + ["Q0 "]
    gains = np.array([*np.linspace(0.3, -0.1, 30), 0.9])
    chosen = choose(queries, gains)
    assert len(chosen) == 10
    assert chosen[0] == (30, "gained most")
    assert 0 not in [i for i, _ in chosen]
    assert [why for _, why in chosen] == ["gained most"] * 5 + ["in between"] * 2 + ["lost most"] * 3
    assert [i for i, _ in chosen][-3:] == [27, 28, 29]


@pytest.mark.parametrize("count", [0, 1, 4, 12])
def test_where_nothing_changed_the_examples_say_so(count: int) -> None:
    chosen = choose([f"q{i}" for i in range(count)], np.zeros(count))
    assert [why for _, why in chosen] == ["as good as before"] * min(count, 10)


def test_metrics_that_did_not_change_are_apart_unless_none_did() -> None:
    found = changes({"recall@10": 1.0, "ndcg@10": 0.4}, {"ndcg@10": 0.5, "recall@10": 1.0})
    assert [[change.name for change in part] for part in moved(found)] == [["ndcg@10"], ["recall@10"]]
    same = changes({"ndcg@10": 0.4}, {"ndcg@10": 0.4})
    assert moved(same) == (same, [])


def test_every_query_is_in_a_bar_and_those_that_stayed_in_the_middle() -> None:
    gains = np.array([0.0, 0.0, 1e-12, 0.02, -0.01, 0.1, 5.0])
    found = spread(gains)
    assert (found.gained, found.lost, found.same) == (3, 1, 3)
    drawn = str(gains_by_query(gains))
    assert "3 queries: no change" in drawn
    told = [int(part.split(" ")[0]) for part in drawn.split("<title>")[1:]]
    assert sum(told) == len(gains)


def test_queries_that_all_stayed_need_no_plot() -> None:
    assert gains_by_query(np.zeros(5)) == ""


def _sessions(clicked: list[bool], shown_rank: list[int] | None = None) -> Sessions:
    ranks = np.zeros(0, np.int32) if shown_rank is None else np.array(shown_rank, np.int32)
    half = len(clicked) // 2
    return Sessions(
        ["a", "b"], np.arange(len(clicked), dtype=np.int32), np.array(clicked), np.array([0, half, 2 * half]), ranks
    )


def test_clicks_are_counted_where_the_result_was_shown() -> None:
    empty = Sessions([], np.zeros(0, np.int32), np.zeros(0, np.bool_), np.zeros(1, np.int64))
    split = Split(_sessions([True, False, False, True]), _sessions([True, False, True, False], [0, 25, 2, 1]), empty)
    found = click_positions(split)
    assert found.shown.tolist()[:4] == [3, 3, 1, 0]
    assert found.clicked.tolist()[:4] == [2, 1, 1, 0]
    assert (len(found.shown), found.deeper_shown, found.deeper_clicked) == (20, 1, 0)


@pytest.mark.parametrize(
    ("values", "marks"),
    [
        ([1e-5, 1e-3], ["1e−5", "0.001"]),
        ([True, False, None], ["false", "true"]),
        (["a", [1, 2]], ["[1, 2]", "a"]),
        ([3, 3], ["3"]),
        ([float("nan"), 1.0], ["1", "nan"]),
    ],
)
def test_an_axis_fits_what_the_parameter_holds(values: list[object], marks: list[str]) -> None:
    found = axis("p", values)
    assert [told for _, told in found.marks] == marks
    assert all(place is None or 0 <= place <= 1 for place in found.places)
    assert [place is None for place in found.places] == [value is None for value in values]


def test_a_logarithmic_scale_puts_the_geometric_mean_in_the_middle() -> None:
    assert Scale(1e-4, 1e-2, 0, 100, log=True)(1e-3) == pytest.approx(50)
    assert log_ticks(1e-5, 1e-3) == pytest.approx([1e-5, 3e-5, 1e-4, 3e-4, 1e-3])


@pytest.mark.parametrize(
    ("low", "high", "labels"),
    [(0, 90, ["0", "20", "40", "60", "80"]), (0.412, 0.431, ["0.415", "0.420", "0.425", "0.430"]), (2, 2, ["2.000"])],
)
def test_marks_are_round_and_told_apart(low: float, high: float, labels: list[str]) -> None:
    assert tick_labels(ticks(low, high)) == labels


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (numbers.change(-0.00001), "±0.0000"),
        (numbers.change(-0.1), "−0.1000"),
        (numbers.percent(0.0004), "<1 %"),
        (numbers.percent(0.9999), "99.9 %"),
        (numbers.risk(0.035), "3.5\u202f%"),
        (numbers.risk(0.00125), "0.12\u202f%"),
        (numbers.duration(0.42), "0.4 s"),
        (numbers.duration(3725), "1 h 02 min"),
        (numbers.number(0.00012345), "1.23e−4"),
        (numbers.number(1e-4), "1e−4"),
        (numbers.number(250000), "2.5e5"),
        (numbers.value([[1, 2]]), "[[1, 2]]"),
        (numbers.value("x" * 50), "x" * 39 + "…"),
        (numbers.size(1536), "1.5 KiB"),
        (numbers.metric_name("ndcg@10"), "NDCG@10"),
        (numbers.metric_name("my:Own"), "my:Own"),
    ],
)
def test_numbers_read_well(told: str, expected: str) -> None:
    assert told == expected
