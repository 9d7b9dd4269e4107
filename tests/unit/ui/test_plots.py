"""Where the lines of plots lie."""

import pytest

from bluetune.core.page.plots import MAX_CURVES, WIDTH, Scale, curves, intervals, ticks
from unit.ui.scene import GATE, TRIALS, trial


def test_an_interval_lies_between_its_ends_and_all_of_them_on_the_picture() -> None:
    plot = intervals(GATE, 0.005)
    assert plot is not None
    assert [whisker.name for whisker in plot.whiskers] == ["clicks, local judge", "clicks, symmetric judge", "together"]
    for whisker in plot.whiskers:
        assert 0 < whisker.low < whisker.middle < whisker.high < WIDTH
    (zero,) = [mark.at for mark in plot.marks if mark.zero]
    assert plot.asked is not None
    assert zero < plot.asked < min(whisker.low for whisker in plot.whiskers)


@pytest.mark.parametrize(("asked", "tone"), [(0.0, "good"), (0.02, "quiet"), (0.04, "bad")])
def test_a_whisker_is_coloured_by_what_is_asked_for(asked: float, tone: str) -> None:
    plot = intervals(GATE, asked)
    assert plot is not None
    assert plot.whiskers[0].tone == tone
    assert (plot.asked is None) == (asked == 0)


def test_a_gate_without_an_interval_has_no_plot() -> None:
    assert intervals(GATE.model_copy(update={"judges": [], "low": None}), 0.0) is None


def test_the_best_curve_is_drawn_above_the_others_and_a_pruned_one_is_told_apart() -> None:
    plot = curves(TRIALS, 4)
    assert plot is not None
    assert [line.kind for line in plot.lines].count("pruned") == 2
    assert (plot.lines[-1].kind, len(plot.lines[-1].dots)) == ("best", 5)
    assert plot.words == "5 trials; the best is trial 4 with 0.0266"


def test_trials_without_a_validation_have_no_curve_and_of_very_many_the_best_are_drawn() -> None:
    failed = trial(9, 0.1).model_copy(update={"history": [], "quality": None})
    assert curves([failed], None) is None
    many = curves([trial(n, n / 1000) for n in range(MAX_CURVES + 40)], None)
    assert many is not None
    assert len(many.lines) == MAX_CURVES
    assert many.words.endswith(f"trial {MAX_CURVES + 39} with 0.0990")


def test_scales_and_ticks_bear_a_range_of_no_width() -> None:
    assert Scale(1, 1, 0, 100)(1) == 50
    assert ticks(1, 1) == [1]
    assert ticks(0, 1) == [0, 0.5, 1]
